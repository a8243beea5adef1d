"""A finger: the master ridge map that impressions are taken from, with its ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from fingergen.runtime.errors import BadInput
from fingergen.runtime.seeds import check_seed

from .minutiae import Minutiae, read_minutiae
from .patterns import Pattern, PatternClass, draw_pattern, orientation, ridge_period
from .ridges import grow, upsample
from .streams import growth_stream, skin_stream

PPI = 500
FULL_PRINT, SMALL_SENSOR = (512, 512), (256, 256)  # windows, in pixels
SMALLEST, LARGEST = 64, 576  # side of a window

_EDGE = 16  # grown around a master and cut off: kernels and spectrum are wrong at the border
_FIELD = 640  # growth noise covers this much of the finger, so windows of one finger share their ridges


@dataclass(frozen=True, eq=False)
class Finger:
    """A master at 500 ppi. Points are pixels of the master from its top left, y down."""

    seed: int
    kind: PatternClass
    ridges: NDArray[np.uint8]  # (H, W): 255 on a ridge, 0 in a valley, 128 half-way; pores are dips
    minutiae: Minutiae
    cores: NDArray[np.float32]  # (K, 2)
    deltas: NDArray[np.float32]  # (K, 2)
    creases: NDArray[np.float32]  # (K, 5): x, y, angle, half length, half width; lines without ridges
    origin: tuple[float, float]  # where the centre of the finger pad lies in the master


def make_finger(seed: int, window: tuple[int, int] = FULL_PRINT) -> Finger:
    """Finger `seed`, on the CPU; see `make_fingers`."""
    return make_fingers([seed], window)[0]


def make_fingers(
    seeds: Sequence[int], window: tuple[int, int] = FULL_PRINT, device: torch.device | str = "cpu"
) -> list[Finger]:
    """Fingers, with masters large enough for impressions of `window` (width, height) pixels.

    A window as large as a print is centred on the finger pad, a smaller one near the middle of the pattern.
    The ridges grow on `device`, all at once: a batch suits a GPU; on a CPU one finger at a time fits the
    cache better. Raises BadInput for a seed outside [0, 2^64) or a window outside SMALLEST to LARGEST.
    """
    if not all(SMALLEST <= side <= LARGEST for side in window):
        raise BadInput(f"window of {window[0]} x {window[1]} pixels: give sides of {SMALLEST} to {LARGEST}")
    size = (_master_size(window[0]), _master_size(window[1]))
    patterns = [draw_pattern(check_seed(seed)) for seed in seeds]
    skins = [skin_stream(seed) for seed in seeds]
    corners = [_corner(pattern, skin, size) for pattern, skin in zip(patterns, skins, strict=True)]
    with torch.inference_mode():
        ridges, angles = _grow(seeds, patterns, corners, size, torch.device(device))
    return [_finish(*parts) for parts in zip(seeds, patterns, skins, corners, ridges, angles, strict=True)]


def _finish(
    seed: int,
    pattern: Pattern,
    skin: Generator,
    corner: tuple[float, float],
    ridges: NDArray[np.float32],
    angle: NDArray[np.float32],
) -> Finger:
    minutiae, thin = read_minutiae(ridges > 0.0, angle)
    # Before the pores: those take as many numbers as the window has ridge.
    creases = _creases(skin)
    relief = ridges - _pores(skin, thin)
    x0, y0 = corner
    return Finger(
        seed=seed,
        kind=pattern.kind,
        ridges=np.clip(127.5 + 127.5 * relief, 0, 255).astype(np.uint8),
        minutiae=minutiae,
        cores=np.array(pattern.cores, np.float32).reshape(-1, 2) - np.array(corner, np.float32),
        deltas=np.array(pattern.deltas, np.float32).reshape(-1, 2) - np.array(corner, np.float32),
        creases=creases - np.array([x0, y0, 0, 0, 0], np.float32),
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
    seeds: Sequence[int],
    patterns: Sequence[Pattern],
    corners: Sequence[tuple[float, float]],
    size: tuple[int, int],
    device: torch.device,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Ridges (N, H, W), 1 on a ridge and -1 in a valley, and their orientation (N, H, W) in radians."""
    columns, rows = ((side + 2 * _EDGE) // 2 for side in size)
    noise, coarse, periods, angles = [], [], [], []
    for seed, pattern, (x0, y0) in zip(seeds, patterns, corners, strict=True):
        left, top = (round((start + _FIELD / 2 - _EDGE) / 2) for start in (x0, y0))
        field = growth_stream(seed).standard_normal((_FIELD // 2, _FIELD // 2), dtype=np.float32)
        noise.append(torch.from_numpy(field[top : top + rows, left : left + columns]))
        # A pixel of the growth grid covers two by two of the master's.
        x, y = _grid(x0 - _EDGE + 0.5, y0 - _EDGE + 0.5, columns, rows, 2.0, device)
        coarse.append(orientation(pattern, x, y))
        periods.append(ridge_period(pattern, x, y) / 2)
        angles.append(orientation(pattern, *_grid(x0, y0, *size, 1.0, device)))
    ridges = upsample(grow(torch.stack(noise).to(device), torch.stack(coarse), torch.stack(periods)))
    # Steeper: minutiae keep their contrast, where the filters leave the amplitude small.
    ridges = torch.tanh(2.0 * ridges[:, _EDGE:-_EDGE, _EDGE:-_EDGE])
    return ridges.cpu().numpy(), torch.stack(angles).cpu().numpy()


def _grid(
    x0: float, y0: float, width: int, height: int, step: float, device: torch.device
) -> tuple[Tensor, Tensor]:
    """x and y (height, width) of a grid's points."""
    x = x0 + step * torch.arange(width, dtype=torch.float32, device=device)
    y = y0 + step * torch.arange(height, dtype=torch.float32, device=device)
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    return columns, rows


def _pores(rng: Generator, thin: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Dips (H, W) on the middle of ridges, one every dozen pixels or so; they show when the skin is dry."""
    ys, xs = np.nonzero(thin)
    chosen = rng.random(len(ys)) < 1 / 12
    ys, xs = ys[chosen], xs[chosen]
    depth = rng.uniform(0.1, 0.7, len(ys)).astype(np.float32)
    padded = np.zeros((thin.shape[0] + 2, thin.shape[1] + 2), np.float32)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            np.maximum.at(padded, (ys + 1 + dy, xs + 1 + dx), depth * 0.5 ** (dx * dx + dy * dy))
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
