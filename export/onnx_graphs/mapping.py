"""Mapping network as an ONNX graph: z → w."""

from __future__ import annotations

import onnx

from fingergen.training.networks import Generator
from fingergen.training.networks.layers import EqualLinear, PixelNorm

from .builder import Graph
from .ops import Ops
from .weights import linear

EPSILON = 1e-8  # of PixelNorm


def mapping_model(generator: Generator, ops: Ops) -> onnx.ModelProto:
    """`z` float32 (batch, style_dim), standard normal → `w` float32 (batch, style_dim)."""
    size = generator.style_dim
    graph = Graph("mapping", "StyleGAN2 mapping network: z, standard normal, to the style w")
    x = graph.input("z", ["batch", size], "latent, standard normal")
    for i, layer in enumerate(generator.style):
        with graph.scope(f"style.{i}"):
            if isinstance(layer, PixelNorm):
                power = graph.add("Mul", x, x, name="power")
                mean = graph.add("ReduceMean", power, graph.constant("axes", [1]), name="mean", keepdims=1)
                shifted = graph.add("Add", mean, graph.constant("epsilon", EPSILON), name="shifted")
                x = graph.add("Div", x, graph.add("Sqrt", shifted, name="norm"), name="normalised")
            elif isinstance(layer, EqualLinear):
                weight, bias = linear(layer)
                x = graph.add("MatMul", x, graph.constant("weight", weight.T))
                x = ops.fused_leaky_relu(graph, x, bias, rank=2)
    graph.output("w", x, ["batch", size], "style, the same for all layers of the synthesis network")
    return graph.model()
