"""Is the finest detail as strong as in the real impression, wherever it may lie?

An L1 distance is least where a network draws of rough skin and grain only what it can place: too little. What
it draws is then smoother than any impression.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

SIDES = (1, 3, 5)  # of squares of pixels; a band is what their means lose from one to the next
WINDOW = 16  # pixels per side of the squares over which power is averaged
FAINT = 3e-5  # power of images in [-1, 1], of 0.7 gray levels: nothing below it can be seen in 8 bits


def grain_loss(images: Tensor, reals: Tensor) -> Tensor:
    """How differently strong detail is in bands above the ridges, by squares; its mean over an image.

    Args:
        images: (N, C, R, R) in [-1, 1].
        reals: (N, C, R, R), the real impressions of the same conditions.

    Returns:
        Scalar, the L1 distance of logarithms of power: 1 where one is e times the other.
    """
    pairs = zip(_powers(images), _powers(reals), strict=True)
    parts = [((mine + FAINT).log() - (theirs + FAINT).log()).abs().mean() for mine, theirs in pairs]
    return torch.stack(parts).mean()


def _powers(x: Tensor) -> list[Tensor]:
    """Of each band, its power in squares that overlap by half."""
    smooth = [
        x if side == 1 else F.avg_pool2d(x, side, 1, side // 2, count_include_pad=False) for side in SIDES
    ]
    bands = (fine - coarse for fine, coarse in pairwise(smooth))
    return [F.avg_pool2d(band.square(), WINDOW, WINDOW // 2) for band in bands]
