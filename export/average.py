"""Statistics of w: its average, the center of truncation, and how it changes with numbers of z."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from fingergen.runtime import seeds
from fingergen.training.networks import Generator

SEEDS = 10_000
CHUNK = 1_000


@torch.inference_mode()
def look_directions(generator: Generator, looks: int, count: int = SEEDS) -> NDArray[np.float32]:
    """How w changes with half a standard deviation of each of the first `looks` numbers of z.

    Returns:
        float32 (looks, style_dim), from the linear regression of w on z over the seeds 0 … count - 1.
    """
    z = np.stack([seeds.z(seed, generator.style_dim) for seed in range(count)])
    chunks = np.array_split(z, -(-count // CHUNK))
    w = np.concatenate([generator.map(torch.from_numpy(chunk)).numpy() for chunk in chunks])
    slopes, *_ = np.linalg.lstsq((z - z.mean(axis=0)).astype(np.float64), w - w.mean(axis=0), rcond=None)
    return (slopes[:looks] / 2).astype(np.float32)


@torch.inference_mode()
def average_w(generator: Generator, count: int = SEEDS) -> NDArray[np.float32]:
    """Mean (style_dim,) of w over the seeds 0 … count - 1, so that every export of a checkpoint has the same.

    An average stored in a checkpoint is not used: it depends on how often and with what it was updated.
    """
    total = np.zeros(generator.style_dim)
    for first in range(0, count, CHUNK):
        z = np.stack([seeds.z(seed, generator.style_dim) for seed in range(first, min(first + CHUNK, count))])
        total += generator.map(torch.from_numpy(z)).numpy().sum(axis=0, dtype=np.float64)
    return (total / count).astype(np.float32)
