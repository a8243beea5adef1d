"""Ground-truth minutiae: read from a clean ridge map by thinning and crossing numbers.

The thinning is Zhang and Suen's ("A fast parallel algorithm for thinning digital patterns", CACM 27(3),
1984), the crossing number Rutovitz's ("Pattern recognition", J. Royal Stat. Soc. A 129, 1966): 1 at the end
of a thinned ridge, 3 where it forks. Directions follow ISO/IEC 19794-2: an ending points back along its
ridge, a bifurcation into the valley between its two branches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ENDING, BIFURCATION = 1, 3  # the crossing numbers

# The 8 neighbors in order around a pixel, as (dy, dx): from the north, clockwise.
_RING = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
_TRACE = 12  # steps along a branch that give its direction, in pixels
_SPUR = 5  # branches of fewer steps are spurs that thinning leaves
_CLUSTER = 3  # pixels within which pixels of crossing number 3 are one fork
_APART = 9.0
"""Pixels, a ridge period. Minutiae nearer to each other are breaks, spurs, bridges, dots or ridges that end
side by side: MINDTCT finds four in ten of them and of those nearer to a core or delta, of the rest 0.97."""

Orientation = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]


class Minutiae(NamedTuple):
    """Arrays of equal length M."""

    xy: NDArray[np.float32]  # (M, 2), pixels from the top left of the ridge map, y down
    angle: NDArray[np.float32]  # (M,), radians, counter-clockwise as seen (y up)
    kind: NDArray[np.uint8]  # (M,), ENDING or BIFURCATION
    clear: NDArray[np.bool_]  # (M,), a ridge period or more from all others, from cores and from deltas


def read_minutiae(
    thin: NDArray[np.bool_],
    orientation: Orientation,
    singular: Sequence[Sequence[float]] | NDArray[np.floating] = (),
    margin: int = 8,
) -> Minutiae:
    """Minutiae of a ridge map.

    Args:
        thin: bool (H, W), the ridges as `thinned` leaves them.
        orientation: The field that the ridges follow: float32 x and y (M,), in pixels of the ridge map, to
            radians (M,), y up. It gives a direction up to its sign; the ridge gives the sign.
        singular: Cores and deltas (K, 2), pixels of the ridge map.
        margin: Minutiae nearer than this to the border are left out; pixels.

    Returns:
        The minutiae.
    """
    height, width = thin.shape
    yx, numbers = _ends_and_forks(thin)
    inside = np.minimum(yx, (height - 1, width - 1) - yx).min(axis=1) >= margin
    yx, numbers = yx[inside], numbers[inside]
    # Trace on a padded copy: no bounds to check.
    skeleton = _Skeleton(np.pad(thin, 1).tobytes(), width + 2)
    found = []
    for kind, places in ((ENDING, yx[numbers == ENDING]), (BIFURCATION, _forks(yx[numbers == BIFURCATION]))):
        for y, x in places.tolist():
            branches = skeleton.branches(y + 1, x + 1)
            if len(branches) == kind:
                found.append((x, y, kind, branches))
    xy = np.array([(x, y) for x, y, _, _ in found], np.float32).reshape(-1, 2)
    angles = np.empty(len(found), np.float32)
    for i, along in enumerate(orientation(xy[:, 0], xy[:, 1]).tolist()):
        # Back along an ending's one branch; at a fork two branches outweigh the one across from them.
        sense = sum(math.cos(branch - along) for branch in found[i][3])
        angles[i] = along if sense >= 0.0 else along + math.pi
    kinds = np.array([kind for _, _, kind, _ in found], np.uint8)
    clear = _apart(xy, np.reshape(singular, (-1, 2)))
    return Minutiae(xy, np.mod(angles, np.float32(2 * math.pi)), kinds, clear)


def thinned(ridges: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Ridges thinned to lines of one pixel.

    Args:
        ridges: bool (H, W), true on ridges.

    Returns:
        bool (H, W), a part of `ridges`.
    """
    rows = _packed(ridges)
    while True:
        before = rows.copy()
        for first in (True, False):
            rows[1:-1] &= ~_removable(rows, first)
        if np.array_equal(rows, before):
            break
    return _unpacked(rows[1:-1], ridges.shape[1])


