"""Arithmetic on latents w: truncation, style mixing, SeFa edits. Pure functions of float32 arrays."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral

import numpy as np

from .arguments import Floats, check_finite, check_iterable, to_floats
from .errors import BadInput

DEGREES = 2.0  # of an edit of a trait, to a standard deviation


def per_layer(w: Floats, num_ws: int, style_dim: int) -> Floats:
    """w, (N, style_dim) or (N, num_ws, style_dim), as one style an input of synthesis: the latter."""
    w = to_floats("w", w)
    if w.ndim == 2 and w.shape[1] == style_dim:
        return np.repeat(w[:, None], num_ws, axis=1)
    if w.ndim == 3 and w.shape[1:] == (num_ws, style_dim):
        return w
    raise BadInput(f"w: shape {w.shape}; must be (N, {style_dim}) or (N, {num_ws}, {style_dim})")


def check_layers(layers: Iterable[int] | None, num_ws: int) -> list[int]:
    """Indices of style inputs, in [0, num_ws); None: all of them."""
    if layers is None:
        return list(range(num_ws))
    check_iterable("layers", layers)
    chosen: list[int] = []
    for layer in layers:  # which may be many more than there are
        if not isinstance(layer, Integral) or isinstance(layer, bool):
            raise BadInput(f"layers: {layer!r}; must be integers")
        if not 0 <= layer < num_ws:
            raise BadInput(f"layers: {layer} given; this bundle has 0-{num_ws - 1}")
        chosen.append(int(layer))
    if not chosen:
        raise BadInput(f"layers: none given; this bundle has 0-{num_ws - 1}")
    return chosen


def truncate(w: Floats, w_avg: Floats, psi: float) -> Floats:
    """w_avg + ψ (w - w_avg): ψ = 1 leaves w as it is, 0 gives the average finger (Karras et al. 2019, B)."""
    if w.shape[-1:] != w_avg.shape:
        raise BadInput(f"w: shape {w.shape}; must end in {len(w_avg)}")
    check_finite("truncation", psi)
    if psi == 1:
        return w
    return w_avg + np.float32(psi) * (w - w_avg)


def mix(w: Floats, other: Floats, layers: Iterable[int], alpha: float) -> Floats:
    """(1 - alpha) w + alpha other on the chosen style inputs: (N, num_ws, style_dim); other: N or 1."""
    check_finite("alpha", alpha)
    mixed = w.copy()
    index = list(layers)
    mixed[:, index] = np.float32(1 - alpha) * w[:, index] + np.float32(alpha) * other[:, index]
    return mixed


def move(w: Floats, direction: Floats, degree: float, layers: Iterable[int]) -> Floats:
    """w (N, num_ws, style_dim) + degree · direction (style_dim,) on the chosen style inputs."""
    check_finite("degree", degree)
    moved = w.copy()
    moved[:, list(layers)] += np.float32(degree) * direction
    return moved
