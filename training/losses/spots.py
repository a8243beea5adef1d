"""Are spots larger than a ridge as strong as in the real impression, wherever they lie?

Blotches, stains, unevenness of pressure and of the background. An L1 distance says little of their strength
where a network cannot place them exactly: trained by it, a network drew the strongest half as strong.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .powers import power_distance

SIZES = (8, 16, 32, 64)  # pixels: the cells of the noise that spots are made of
AROUND = 3  # spots across the square that a spot stands out from
WINDOW = 4  # spots per side of the squares over which power is averaged
LEAST = 64  # pixels per side of an image that has room for spots of the smallest size
FAINT = 1e-5  # power of images in [-1, 1], of 0.4 gray levels: of something so large, less cannot be seen


def spot_loss(images: Tensor, reals: Tensor) -> Tensor:
    """How differently strong spots of each size are, by squares; its mean over an image.

    Args:
        images: (N, C, R, R) in [-1, 1]; R is LEAST or more.
        reals: (N, C, R, R), the real impressions of the same conditions.

    Returns:
        Scalar, the `power_distance`.
    """
    pairs = zip(_powers(images), _powers(reals), strict=True)
    return torch.stack([power_distance(ours, theirs, FAINT).mean() for ours, theirs in pairs]).mean()


def _powers(x: Tensor) -> list[Tensor]:
    """Of each size, the power of spots in squares that overlap by half."""
    powers = []
    for size in SIZES:
        if size * (WINDOW + 1) > x.shape[-1]:
            break
        # Means of squares twice as large as their distance: whole ridges would outweigh the spots.
        spots = F.avg_pool2d(F.avg_pool2d(x, size), 2, stride=1)
        around = F.avg_pool2d(F.pad(spots, [AROUND // 2] * 4, mode="replicate"), AROUND, stride=1)
        powers.append(F.avg_pool2d((spots - around).square(), WINDOW, WINDOW // 2))
    return powers
