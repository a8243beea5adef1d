"""Is the finest detail as strong as in the real impression, wherever it may lie?

An L1 distance is least where a network draws of rough skin and grain only what it can place: too little. What
it draws is then smoother than any impression.
"""

import torch
from torch import Tensor

from .powers import power_distance
from .squares import means_around, overlapping_means

FINE = 3  # pixels per side of the squares that the finest detail stands out from
RIDGE = 5  # of those that ridge edges stand out from, and half a ridge's period
PASSES = 3  # that take out of edges what they share with whole ridges, thousands of times as strong
WINDOW = 16  # pixels per side of the squares over which power is averaged
FAINT = 3e-5  # power of images in [-1, 1], of 0.7 gray levels: nothing below it can be seen in 8 bits


def grain_loss(images: Tensor, reals: Tensor) -> Tensor:
    """How differently strong detail is in bands above the ridges, by squares; its mean over an image.

    Args:
        images: (N, C, R, R) in [-1, 1]; R is WINDOW or more.
        reals: (N, C, R, R), the real impressions of the same conditions.

    Returns:
        Scalar, the `power_distance`.
    """
    pairs = zip(_powers(images), _powers(reals), strict=True)
    return torch.stack([power_distance(ours, theirs, FAINT).mean() for ours, theirs in pairs]).mean()


def _powers(x: Tensor) -> list[Tensor]:
    """Of each band, its power in squares that overlap by half."""
    edges = smooth = means_around(x, FINE)
    for _ in range(PASSES):
        edges = edges - means_around(edges, RIDGE)
    return [overlapping_means(band.square(), WINDOW) for band in (x - smooth, edges)]
