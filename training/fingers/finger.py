"""A finger: the master ridge map that impressions are taken from, with its ground truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from .minutiae import Minutiae, read_minutiae
from .patterns import Pattern, PatternClass, draw_pattern, orientation, ridge_period
from .ridges import grow, upsample
from .streams import growth_stream, skin_stream

PPI = 500
FULL_PRINT, SMALL_SENSOR = (512, 512), (256, 256)

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
    """Finger `seed`, with a master large enough for impressions of `window` (width, height) pixels.

    A window as large as a print is centred on the finger pad, a smaller one near the middle of the pattern.
    """
    pattern = draw_pattern(seed)
    skin = skin_stream(seed)
    width, height = (_master_size(side) for side in window)
    x0, y0 = _corner(pattern, skin, width, height)
    with torch.inference_mode():
        ridges, angle = _grow_window(seed, pattern, x0, y0, width, height)
    minutiae, thin = read_minutiae(ridges > 0.0, angle)
    ridges = ridges - _pores(skin, thin)
    shift = np.array([x0, y0], np.float32)
    return Finger(
        seed=seed,
        kind=pattern.kind,
        ridges=np.clip(127.5 + 127.5 * ridges, 0, 255).astype(np.uint8),
        minutiae=minutiae,
        cores=np.array(pattern.cores, np.float32).reshape(-1, 2) - shift,
        deltas=np.array(pattern.deltas, np.float32).reshape(-1, 2) - shift,
        creases=_creases(skin) - np.array([x0, y0, 0, 0, 0], np.float32),
        origin=(-x0, -y0),
    )


def _master_size(side: int) -> int:
    """Room for rotation and translation; a print's own outline leaves some already."""
    return min(side + 128, max(side, 480) + 32)


def _corner(pattern: Pattern, rng: Generator, width: int, height: int) -> tuple[float, float]:
    """Top left of the master in finger coordinates, on the grid of growth (even pixels)."""
    offset = rng.normal(0.0, 22.0, 2)
    near = 1.0 if max(width, height) < 480 else 0.0
    middle = near * (np.array(pattern.focus) + offset)
    limit = np.maximum(0.0, (_FIELD - np.array([width, height])) / 2 - _EDGE)
    middle = 2.0 * np.round(np.clip(middle, -limit, limit) / 2.0)
    return float(middle[0] - width / 2), float(middle[1] - height / 2)


def _grow_window(
    seed: int, pattern: Pattern, x0: float, y0: float, width: int, height: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Ridges (H, W), positive on a ridge, amplitude about 1, and their orientation (H, W) in radians."""
    half = _EDGE // 2
    noise = growth_stream(seed).standard_normal((_FIELD // 2, _FIELD // 2), dtype=np.float32)
    left, top = (round((start + _FIELD / 2) / 2) - half for start in (x0, y0))
    noise = noise[top : top + height // 2 + 2 * half, left : left + width // 2 + 2 * half]
    y, x = _grid(x0 - _EDGE + 0.5, y0 - _EDGE + 0.5, noise.shape[1], noise.shape[0], step=2.0)
    angle = orientation(pattern, x, y)
    period = ridge_period(pattern, x, y) / 2
    ridges = torch.tanh(2.0 * upsample(grow(torch.from_numpy(noise)[None], angle[None], period[None]))[0])
    inner = slice(_EDGE, -_EDGE)
    y, x = _grid(x0, y0, width, height, step=1.0)
    return ridges[inner, inner].numpy(), orientation(pattern, x, y).numpy()


def _grid(x0: float, y0: float, width: int, height: int, step: float) -> tuple[torch.Tensor, ...]:
    x = x0 + step * torch.arange(width, dtype=torch.float32)
    y = y0 + step * torch.arange(height, dtype=torch.float32)
    return torch.meshgrid(y, x, indexing="ij")


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
