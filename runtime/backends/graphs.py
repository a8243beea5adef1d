"""A bundle's graphs as arrays in and out: names, shapes and files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arguments import Floats
from ..bundle import Bundle
from ..bundle.encoded import code_shape
from ..bundle.manifest import GraphName, Manifest
from ..minutiae.raster import CELLS, CHANNELS, FIELDS

Inputs = dict[str, Floats]
"""A graph's inputs by name: of length N, or of length 1 for all N. The first of them is never shared."""

PIXELS = "pixels"
"""Second output of a synthesis graph, uint8: its image in 256 levels. Older bundles have none."""


def synthesis_inputs(w: Floats, noise: Sequence[Floats]) -> Inputs:
    """Inputs of a synthesis or decoder graph."""
    return {"w": w, **{f"noise_{k}": buffer for k, buffer in enumerate(noise)}}


def part(inputs: Inputs, start: int, count: int) -> Inputs:
    """The inputs of images start … start + count - 1; what all share stays shared."""
    images = batch_size(inputs)
    return {
        name: np.ascontiguousarray(value if len(value) < images else value[start : start + count])
        for name, value in inputs.items()
    }


def batch_size(inputs: Inputs) -> int:
    """Number of images N of a batch, as its first input has it."""
    return len(next(iter(inputs.values())))


def input_shapes(manifest: Manifest, graph: GraphName) -> dict[str, tuple[int, ...]]:
    """Shape of one image's part of each input of a graph, by name."""
    architecture = manifest.architecture
    if graph == "mapping":
        return {"z": (architecture.style_dim,)}
    if graph == "fields":
        return {"raster": (CHANNELS, CELLS, CELLS)}
    if graph == "encoder":
        assert manifest.encoder is not None
        return {"map": (3, manifest.encoder.input_size, manifest.encoder.input_size)}
    noise = {f"noise_{k}": shape[1:] for k, shape in enumerate(architecture.noise_shapes)}
    return {"w": (architecture.num_ws, architecture.style_dim), **noise}


def output_shape(manifest: Manifest, graph: GraphName) -> tuple[int, ...]:
    """Shape of one image's part of a graph's output."""
    architecture = manifest.architecture
    if graph == "mapping":
        return (architecture.style_dim,)
    if graph == "fields":
        return (FIELDS, CELLS, CELLS)
    if graph == "encoder":
        return code_shape(manifest)
    return (architecture.channels, architecture.resolution, architecture.resolution)


def empty_result(manifest: Manifest, graph: GraphName, images: int, pixels: bool) -> NDArray[Any]:
    """Room for what `Backend.compute` returns."""
    return np.empty((images, *output_shape(manifest, graph)), np.uint8 if pixels else np.float32)


def graph_names(manifest: Manifest) -> list[GraphName]:
    """The graphs that a bundle has."""
    return [name for name in GRAPHS if getattr(manifest.graphs, name) is not None]


GRAPHS: tuple[GraphName, ...] = ("mapping", "synthesis", "encoder", "decoder", "fields")


def graph_files(manifest: Manifest, precision: str | None) -> Mapping[GraphName, str]:
    """The ONNX file of each graph, in `precision` where the bundle has it in that, else in float32."""
    plain = {name: getattr(manifest.graphs, name) for name in graph_names(manifest)}
    return plain | dict(manifest.precisions.get(precision or "fp32", {}))


def lacks_precision(bundle: Bundle, precision: str | None) -> str | None:
    """Why the bundle's ONNX graphs cannot run in `precision`; None where they can."""
    if precision in (None, "fp32") or bundle.manifest.precisions.get(precision):
        return None
    return f"the bundle has no {precision} graphs: fg-export --precision {precision}"
