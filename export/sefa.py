"""Closed-form factorisation of latent semantics (SeFa; Shen & Zhou, arXiv:2007.06600, section 3.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fingergen.training.networks import Generator

from .onnx_graphs.weights import array


def directions(generator: Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Directions (K, style_dim) in w, unit rows, and their singular values (K,), largest first; float32.

    They are the right singular vectors of the stacked modulation weights of all layers but `to_rgbs.*` (the
    layer `to_rgb1` counts): the directions in w that change the layers' styles most. K is style_dim, or the
    number of stacked rows if that is smaller. The component of largest magnitude is positive.
    """
    weights = [
        array(value)
        for key, value in generator.state_dict().items()
        if key.endswith("modulation.weight") and not key.startswith("to_rgbs.")
    ]
    _, singular_values, rows = np.linalg.svd(np.concatenate(weights), full_matrices=False)
    largest = np.take_along_axis(rows, np.abs(rows).argmax(axis=1, keepdims=True), axis=1)
    return (rows * np.sign(largest)).astype(np.float32), singular_values.astype(np.float32)
