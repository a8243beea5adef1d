"""A bundle's latents: average w, SeFa directions, directions of the look, stored noise."""

from __future__ import annotations

import numpy as np
import torch

from fingergen.runtime import seeds
from fingergen.runtime.backends import Floats
from fingergen.runtime.bundle import Latents
from fingergen.runtime.latents import DEGREES
from fingergen.training.networks import Generator

from .inputs import SourceNetworks
from .onnx_graphs.weights import array

AVERAGE_SEEDS = 10_000
CHUNK = 1_000


def bundle_latents(source: SourceNetworks) -> Latents:
    """Everything in `latents.npz`, computed from the networks of `source`."""
    directions, singular_values = sefa_directions(source.generator)
    looks = len(source.ridge_noise.looks) if source.ridge_noise else 0
    return Latents(
        w_avg=average_w(source.generator),
        sefa_directions=directions,
        sefa_singular_values=singular_values,
        noise=_noise(source.generator),
        decoder_noise=None if source.decoder is None else _noise(source.decoder),
        look_directions=look_directions(source.generator, looks) if looks else None,
    )


def average_w(generator: Generator, count: int = AVERAGE_SEEDS) -> Floats:
    """Mean of w, the center of truncation.

    An average stored in a checkpoint is not used: it depends on how often and with what it was updated.

    Returns:
        float32 (style_dim,), over the seeds 0 … count - 1, so that every export of a checkpoint has the same.
    """
    total = np.zeros(generator.style_dim)
    for first in range(0, count, CHUNK):
        _, w = _latents(generator, first, min(first + CHUNK, count))
        total += w.sum(axis=0, dtype=np.float64)
    return (total / count).astype(np.float32)


def look_directions(generator: Generator, looks: int, count: int = AVERAGE_SEEDS) -> Floats:
    """How w changes with a degree of each of the first `looks` numbers of z.

    Returns:
        float32 (looks, style_dim), from the linear regression of w on z over the seeds 0 … count - 1.
    """
    chunks = [_latents(generator, first, min(first + CHUNK, count)) for first in range(0, count, CHUNK)]
    z, w = (np.concatenate(values) for values in zip(*chunks, strict=True))
    slopes, *_ = np.linalg.lstsq((z - z.mean(axis=0)).astype(np.float64), w - w.mean(axis=0), rcond=None)
    return (slopes[:looks] / DEGREES).astype(np.float32)


def sefa_directions(generator: Generator) -> tuple[Floats, Floats]:
    """Closed-form factorization of latent semantics (SeFa; Shen & Zhou, arXiv:2007.06600, section 3.2).

    The directions are the right singular vectors of the stacked modulation weights of all layers but
    `to_rgbs.*` (the layer `to_rgb1` counts): the directions in w that change the layers' styles most.

    Returns:
        Directions (K, style_dim) in w, unit rows, each component of largest magnitude positive, and their
        singular values (K,), largest first; float32. K is style_dim, or the number of stacked rows if that
        is smaller.
    """
    weights = [
        array(value)
        for key, value in generator.state_dict().items()
        if key.endswith("modulation.weight") and not key.startswith("to_rgbs.")
    ]
    _, singular_values, rows = np.linalg.svd(np.concatenate(weights), full_matrices=False)
    largest = np.take_along_axis(rows, np.abs(rows).argmax(axis=1, keepdims=True), axis=1)
    return (rows * np.sign(largest)).astype(np.float32), singular_values.astype(np.float32)


@torch.inference_mode()
def _latents(generator: Generator, first: int, stop: int) -> tuple[Floats, Floats]:
    """z and w (stop - first, style_dim) of the seeds first … stop - 1."""
    z = np.stack([seeds.z(seed, generator.style_dim) for seed in range(first, stop)])
    return z, generator.map(torch.from_numpy(z)).numpy()


def _noise(generator: Generator) -> tuple[Floats, ...]:
    return tuple(buffer.numpy() for buffer in generator.stored_noise())
