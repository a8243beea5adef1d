"""Ground-truth minutiae: read from a clean ridge map by thinning and crossing numbers.

The thinning is Zhang and Suen's ("A fast parallel algorithm for thinning digital patterns", CACM 27(3),
1984), the crossing number Rutovitz's ("Pattern recognition", J. Royal Stat. Soc. A 129, 1966): 1 at the end
of a thinned ridge, 3 where it forks. Directions follow ISO/IEC 19794-2: an ending points back along its
ridge, a bifurcation into the valley between its two branches.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ENDING, BIFURCATION = 1, 3  # the crossing numbers

# The 8 neighbors in order around a pixel, as (dy, dx): from the north, clockwise.
_RING = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
_TRACE = 12  # steps along a branch that give its direction, in pixels
_PAIR = 7.0  # minutiae nearer than this to each other are breaks, spurs, bridges or dots, not minutiae

Orientation = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]


class Minutiae(NamedTuple):
    """Arrays of equal length M."""

    xy: NDArray[np.float32]  # (M, 2), pixels from the top left of the ridge map, y down
    angle: NDArray[np.float32]  # (M,), radians, counter-clockwise as seen (y up)
    kind: NDArray[np.uint8]  # (M,), ENDING or BIFURCATION


def read_minutiae(
    ridges: NDArray[np.bool_], orientation: Orientation, margin: int = 8
) -> tuple[Minutiae, NDArray[np.bool_]]:
    """Minutiae of a ridge map.

    Args:
        ridges: bool (H, W), true on ridges.
        orientation: The field that the ridges follow: float32 x and y (M,), in pixels of the ridge map, to
            radians (M,), y up. It gives a direction up to its sign; the ridge gives the sign.
        margin: Minutiae nearer than this to the border are left out; pixels.

    Returns:
        The minutiae, and the thinned ridges: bool (H, W).
    """
    thin = thinned(ridges)
    crossing = _crossing_numbers(thin)
    ys, xs = np.nonzero((crossing == ENDING) | (crossing == BIFURCATION))
    height, width = ridges.shape
    near_border = np.minimum.reduce([ys, xs, height - 1 - ys, width - 1 - xs]) < margin
    keep = ~near_border & ~_paired(np.stack([xs, ys], axis=1))
    ys, xs = ys[keep], xs[keep]
    kinds = crossing[ys, xs].astype(np.uint8)
    xy = np.stack([xs, ys], axis=1).astype(np.float32)

    field = orientation(xy[:, 0], xy[:, 1])
    # Trace on a padded copy: no bounds to check.
    pixels = np.pad(thin, 1).tobytes()
    angles = np.empty(len(xs), np.float32)
    for i, (y, x, kind) in enumerate(zip(ys.tolist(), xs.tolist(), kinds.tolist(), strict=True)):
        branches = _branches(pixels, width + 2, y + 1, x + 1)
        sense = branches[0] if kind == ENDING else _fork_sense(branches)
        turn = math.cos(sense - float(field[i]))
        angles[i] = field[i] if turn >= 0.0 else field[i] + math.pi
    return Minutiae(xy, np.mod(angles, np.float32(2 * math.pi)), kinds), thin


def thinned(ridges: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Ridges thinned to lines of one pixel.

    Args:
        ridges: bool (H, W), true on ridges.

    Returns:
        bool (H, W), a part of `ridges`.
    """
    height, width = ridges.shape
    # A bit per pixel, 64 in a word: logic takes whole words. One row of padding above and below.
    words = (width + 63) // 64
    padded = np.zeros((height + 2, words * 64), bool)
    padded[1:-1, :width] = ridges
    rows = np.packbits(padded, axis=1, bitorder="little").view("<u8")
    while True:
        before = rows.copy()
        for first in (True, False):
            rows[1:-1] &= ~_removable(rows, first)
        if np.array_equal(rows, before):
            break
    bits = np.unpackbits(rows[1:-1].view(np.uint8), axis=1, count=width, bitorder="little")
    return bits.astype(bool)


def _removable(rows: NDArray[np.uint64], first: bool) -> NDArray[np.uint64]:
    """The pixels that one of Zhang and Suen's passes takes away; `rows` has one of padding at each end."""
    one, last = np.uint64(1), np.uint64(63)
    west_of, east_of = rows << one, rows >> one  # each pixel's neighbor, in its own place
    west_of[:, 1:] |= rows[:, :-1] >> last
    east_of[:, :-1] |= rows[:, 1:] << last
    columns = {-1: west_of, 0: rows, 1: east_of}
    ring = [columns[dx][1 + dy : len(rows) - 1 + dy] for dy, dx in _RING]
    some, two, steps, more_steps, gaps, two_gaps = np.zeros((6, *ring[0].shape), np.uint64)
    for here, onward in zip(ring, (*ring[1:], ring[0]), strict=True):
        absent = ~here
        step = absent & onward
        more_steps |= steps & step
        steps |= step
        two |= some & here
        some |= here
        two_gaps |= gaps & absent
        gaps |= absent
    north, east, south, west = ring[::2]
    kept = east & south & (north | west) if first else north & west & (east | south)
    # Two to six neighbors, in one run.
    return two & two_gaps & steps & ~more_steps & ~kept


# Rutovitz's number of each of the 256 neighborhoods.
_CROSSINGS = np.abs(np.diff((np.arange(256)[:, None] >> (np.arange(9) % 8)) & 1, axis=1)).sum(axis=1) // 2


def _crossing_numbers(thin: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """(H, W); 0 away from the ridges."""
    ys, xs = np.nonzero(thin)
    padded = np.pad(thin, 1)
    code = np.zeros(len(ys), np.intp)
    for bit, (dy, dx) in enumerate(_RING):
        code |= padded[ys + 1 + dy, xs + 1 + dx].astype(np.intp) << bit
    result = np.zeros(thin.shape, np.uint8)
    result[ys, xs] = _CROSSINGS[code]
    return result


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
            onward = here
            for step in steps:
                if pixels[here + step] and here + step not in seen:
                    seen.add(here + step)
                    onward = here + step if onward == here else onward
            if onward == here:
                break
            here = onward
        dy, dx = divmod(here, width)
        directions.append(math.atan2(y - dy, dx - x))
    return directions


def _fork_sense(branches: list[float]) -> float:
    """The middle of the two branches that lie closest together: they enclose the valley."""
    pairs = [(a, b) for i, a in enumerate(branches) for b in branches[i + 1 :]]
    a, b = max(pairs, key=lambda pair: math.cos(pair[0] - pair[1]))
    return math.atan2(math.sin(a) + math.sin(b), math.cos(a) + math.cos(b))
