"""The field network as an ONNX graph: raster of a template → orientation, period and contact."""

from __future__ import annotations

import numpy as np
import onnx
from torch import nn

from fingergen.runtime.minutiae.raster import CELLS, CHANNELS, FIELDS
from fingergen.training.networks.field_net import Block, FieldNet

from .builder import Graph
from .weights import array


def field_model(network: FieldNet) -> onnx.ModelProto:
    """`raster` float32 (batch, CHANNELS, CELLS, CELLS) → `fields` float32 (batch, FIELDS, CELLS, CELLS)."""
    graph = Graph("fields", "raster of a template to the finger's orientation, ridge period and contact")
    x = graph.input("raster", ["batch", CHANNELS, CELLS, CELLS], "minutiae, cores and deltas, cell by cell")
    x = graph.add("Concat", x, _place(graph, x), name="with_place", axis=1)
    with graph.scope("enter"):
        x = _block(graph, network.enter[1], _convolution(graph, network.enter[0], x))  # type: ignore[arg-type]
    finer = []
    for number, pair in enumerate(network.down):
        finer.append(x)
        with graph.scope(f"down.{number}"):
            x = _blocks(graph, pair, x)  # type: ignore[arg-type]
    with graph.scope("deep"):
        x = _blocks(graph, network.deep, x)
    for number, (pair, skipped) in enumerate(zip(network.up, reversed(finer), strict=True)):
        with graph.scope(f"up.{number}"):
            scales = graph.constant("scales", np.array([1.0, 1.0, 2.0, 2.0]))
            x = graph.add("Resize", x, "", scales, name="resized", mode="linear")
            x = _blocks(graph, pair, graph.add("Concat", x, skipped, axis=1))  # type: ignore[arg-type]
    x = _convolution(graph, network.leave, x)
    with graph.scope("leave"):
        linear, contact = (
            graph.add("Slice", x, *(graph.constant("bound", [v]) for v in (first, last, 1)), name="part")
            for first, last in ((0, FIELDS - 1), (FIELDS - 1, FIELDS))
        )
        x = graph.add("Concat", linear, graph.add("Sigmoid", contact), name="fields", axis=1)
    graph.output(
        "fields",
        x,
        ["batch", FIELDS, CELLS, CELLS],
        "cosine and sine of twice the orientation, 4 log(period / 9 pixels at 500 ppi), contact from 0 to 1",
    )
    return graph.model()


def _place(graph: Graph, raster: str) -> str:
    """x and y of the cells in [-1, 1], for every image of the batch: (batch, 2, CELLS, CELLS)."""
    line = (np.arange(CELLS) + 0.5) * (2 / CELLS) - 1
    place = graph.constant("place", np.stack(np.meshgrid(line, line))[None])
    shape = graph.add("Shape", raster, name="shape")
    batch = graph.add("Slice", shape, graph.constant("start", [0]), graph.constant("end", [1]), name="batch")
    size = graph.add("Concat", batch, graph.constant("rest", [2, CELLS, CELLS]), name="size", axis=0)
    return graph.add("Expand", place, size)


def _blocks(graph: Graph, blocks: nn.Sequential, x: str) -> str:
    for number, block in enumerate(blocks):
        with graph.scope(str(number)):
            x = _block(graph, block, x)  # type: ignore[arg-type]
    return x


def _block(graph: Graph, block: Block, x: str) -> str:
    """Convolution, group normalization as an instance normalization of groups, SiLU."""
    x = _convolution(graph, block[0], x)  # type: ignore[arg-type]
    norm: nn.GroupNorm = block[1]  # type: ignore[assignment]
    groups, ones = norm.num_groups, np.ones(norm.num_groups)
    shape = graph.add("Shape", x)
    flat = graph.add("Reshape", x, graph.constant("groups", [0, groups, -1]), name="flat")
    unit, none = graph.constant("unit", ones), graph.constant("none", 0 * ones)
    flat = graph.add("InstanceNormalization", flat, unit, none, epsilon=norm.eps)
    x = graph.add("Reshape", flat, shape, name="normal")
    x = graph.add("Mul", x, graph.constant("gain", array(norm.weight)[:, None, None]), name="scaled")
    x = graph.add("Add", x, graph.constant("offset", array(norm.bias)[:, None, None]), name="shifted")
    return graph.add("Mul", x, graph.add("Sigmoid", x), name="silu")


def _convolution(graph: Graph, layer: nn.Conv2d, x: str) -> str:
    assert layer.bias is not None
    weight = graph.constant("weight", array(layer.weight))
    bias = graph.constant("bias", array(layer.bias))
    pads, strides = [layer.kernel_size[0] // 2] * 4, list(layer.stride)
    return graph.add("Conv", x, weight, bias, pads=pads, strides=strides)
