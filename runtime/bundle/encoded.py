"""What the encoder makes of a minutiae map: a style and, in bundles with a spatial path, noise images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arguments import Floats, check_type
from .manifest import Manifest


@dataclass(frozen=True, eq=False)
class Encoded:
    """Fingers as the decoder takes them.

    w: (N, style_dim) or (N, num_ws, style_dim). noise: images (N, 1, H, W) for the decoder's layers that
    `EncoderInput.noise_layers` lists, in that order; they say where ridges run, which w alone cannot. z:
    (N, style_dim), where w is mapped from one.
    """

    w: Floats
    noise: tuple[Floats, ...] = ()
    z: Floats | None = None

    def __len__(self) -> int:
        """N."""
        return len(self.w)


def style_shape(manifest: Manifest) -> tuple[int, ...]:
    """Shape of an image's w, as the encoder gives it."""
    assert manifest.encoder is not None
    architecture = manifest.architecture
    return (*((architecture.num_ws,) if manifest.encoder.w_plus else ()), architecture.style_dim)


def noise_shapes(manifest: Manifest) -> list[tuple[int, ...]]:
    """Shapes (1, H, W) of an image's noise, as the encoder gives it."""
    assert manifest.encoder is not None
    shapes = manifest.architecture.noise_shapes
    return [shapes[layer][1:] for layer in manifest.encoder.noise_layers]


def code_shape(manifest: Manifest) -> tuple[int, ...]:
    """Shape of an image's part of the encoder graph's one output: w or, with noise, all values in a row."""
    noise = noise_shapes(manifest)
    if not noise:
        return style_shape(manifest)
    return (sum(math.prod(shape) for shape in (style_shape(manifest), *noise)),)


def split(code: Floats, manifest: Manifest) -> Encoded:
    """The encoder graph's output (N, …) taken apart."""
    noise = noise_shapes(manifest)
    if not noise:
        return Encoded(code)
    parts = []
    start = 0
    for shape in (style_shape(manifest), *noise):
        end = start + math.prod(shape)
        parts.append(np.ascontiguousarray(code[:, start:end]).reshape(-1, *shape))
        start = end
    return Encoded(parts[0], tuple(parts[1:]))


def by_decoder(w: Floats | Encoded, decoder: Any) -> bool:
    """Whether the decoder makes the images: it was asked for, or w is what the encoder gave.

    Raises:
        BadInput: If `decoder` is neither True nor False.
    """
    check_type("decoder", decoder, (bool, np.bool_), "True or False")
    return bool(decoder) or isinstance(w, Encoded)


def with_predicted(
    noise: Sequence[Floats], predicted: Sequence[Floats], layers: Sequence[int]
) -> list[Floats]:
    """A decoder's noise with the predicted images in place of those of their layers."""
    composed = list(noise)
    for layer, image in zip(layers, predicted, strict=True):
        composed[layer] = image
    return composed
