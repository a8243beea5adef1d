"""Synthesis network as an ONNX graph: a style for every layer, and noise → image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import onnx
from onnx import TensorProto

from fingergen.runtime.backends import Precision
from fingergen.training.networks import Generator
from fingergen.training.networks.generator import STRONGEST, StyledConv, ToRGB, border_scale
from fingergen.training.networks.layers import ModulatedConv

from .builder import Graph
from .modulation import Below, Modulated, Noise, Style, styled_conv, to_levels, to_rgb
from .ops import Ops
from .weights import array, linear, modulated, noise_exponent

WHOLE_LAYERS_FROM = 16
"""Pixels a side from which a whole layer's kernel is faster than its parts (AVX2, 96 to 512 channels)."""


def synthesis_model(generator: Generator, ops: Ops, precision: Precision = "fp32") -> onnx.ModelProto:
    """`w` float32 (batch, num_ws, style_dim) and `noise_i` float32 (noise_batch, 1, H, W) → `image` float32
    (batch, channels, resolution, resolution) and `pixels` uint8 of the same shape; noise_batch is 1, for
    noise that all images share, or batch.

    `precision` is that of feature maps and convolutions. Styles, demodulation and the image that the levels
    add to (it has few channels and costs little) are float32 always.
    """
    graph = Graph(
        "synthesis", "StyleGAN2 synthesis network: styles and noise to an image in [-1, 1]", precision
    )
    styles: list[int | str] = ["batch", generator.num_ws, generator.style_dim]
    w = graph.input("w", styles, "a style for every style input")
    noise = [
        graph.input(f"noise_{i}", ["noise_batch", *shape[1:]], "noise; noise_batch is 1 or batch")
        for i, shape in enumerate(generator.noise_shapes())
    ]
    writer = _Writer(graph, ops, w, ops.whole_layers and precision == "fp32")
    x = graph.activation(graph.constant("input.input", array(generator.input.input)))
    with graph.scope("conv1"):
        x = writer.styled_conv(generator.conv1, x, 0, noise[0], 4)
    with graph.scope("to_rgb1"):
        image = writer.to_rgb(generator.to_rgb1, x, 1, 4, None)
    for level, rgb in enumerate(generator.to_rgbs):
        i = 2 * level + 1  # the last style of the level below is also the first of this one
        for conv, style, side in ((i - 1, i, 4 << level), (i, i + 1, 8 << level)):
            with graph.scope(f"convs.{conv}"):
                x = writer.styled_conv(cast(StyledConv, generator.convs[conv]), x, style, noise[style], side)
        with graph.scope(f"to_rgbs.{level}"):
            image = writer.to_rgb(cast(ToRGB, rgb), x, i + 2, 8 << level, image)
    size: list[int | str] = ["batch", generator.channels, generator.resolution, generator.resolution]
    graph.output("image", image, size, "image, nominally in [-1, 1]: background +1, ridges -1; not clipped")
    with graph.scope("pixels"):
        levels = to_levels(graph, "image", writer.whole_layers)
    graph.output("pixels", levels, size, "the image in 256 levels, clipped", TensorProto.UINT8)
    return graph.model()


@dataclass(frozen=True)
class _Writer:
    """Writes the network's layers; each method mirrors the PyTorch module of its name."""

    graph: Graph
    ops: Ops
    w: str
    whole_layers: bool

    def styled_conv(self, layer: StyledConv, x: str, style: int, noise: str, side: int) -> str:
        """`side`: pixels of x."""
        conv = self.modulated(layer.conv, style)
        whole = self.whole_layers and side >= WHOLE_LAYERS_FROM
        added = Noise(noise, array(layer.noise.weight), noise_exponent(layer.noise), STRONGEST)
        return styled_conv(self.graph, self.ops, conv, x, added, array(layer.activate.bias), whole)

    def to_rgb(self, layer: ToRGB, x: str, style: int, side: int, image: str | None) -> str:
        """`side`: pixels of x."""
        below = None
        if image is not None:
            replicate = layer.image_padding == "replicate"
            border = border_scale(side).numpy()[:, 0] if replicate else np.ones(side)
            below = Below(image, array(layer.upsample.kernel), border)
        conv, bias = self.modulated(layer.conv, style), array(layer.bias).reshape(-1)
        return to_rgb(self.graph, self.ops, conv, x, bias, below, self.whole_layers)

    def modulated(self, conv: ModulatedConv, style: int) -> Modulated:
        kernel = array(conv.blur.kernel) if conv.up else None
        weight, bias = linear(conv.modulation)
        return Modulated(modulated(conv), Style(self.w, style, weight.T, bias), kernel, conv.demodulate)
