"""Are the grays of each small square those of the real impression, wherever in it they lie?

An L1 distance and a loss on strength of detail bear valleys that are brighter than the paper here and darker
there, as long as they are right on average. An eye does not, nor does MINDTCT, which looks for ridges
wherever the grays of a square differ enough.
"""

import numpy as np
import torch
from torch import Tensor

SQUARE = 16  # pixels per side: about two ridges of 500 ppi
BORDER_WEIGHT = 6.0
"""Of the squares along the border. Convolutions see zeros beyond it, and what a network does about that fits
common backgrounds alone: too few squares of too few impressions would show it the others."""


def tone_loss(images: Tensor, reals: Tensor) -> Tensor:
    """How far the grays of images are from those of real impressions, by squares; its mean over an image.

    Args:
        images: (N, C, R, R) in [-1, 1]; R is a power of two.
        reals: (N, C, R, R), the real impressions of the same conditions.

    Returns:
        Scalar, the Wasserstein distance of the grays of each square: the mean distance of the darkest pixels
        of both, of the second darkest, and so on, 0 to 2. Squares along the border have BORDER_WEIGHT.
    """
    distances = (_sorted_grays(images) - _sorted_grays(reals)).abs().mean(dim=(0, 1, 4))
    weights = torch.full_like(distances, BORDER_WEIGHT)
    weights[1:-1, 1:-1] = 1.0
    return (weights * distances).sum() / weights.sum()


def _sorted_grays(images: Tensor) -> Tensor:
    """(N, C, R, R) → (N, C, squares, squares, pixels of a square), dark to bright."""
    side = min(SQUARE, images.shape[-1])
    squares = images.unfold(2, side, side).unfold(3, side, side).flatten(4)
    if squares.device.type != "cpu":
        return squares.sort(dim=-1).values
    # A tenth of the time of PyTorch's sort.
    order = np.argsort(squares.detach().numpy(), axis=-1)
    return squares.gather(-1, torch.from_numpy(order))