def _packed(pixels: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """A bit per pixel, 64 in a word, so that logic takes whole words; a row of padding above and below."""
    height, width = pixels.shape
    words = (width + 63) // 64
    padded = np.zeros((height + 2, words * 64), bool)
    padded[1:-1, :width] = pixels
    return np.packbits(padded, axis=1, bitorder="little").view("<u8")


def _unpacked(rows: NDArray[np.uint64], width: int) -> NDArray[np.bool_]:
    bits = np.unpackbits(rows.view(np.uint8), axis=1, count=width, bitorder="little")
    return bits.view(bool)


def _ring(rows: NDArray[np.uint64]) -> list[NDArray[np.uint64]]:
    """The 8 neighbors of all pixels, each in the pixel's own place; `rows` has padding at each end."""
    one, last = np.uint64(1), np.uint64(63)
    west_of, east_of = rows << one, rows >> one
    west_of[:, 1:] |= rows[:, :-1] >> last
    east_of[:, :-1] |= rows[:, 1:] << last
    columns = {-1: west_of, 0: rows, 1: east_of}
    return [columns[dx][1 + dy : len(rows) - 1 + dy] for dy, dx in _RING]


def _removable(rows: NDArray[np.uint64], first: bool) -> NDArray[np.uint64]:
    """The pixels that one of Zhang and Suen's passes takes away; `rows` has one of padding at each end."""
    ring = _ring(rows)
    # Around the pixel: a step from absent to present, more than one, two present or two absent in a row.
    step, more, present = np.zeros((3, *ring[0].shape), np.uint64)
    covered = np.full_like(step, ~np.uint64(0))
    both, either = np.empty_like(step), np.empty_like(step)
    for here, onward in zip(ring, (*ring[1:], ring[0]), strict=True):
        np.bitwise_and(here, onward, out=both)
        np.bitwise_or(here, onward, out=either)
        present |= both
        covered &= either
        np.bitwise_xor(onward, both, out=both)  # onward and not here
        np.bitwise_and(step, both, out=either)
        more |= either
        step |= both
    north, east, south, west = ring[::2]
    kept = east & south & (north | west) if first else north & west & (east | south)
    # Of one run, two to six are present if some two in a row are and some two are not.
    step &= present
    more |= covered
    more |= kept
    step &= ~more
    return step


def _ends_and_forks(thin: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
    """Pixels (N, 2), y and x, of an ending's or a fork's crossing number (Rutovitz), and that number."""
    rows = _packed(thin)
    ring = _ring(rows)
    units, twos = np.zeros((2, *ring[0].shape), np.uint64)  # a count of steps, 0 to 4, in binary
    for here, onward in zip(ring, (*ring[1:], ring[0]), strict=True):
        carry = ~here & onward
        units, carry = units ^ carry, units & carry
        twos ^= carry
    width = thin.shape[1]
    places = np.flatnonzero(_unpacked(rows[1:-1] & units, width))
    threes = _unpacked(twos, width).ravel()[places]
    return np.stack(np.divmod(places, width), axis=1), np.where(threes, BIFURCATION, ENDING).astype(np.uint8)


def _forks(yx: NDArray[np.intp]) -> NDArray[np.intp]:
    """Forks (F, 2) of pixels (N, 2) of crossing number 3, of which thinning leaves up to five at a fork."""
    near = np.abs(yx[:, None] - yx[None]).max(axis=2) <= _CLUSTER
    label = np.arange(len(yx))
    while (lower := np.where(near, label, len(yx)).min(axis=1, initial=len(yx))).tolist() != label.tolist():
        label = lower
    groups = (yx[label == each] for each in np.unique(label))
    middles = [group[np.hypot(*(group - group.mean(axis=0)).T).argmin()] for group in groups]
    return np.array(middles, np.intp).reshape(-1, 2)


def _apart(xy: NDArray[np.floating], singular: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which points are near no other point and no singular one."""
    distance = np.hypot(*(xy[:, None] - np.concatenate([xy, singular])).transpose(2, 0, 1))
    np.fill_diagonal(distance, np.inf)
    return (distance >= _APART).all(axis=1)


class _Skeleton:
    """Thinned ridges, a byte per pixel, with a border of zeros."""

    def __init__(self, pixels: bytes, width: int) -> None:
        self.pixels, self.width = pixels, width
        self.steps = [dy * width + dx for dy, dx in _RING]

    def branches(self, y: int, x: int) -> list[float]:
        """Directions (radians, y up) of the thinned ridges that leave (y, x); spurs are none."""
        start = y * self.width + x
        seen, front = {start}, {start}
        for _ in range(_SPUR):
            front = self._onward(front, seen)
        return [self._direction(start, branch, seen) for branch in self._connected(front)]

    def _direction(self, start: int, front: set[int], seen: set[int]) -> float:
        for _ in range(_SPUR, _TRACE):
            front, before = self._onward(front, seen), front
            if not front:
                front = before
                break
        dy = sum(pixel // self.width - start // self.width for pixel in front)
        dx = sum(pixel % self.width - start % self.width for pixel in front)
        return math.atan2(-dy, dx)

    def _onward(self, front: set[int], seen: set[int]) -> set[int]:
        onward = {p + step for p in front for step in self.steps if self.pixels[p + step]} - seen
        seen |= onward
        return onward

    def _connected(self, front: set[int]) -> list[set[int]]:
        """`front` in sets of pixels that touch."""
        left, parts = set(front), []
        while left:
            part = {left.pop()}
            while touching := {p + step for p in part for step in self.steps} & left:
                part |= touching
                left -= touching
            parts.append(part)
        return parts
