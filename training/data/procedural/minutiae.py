"""Ground-truth minutiae: read from a clean ridge map by thinning and crossing numbers.

The crossing number is Rutovitz's ("Pattern recognition", J. Royal Stat. Soc. A 129, 1966): 1 at the end of
a thinned ridge, 3 where it forks. Directions follow ISO/IEC 19794-2: an ending points
back along its ridge, a bifurcation into the valley between its two branches.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from skimage.morphology import skeletonize

ENDING, BIFURCATION = 1, 3  # the crossing numbers

# The 8 neighbours in order around a pixel, as (dy, dx).
_RING = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
_TRACE = 12  # steps along a branch that give its direction, in pixels
_PAIR = 7.0  # minutiae nearer than this to each other are breaks, spurs, bridges or dots, not minutiae


class Minutiae(NamedTuple):
    """Arrays of equal length M."""

    xy: NDArray[np.float32]  # (M, 2), pixels from the top left of the ridge map, y down
    angle: NDArray[np.float32]  # (M,), radians, counter-clockwise as seen (y up)
    kind: NDArray[np.uint8]  # (M,), ENDING or BIFURCATION


def read_minutiae(
    ridges: NDArray[np.bool_], orientation: NDArray[np.float32], margin: int = 8
) -> tuple[Minutiae, NDArray[np.bool_]]:
    """Minutiae of a ridge map, none nearer than `margin` to its border, and the thinned ridges.

    `ridges` bool (H, W); `orientation` float32 (H, W), radians, the field the ridges follow: it gives the
    direction up to its sign, which the ridge gives.
    """
    thin = skeletonize(ridges)
    # Trace on a padded copy: no bounds to check.
    padded = np.pad(thin, 1).astype(np.uint8)
    ring = np.stack([np.roll(padded, (-dy, -dx), (0, 1)) for dy, dx in _RING]).astype(np.int8)
    crossing = np.abs(ring - np.roll(ring, 1, axis=0)).sum(axis=0) // 2
    crossing[padded == 0] = 0
    ys, xs = np.nonzero((crossing == ENDING) | (crossing == BIFURCATION))
    kinds = crossing[ys, xs].astype(np.uint8)
    near_border = (
        np.minimum.reduce([ys - 1, xs - 1, padded.shape[0] - 2 - ys, padded.shape[1] - 2 - xs]) < margin
    )
    keep = ~near_border & ~_paired(np.stack([xs, ys], axis=1))
    ys, xs, kinds = ys[keep], xs[keep], kinds[keep]

    pixels = padded.tobytes()
    field = orientation[ys - 1, xs - 1]
    angles = np.empty(len(xs), np.float32)
    for i, (y, x, kind) in enumerate(zip(ys.tolist(), xs.tolist(), kinds.tolist(), strict=True)):
        branches = _branches(pixels, padded.shape[1], y, x)
        sense = _ending_sense(branches) if kind == ENDING else _fork_sense(branches)
        turn = math.cos(sense - float(field[i]))
        angles[i] = field[i] if turn >= 0.0 else field[i] + math.pi
    xy = np.stack([xs - 1, ys - 1], axis=1).astype(np.float32)
    return Minutiae(xy, np.mod(angles, np.float32(2 * math.pi)), kinds), thin


def _paired(xy: NDArray[np.int64]) -> NDArray[np.bool_]:
    distance = np.hypot(*(xy[:, None] - xy[None]).transpose(2, 0, 1))
    np.fill_diagonal(distance, np.inf)
    return (distance < _PAIR).any(axis=1)


def _branches(pixels: bytes, width: int, y: int, x: int) -> list[float]:
    """Directions (radians, y up) of the thinned ridges that leave (y, x)."""
    steps = [dy * width + dx for dy, dx in _RING]
    start = y * width + x
    first = [start + step for step in steps if pixels[start + step]]
    directions = []
    for pixel in first:
        seen = {start, *first}
        here = pixel
        for _ in range(_TRACE):
            onward = [here + step for step in steps if pixels[here + step] and here + step not in seen]
            if not onward:
                break
            seen.update(onward)
            here = onward[0]
        dy, dx = divmod(here, width)
        directions.append(math.atan2(y - dy, dx - x))
    return directions


def _ending_sense(branches: list[float]) -> float:
    return branches[0]


def _fork_sense(branches: list[float]) -> float:
    """The middle of the two branches that lie closest together: they enclose the valley."""
    pairs = [(a, b) for i, a in enumerate(branches) for b in branches[i + 1 :]]
    a, b = max(pairs, key=lambda pair: math.cos(pair[0] - pair[1]))
    return math.atan2(math.sin(a) + math.sin(b), math.cos(a) + math.cos(b))
