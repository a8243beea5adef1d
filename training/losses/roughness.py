"""Are the edges of ridges as rough as in the real impression?

Along a smooth ridge grays do not change. A loss on the strength of detail cannot tell what is rough from the
ridges themselves, which are much stronger. So it bears dry skin that is too smooth and wet skin that is too
rough, and NFIQ 2, which goes by how certain orientations are, finds prints more alike than impressions.
"""

import torch.nn.functional as F
from torch import Tensor

from .powers import power_distance
from .squares import overlapping_means

WINDOW = 16  # pixels per side of the squares in which changes are averaged
FAINT = 3e-5  # squared change per pixel, of 0.7 gray levels: nothing below it can be seen in 8 bits


def roughness_loss(images: Tensor, reals: Tensor, contact: Tensor) -> Tensor:
    """How differently grays change along the ridges, by squares; its mean over the contact.

    Args:
        images: (N, C, R, R) in [-1, 1]; R is WINDOW or more.
        reals: (N, C, R, R), the real impressions of the same conditions.
        contact: (N, 1, M, M), 0 to 1; M divides R.

    Returns:
        Scalar, the `power_distance` of squared changes.
    """
    weight = _mean(F.interpolate(contact, size=images.shape[2:]))
    distance = power_distance(_change_along_ridges(images), _change_along_ridges(reals), FAINT)
    distance = distance.mean(dim=1, keepdim=True)
    return (weight * distance).sum() / (weight.sum() + 1e-8)


def _change_along_ridges(x: Tensor) -> Tensor:
    """Squared change per pixel in the direction in which it is least: the smaller eigenvalue of the structure
    tensor of each square."""
    dx = F.pad((x[..., 2:] - x[..., :-2]) / 2, (1, 1, 0, 0))
    dy = F.pad((x[..., 2:, :] - x[..., :-2, :]) / 2, (0, 0, 1, 1))
    xx, yy, xy = _mean(dx.square()), _mean(dy.square()), _mean(dx * dy)
    # 1e-12: the root has a gradient where all is even
    return (xx + yy) / 2 - (((xx - yy) / 2).square() + xy.square() + 1e-12).sqrt()


def _mean(x: Tensor) -> Tensor:
    """Means of squares that overlap by half."""
    return overlapping_means(x, WINDOW)
