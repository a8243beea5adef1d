"""Means over squares of pixels, several times as fast as PyTorch's pooling on a CPU, forward and backward."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def sums_along(x: Tensor, side: int, axis: int) -> Tensor:
    """Sums of `side` neighbors along an axis.

    Args:
        x: (N, C, H, W).
        side: 1 to the length of the axis.
        axis: 2 (down) or 3 (across).

    Returns:
        Of x's shape, but `side - 1` shorter along the axis: the first is that of the first `side` values.
    """
    return _Sums.apply(x, side, axis)


def means_around(x: Tensor, side: int) -> Tensor:
    """Of each pixel, the mean of a square around it, or of its part within the image.

    Args:
        x: (N, C, H, W).
        side: Of the square, odd.

    Returns:
        Of x's shape.
    """
    for axis in (2, 3):
        reach, size = side // 2, x.shape[axis]
        place = torch.arange(size, device=x.device)
        count = (place + reach).clamp(max=size - 1) - (place - reach).clamp(min=0) + 1
        around = (0, 0, reach, reach) if axis == 2 else (reach, reach)
        x = sums_along(F.pad(x, around), side, axis) / count.to(x.dtype).view(-1, *[1] * (3 - axis))
    return x


def overlapping_means(x: Tensor, side: int) -> Tensor:
    """Means of squares that overlap by half, beginning at the first pixel.

    Args:
        x: (N, C, H, W); H and W are multiples of side / 2, and at least side.
        side: Of the squares, even.

    Returns:
        (N, C, 2 H / side - 1, 2 W / side - 1).
    """
    half = side // 2
    for axis in (2, 3):
        x = sums_along(x.unflatten(axis, (-1, half)).sum(axis + 1), 2, axis)
    return x / side**2


class _Sums(torch.autograd.Function):
    """Autograd would keep every partial sum, and fill an image with zeros for each."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, side: int, axis: int) -> Tensor:
        ctx.side, ctx.axis = side, axis
        return _sums(x, side, axis)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        beyond = ctx.side - 1
        around = (0, 0, beyond, beyond) if ctx.axis == 2 else (beyond, beyond)
        return sums_along(F.pad(grads[0], around), ctx.side, ctx.axis), None, None


def _sums(x: Tensor, side: int, axis: int) -> Tensor:
    """Those of half as many neighbors, twice; and one neighbor more, where `side` is odd."""
    if side == 1:
        return x
    half = _sums(x, side // 2, axis)
    length = half.shape[axis] - side // 2
    sums = half.narrow(axis, 0, length) + half.narrow(axis, side // 2, length)
    if side % 2 == 0:
        return sums
    return sums.narrow(axis, 0, length - 1) + x.narrow(axis, side - 1, length - 1)
