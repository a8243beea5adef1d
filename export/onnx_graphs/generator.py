"""Synthesis network as an ONNX graph: a style for every layer, and noise → image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import onnx
from onnx import TensorProto

from fingergen.training.networks import Generator
from fingergen.training.networks.generator import StyledConv, ToRGB
from fingergen.training.networks.layers import Fir, ModulatedConv

from .builder import Graph, Precision
from .ops import Ops
from .weights import array, linear, modulated, unit_rows

EPSILON = 1e-8  # of the demodulation


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
    writer = _Writer(graph, ops, w)
    x = graph.activation(graph.constant("input.input", array(generator.input.input)))
    with graph.scope("conv1"):
        x = writer.styled_conv(generator.conv1, x, 0, noise[0])
    with graph.scope("to_rgb1"):
        image = writer.to_rgb(generator.to_rgb1, x, 1, None)
    for level, to_rgb in enumerate(generator.to_rgbs):
        i = 2 * level + 1  # the last style of the level below is also the first of this one
        for conv, style in ((i - 1, i), (i, i + 1)):
            with graph.scope(f"convs.{conv}"):
                x = writer.styled_conv(cast(StyledConv, generator.convs[conv]), x, style, noise[style])
        with graph.scope(f"to_rgbs.{level}"):
            image = writer.to_rgb(cast(ToRGB, to_rgb), x, i + 2, image)
    size: list[int | str] = ["batch", generator.channels, generator.resolution, generator.resolution]
    graph.output("image", image, size, "image, nominally in [-1, 1]: background +1, ridges -1; not clipped")
    with graph.scope("pixels"):
        levels = _levels(graph, "image")
    graph.output("pixels", levels, size, "the image in 256 levels, clipped", TensorProto.UINT8)
    return graph.model()


def _levels(graph: Graph, image: str) -> str:
    """The runtime's `images.to_levels`, operation by operation: the same bits, and a quarter of the bytes to
    fetch from a GPU.
    """
    x = graph.add("Add", image, graph.constant("one", 1.0), name="shifted")
    x = graph.add("Mul", x, graph.constant("half_range", 127.5), name="scaled")
    x = graph.add("Round", x, name="rounded")  # halves to even
    limits = graph.constant("darkest", 0.0), graph.constant("brightest", 255.0)
    x = graph.add("Clip", x, *limits, name="clipped")
    return graph.add("Cast", x, name="levels", to=TensorProto.UINT8)


@dataclass(frozen=True)
class _Writer:
    """Writes the network's layers; each method mirrors the PyTorch module of its name."""

    graph: Graph
    ops: Ops
    w: str

    def styled_conv(self, layer: StyledConv, x: str, style: int, noise: str) -> str:
        graph = self.graph
        x, scale_out = self.modulated_conv(layer.conv, x, style)
        x = graph.add("Mul", x, graph.activation(self.per_channel(scale_out)), name="demodulated")
        strength = graph.constant("noise_strength", array(layer.noise.weight))
        noise = graph.activation(graph.add("Mul", noise, strength, name="noise"))
        x = graph.add("Add", x, noise, name="noisy")
        return self.ops.fused_leaky_relu(graph, x, array(layer.activate.bias))

    def to_rgb(self, layer: ToRGB, x: str, style: int, below: str | None) -> str:
        graph = self.graph
        x, scale_out = self.modulated_conv(layer.conv, x, style)
        x = graph.add("Mul", graph.float32(x), self.per_channel(scale_out), name="rescaled")
        x = graph.add("Add", x, graph.constant("bias", array(layer.bias)), name="biased")
        if below is None:
            return x
        return graph.add("Add", x, self.fir(layer.upsample, below, layer.bias.shape[1]), name="image")

    def modulated_conv(self, conv: ModulatedConv, x: str, style: int) -> tuple[str, str]:
        """Input channels times their scales, and a convolution with constant weights; also (batch, O), what
        its output channels are to be multiplied with, in float32.

        The scales are relative to the largest, and each output channel's weight has norm 1: both factors go
        into what the output is multiplied with. So float16 cannot overflow where the feature maps fit it: a
        convolution's output is at most √(I k²) times as large as its input, and as a rule no larger.
        """
        graph = self.graph
        weight, norms = unit_rows(modulated(conv))  # [O, I, k, k], [O]
        scale_in = self.scale_in(conv, style)  # (batch, I)
        peak = graph.add("Abs", scale_in, name="scale_in_magnitude")
        peak = graph.add("ReduceMax", peak, graph.constant("channel_axis", [1]), name="peak", keepdims=1)
        peak = graph.add("Add", peak, graph.constant("epsilon", EPSILON), name="peak_shifted")  # never zero
        relative = graph.add("Div", scale_in, peak, name="scale_in_relative")
        x = graph.add("Mul", x, graph.activation(self.per_channel(relative)), name="scaled_in")
        if conv.up:
            flipped = graph.constant("weight", weight.swapaxes(0, 1), like=x)  # [I, O, k, k], as ONNX has it
            x = graph.add("ConvTranspose", x, flipped, strides=[2, 2])
            x = self.fir(conv.blur, x, weight.shape[0])
        else:
            x = graph.add("Conv", x, graph.constant("weight", weight, like=x), pads=[conv.padding] * 4)
        if not conv.demodulate:
            return x, graph.add("Mul", peak, graph.constant("norms", norms), name="scale_out")
        # peak · norms / √(‖weight · norms · scale_in‖² + ε), norms cancelled
        power = graph.constant("power", (weight**2).sum(axis=(2, 3)).T)  # [I, O]
        squared = graph.add("Mul", scale_in, scale_in, name="scale_in_squared")
        norm = graph.add("MatMul", squared, power, name="norm_squared")
        norm = graph.add("Add", norm, graph.constant("epsilon", EPSILON / norms**2), name="norm_shifted")
        return x, graph.add("Div", peak, graph.add("Sqrt", norm, name="norm"), name="scale_out")

    def scale_in(self, conv: ModulatedConv, style: int) -> str:
        """The style's scale of every input channel, (batch, I)."""
        graph = self.graph
        weight, bias = linear(conv.modulation)
        w = graph.add("Gather", self.w, graph.constant("style_index", style), name="style", axis=1)
        parameters = graph.constant("modulation", weight.T), graph.constant("modulation_bias", bias)
        return graph.add("Gemm", w, *parameters, name="scale_in")

    def per_channel(self, values: str) -> str:
        """(batch, C) → (batch, C, 1, 1)."""
        axes = self.graph.constant("pixel_axes", [2, 3])
        return self.graph.add("Unsqueeze", values, axes, name=f"{values.rpartition('/')[2]}_per_channel")

    def fir(self, layer: Fir, x: str, channels: int) -> str:
        return self.ops.upfirdn2d(self.graph, x, channels, array(layer.kernel), layer.up, layer.pad)
