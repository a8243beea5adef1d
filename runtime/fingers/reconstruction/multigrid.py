"""Conjugate gradients with a multigrid preconditioner, for graphs of pixels with signed couplings.

The matrix is A = diag(sum of |couplings| + anchors) - couplings: a Laplacian where all couplings are positive
and there are no anchors. Four pixels make one of the next coarser grid, after their signs are aligned
(aggregation; rescaling of the coarse operator as in Brandt and Livne, "Multigrid Techniques", 2011).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...arguments import AnyFloats as Floats

_COARSEST = 8  # pixels per side of the grid that is solved directly
_OVERCORRECTION = (
    0.55  # piecewise constant functions have about twice the energy of the smooth ones they stand for
)
_TOLERANCE = 1e-5  # of the residual, relative: phases to 0.001
_ITERATIONS = 60


@dataclass(frozen=True, eq=False)
class _Level:
    """One grid: couplings to the right (H, W - 1) and below (H - 1, W), and the diagonal (H, W)."""

    right: Floats
    below: Floats
    diagonal: Floats

    def couple(self, x: Floats) -> Floats:
        """The off-diagonal part, with its sign: (..., H, W)."""
        out = np.empty_like(x)
        np.multiply(self.right, x[..., :, 1:], out=out[..., :, :-1])
        out[..., :, -1] = 0
        out[..., :, 1:] += self.right * x[..., :, :-1]
        out[..., :-1, :] += self.below * x[..., 1:, :]
        out[..., 1:, :] += self.below * x[..., :-1, :]
        return out

    def apply(self, x: Floats) -> Floats:
        """A x."""
        return self.diagonal * x - self.couple(x)


def solve(right: Floats, below: Floats, sides: Floats, anchors: Floats | float = 0.0) -> Floats:
    """Solve A x = b for several right-hand sides.

    Args:
        right: (H, W - 1), signed coupling of each pixel to the one on its right.
        below: (H - 1, W), to the one below it.
        sides: (K, H, W), the right-hand sides. H and W are multiples of 2 as often as they exceed 8.
        anchors: (H, W), added to the diagonal: how firmly a pixel is held to its side over its anchor.

    Returns:
        float32 (K, H, W), with a relative residual of 1e-5 or what 60 iterations reach.
    """
    right, below = right.astype(np.float32), below.astype(np.float32)
    levels = [_Level(right, below, (_diagonal(right, below) + anchors).astype(np.float32))]
    while min(levels[-1].diagonal.shape) > _COARSEST:
        levels.append(_coarser(levels[-1]))
    signs = [_alignment(level) for level in levels[:-1]]
    last = _dense_inverse(levels[-1])

    x: Floats = np.zeros(sides.shape, np.float32)
    residual: Floats = sides.astype(np.float32)
    goal = _TOLERANCE**2 * _dot(residual, residual)
    direction: Floats = np.zeros_like(x)
    old: Floats = np.ones((len(sides), 1, 1))
    for iteration in range(_ITERATIONS):
        if np.all(_dot(residual, residual) <= goal):
            break
        guess = _cycle(levels, signs, last, residual, 0)
        new = _dot(residual, guess)
        ratio = (new / np.where(old == 0, 1, old)).astype(np.float32)
        direction = guess + ratio * direction if iteration else guess
        old = new
        moved = levels[0].apply(direction)
        curvature = _dot(direction, moved)
        step = (new / np.where(curvature == 0, 1, curvature)).astype(np.float32)
        x += step * direction
        residual -= step * moved
    return x


def _cycle(levels: list[_Level], signs: list[Floats], last: Floats, side: Floats, depth: int) -> Floats:
    """One symmetric V-cycle: an approximate solution of A x = side at a level."""
    if depth == len(levels) - 1:
        return (last @ side.reshape(len(side), -1, 1)).reshape(side.shape)
    level, sign = levels[depth], signs[depth]
    red = (np.add.outer(np.arange(side.shape[1]), np.arange(side.shape[2])) % 2).astype(bool)
    x = np.where(red, side / level.diagonal, np.float32(0))
    x = np.where(red, x, (side + level.couple(x)) / level.diagonal)
    rest = sign * (side - level.apply(x))
    coarse = rest[:, ::2, ::2] + rest[:, 1::2, ::2] + rest[:, ::2, 1::2] + rest[:, 1::2, 1::2]
    correction = _cycle(levels, signs, last, coarse, depth + 1)
    x += sign * np.repeat(np.repeat(correction, 2, axis=1), 2, axis=2)
    x = np.where(red, x, (side + level.couple(x)) / level.diagonal)
    return np.where(red, (side + level.couple(x)) / level.diagonal, x)


def _diagonal(right: Floats, below: Floats) -> Floats:
    diagonal = np.full((right.shape[0], below.shape[1]), 1e-9)
    diagonal[:, :-1] += np.abs(right)
    diagonal[:, 1:] += np.abs(right)
    diagonal[:-1] += np.abs(below)
    diagonal[1:] += np.abs(below)
    return diagonal


def _alignment(level: _Level) -> Floats:
    """Signs (H, W) of the four pixels of each block: as coupled to the first one."""
    sign = np.ones_like(level.diagonal)
    sign[::2, 1::2] = np.where(level.right[::2, ::2] < 0, -1.0, 1.0)
    sign[1::2, ::2] = np.where(level.below[::2, ::2] < 0, -1.0, 1.0)
    sign[1::2, 1::2] = sign[::2, 1::2] * np.where(level.below[::2, 1::2] < 0, -1.0, 1.0)
    return sign


def _coarser(level: _Level) -> _Level:
    """The grid of half the size: Galerkin's product with piecewise constant functions, rescaled."""
    sign = _alignment(level)
    right = sign[:, :-1] * level.right * sign[:, 1:]
    below = sign[:-1] * level.below * sign[1:]
    blocks = level.diagonal.reshape(sign.shape[0] // 2, 2, sign.shape[1] // 2, 2).sum((1, 3))
    blocks = blocks - 2 * (right[::2, ::2] + right[1::2, ::2] + below[::2, ::2] + below[::2, 1::2])
    across = right[::2, 1::2] + right[1::2, 1::2]
    down = below[1::2, ::2] + below[1::2, 1::2]
    return _Level(_OVERCORRECTION * across, _OVERCORRECTION * down, _OVERCORRECTION * blocks)


def _dense_inverse(level: _Level) -> Floats:
    size = level.diagonal.size
    unit = np.eye(size, dtype=np.float32).reshape(size, *level.diagonal.shape)
    matrix = level.apply(unit).reshape(size, size)
    # Without cores, deltas and anchors the constant is in the kernel, but for rounding.
    return np.linalg.pinv(matrix.astype(np.float64), rcond=1e-6, hermitian=True).astype(np.float32)


def _dot(a: Floats, b: Floats) -> Floats:
    """Scalar products (K, 1, 1), summed in float64: float32 would lose the small ones at the end."""
    return np.einsum("khw,khw->k", a, b, dtype=np.float64)[:, None, None]
