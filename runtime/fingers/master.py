"""The master of a finger: the ridge map that impressions are taken from, with its ground truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..arguments import check_type, check_whole
from ..errors import BadInput
from ..seeds import Purpose, check_seed, stream
from .identity.fields import orientation, ridge_period
from .identity.growth import grow, open_ahead
from .identity.minutiae import Minutiae, read_minutiae, thinned
from .identity.patterns import FingerPosition, Pattern, PatternClass, sample_pattern
from .window import LARGEST, SMALLEST

if TYPE_CHECKING:  # NumPy imports it when it is first used
    from numpy.random import Generator

GROWTH = 2  # raised when the finger of a seed, or its truth, changes: sets of images do not mix two
LEVELS = 127  # ridge maps are multiples of 1 / LEVELS, so that a byte per pixel keeps them exactly

_EDGE = 16  # grown around a master and cut off: kernels and interpolation are wrong at the border
_FIELD = 640  # growth noise covers this much of the finger, so windows of one finger share their ridges


@dataclass(frozen=True, eq=False)
class Master:
    """A finger's ridge map and truth, at 500 ppi. Points are pixels of the map from its top left, y down.

    Attributes:
        seed: That it was drawn from.
        kind: Its pattern class.
        window: (width, height) in pixels of the impressions that it has room for.
        ridges: float32 (H, W), the ridge map: -1 in a valley, 1 on a ridge; pores are dips. Larger than the
            window, so that impressions can be placed.
        find_minutiae: Reads the minutiae off the ridge map.
        cores: float32 (K, 2).
        deltas: float32 (K, 2).
        creases: float32 (K, 5), lines without ridges: x, y, angle in radians, half length, half width.
        origin: (x, y) of the center of the finger pad.
    """

    seed: int
    kind: PatternClass
    window: tuple[int, int]
    ridges: NDArray[np.float32]
    find_minutiae: Callable[[], Minutiae]
    cores: NDArray[np.float32]
    deltas: NDArray[np.float32]
    creases: NDArray[np.float32]
    origin: tuple[float, float]

    @cached_property
    def minutiae(self) -> Minutiae:
        """All minutiae of the ridge map, read when they are first asked for: images do not need them."""
        return self.find_minutiae()


def make_master(
    seed: int,
    window: tuple[int, int],
    kind: PatternClass | None,
    position: FingerPosition | None,
    threads: int = 1,
) -> Master:
    """The master of a seed's finger; see `make_finger`."""
    check_type("window", window, tuple, "(width, height) in pixels")
    if len(window) != 2:
        raise BadInput(f"window: {window!r}; give (width, height) in pixels")
    for side in window:
        check_whole("window", side, 1)
    if not all(SMALLEST <= side <= LARGEST for side in window):
        raise BadInput(f"window of {window[0]} x {window[1]} pixels: give sides of {SMALLEST} to {LARGEST}")
    open_ahead(threads)
    size = (_master_size(window[0]), _master_size(window[1]))
    pattern = sample_pattern(check_seed(seed), kind, position)
    skin = stream(seed, Purpose.SKIN)
    x0, y0 = corner = _corner(pattern, skin, size)
    ridges = _grow(seed, pattern, corner, size, threads)
    thin = thinned(ridges > 0.0)
    # Before the pores: those take as many numbers as the window has ridge.
    creases = _creases(skin) - np.array([x0, y0, 0, 0, 0], np.float32)
    cores, deltas = (
        np.array(points, np.float32).reshape(-1, 2) - np.array(corner, np.float32)
        for points in (pattern.cores, pattern.deltas)
    )
    relief = np.clip(ridges - _pores(skin, thin), -1.0, 1.0)
    return Master(
        seed=seed,
        kind=pattern.kind,
        window=window,
        ridges=np.round(LEVELS * relief) / np.float32(LEVELS),
        find_minutiae=partial(_minutiae, pattern, corner, thin, np.concatenate([cores, deltas])),
        cores=cores,
        deltas=deltas,
        creases=creases,
        origin=(-x0, -y0),
    )


def _master_size(side: int) -> int:
    """Room for rotation and translation, even; a full print's own outline leaves some already."""
    return (min(side + 128, max(side, 480) + 32) + 1) // 2 * 2


def _corner(pattern: Pattern, rng: Generator, size: tuple[int, int]) -> tuple[float, float]:
    """Top left of the master in finger coordinates, on the grid of growth (even pixels)."""
    offset = rng.normal(0.0, 22.0, 2)
    small = max(size) < 512
    middle = np.array(pattern.focus) + offset if small else np.zeros(2)
    limit = (_FIELD - np.array(size)) / 2 - _EDGE
    corner = 2.0 * np.round((np.clip(middle, -limit, limit) - np.array(size) / 2) / 2.0)
    return float(corner[0]), float(corner[1])


def _grow(
    seed: int, pattern: Pattern, corner: tuple[float, float], size: tuple[int, int], threads: int
) -> NDArray[np.float32]:
    """Ridges (H, W), 1 on a ridge and -1 in a valley."""
    columns, rows = ((side + 2 * _EDGE) // 2 for side in size)
    left, top = (round((start + _FIELD / 2 - _EDGE) / 2) for start in corner)
    noise = stream(seed, Purpose.GROWTH).standard_normal((_FIELD // 2, _FIELD // 2), dtype=np.float32)
    # A pixel of the growth grid covers two by two of the master's.
    x = corner[0] - _EDGE + 0.5 + 2.0 * np.arange(columns, dtype=np.float32)[None, :]
    y = corner[1] - _EDGE + 0.5 + 2.0 * np.arange(rows, dtype=np.float32)[:, None]
    ridges = grow(
        noise[top : top + rows, left : left + columns],
        orientation(pattern, x, y),
        ridge_period(pattern, x, y) / 2,
        threads,
    )
    return ridges[_EDGE:-_EDGE, _EDGE:-_EDGE]


def _minutiae(
    pattern: Pattern, corner: tuple[float, float], thin: NDArray[np.bool_], singular: NDArray[np.float32]
) -> Minutiae:
    x0, y0 = corner
    return read_minutiae(thin, lambda x, y: orientation(pattern, x + x0, y + y0), singular)


def _pores(rng: Generator, thin: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Dips (H, W) on the middle of ridges, one every dozen pixels or so; they show when the skin is dry."""
    height, width = thin.shape
    places = np.flatnonzero(thin)
    places = places[rng.random(len(places)) < 1 / 12]
    depth = rng.uniform(0.1, 0.7, len(places)).astype(np.float32)
    padded = np.zeros((height + 2, width + 2), np.float32)
    flat, middle = padded.ravel(), places + 2 * (places // width) + width + 3
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            np.maximum.at(flat, middle + (dy * (width + 2) + dx), depth * 0.5 ** (dx * dx + dy * dy))
    return padded[1:-1, 1:-1]


def _creases(rng: Generator) -> NDArray[np.float32]:
    """Rows x, y, angle, half length, half width in finger coordinates."""
    count = int(rng.choice(4, p=[0.7, 0.2, 0.08, 0.02]))
    columns = [
        rng.uniform(-160, 160, count),
        rng.uniform(-200, 200, count),
        rng.normal(0.0, 0.6, count) + np.pi * rng.integers(0, 2, count),
        rng.uniform(15, 90, count),
        rng.uniform(1.0, 2.2, count),
    ]
    return np.stack(columns, axis=1).astype(np.float32)
