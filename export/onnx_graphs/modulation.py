"""Modulated convolutions: one node for a whole layer, or its parts in operators that every engine has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from .builder import Graph
from .ops import EPSILON, NEGATIVE_SLOPE, SCALE, STYLED_CONV, STYLED_UP_CONV, TO_LEVELS, TO_RGB, Ops
from .weights import Float64, unit_rows

FIR_PAD = (1, 1, 1, 1)  # of a layer that doubles the resolution
IMAGE_PAD = (2, 1, 2, 1)  # of an image that is upsampled


@dataclass(frozen=True)
class Style:
    """What scales a convolution's input channels: an affine map of one of an image's ws.

    Attributes:
        w: the value of all of them, (batch, num_ws, style_dim) float32.
        index: which.
        modulation: [style_dim, I].
        bias: [I].
    """

    w: str
    index: int
    modulation: Float64
    bias: Float64

    def of_layer(self, graph: Graph) -> str:
        """The w, (batch, style_dim) float32."""
        index = graph.constant("style_index", self.index)
        return graph.add("Gather", self.w, index, name="style", axis=1)

    def parameters(self, graph: Graph) -> tuple[str, str]:
        """Add the map's matrix and bias to the graph; returns their names."""
        return graph.constant("modulation", self.modulation), graph.constant("modulation_bias", self.bias)


@dataclass(frozen=True)
class Modulated:
    """A modulated convolution.

    Attributes:
        weight: [O, I, k, k].
        style: what scales the input channels; in older graphs a value of its own, (batch, I) float32.
        kernel: (4, 4) of the filter behind a transposed convolution of stride 2; None: a convolution.
        demodulate: whether output channels are divided by the norms of their scaled weights.
    """

    weight: Float64
    style: Style | str
    kernel: Float64 | None = None
    demodulate: bool = True

    @property
    def taps(self) -> Float64 | None:
        """Of the filter; None where there are none."""
        return None if self.kernel is None else taps(self.kernel)

    def scale_in(self, graph: Graph) -> str:
        """The style as a value, (batch, I) float32."""
        if isinstance(self.style, str):
            return self.style
        return graph.add("Gemm", self.style.of_layer(graph), *self.style.parameters(graph), name="scale_in")


@dataclass(frozen=True)
class Noise:
    """Noise that a layer adds to all its channels.

    Attributes:
        image: the value, (1 | batch, 1, H, W) float32.
        strength: [1], its factor where w is 0; None, as in older graphs: the image has it.
        exponent: [style_dim], what makes a number u of an image's w; None, as in older graphs: u is 0.
        strongest: s, of the factor s / (1 + (s - 1) exp(-u)); 0, as in older graphs: u is added instead.
    """

    image: str
    strength: Float64 | None
    exponent: Float64 | None
    strongest: float

    def scaled(self, graph: Graph, style: Style | str) -> str:
        """The image times its strength, (1 | batch, 1, H, W) float32; `style`: of the layer's convolution."""
        if self.strength is None:
            return self.image
        strength = graph.constant("noise_strength", self.strength)
        if isinstance(style, Style) and self.exponent is not None and self.exponent.any():
            exponent = graph.constant("noise_exponent", self.exponent.reshape(-1, 1))
            exponent = graph.add("MatMul", style.of_layer(graph), exponent, name="exponent")
            strength = per_channel(graph, self._grown(graph, strength, exponent))
        return graph.add("Mul", self.image, strength, name="noise")

    def _grown(self, graph: Graph, strength: str, exponent: str) -> str:
        """The strengths of images, (batch, 1) float32."""
        if not self.strongest:
            return graph.add("Add", exponent, strength, name="strength")
        shrinking = graph.add("Exp", graph.add("Neg", exponent, name="negated"), name="shrinking")
        span = graph.constant("span", self.strongest - 1)
        divisor = graph.add("Mul", shrinking, span, name="divisor_less_1")
        divisor = graph.add("Add", divisor, graph.constant("one", 1.0), name="divisor")
        limit = graph.add("Mul", strength, graph.constant("strongest", self.strongest), name="limit")
        return graph.add("Div", limit, divisor, name="strength")


@dataclass(frozen=True)
class Below:
    """The image of the level below.

    Attributes:
        image: the value, (batch, C, R / 2, R / 2) float32.
        kernel: (4, 4) of the filter that upsamples it.
        border: [R], factors of the upsampled image's rows and columns.
    """

    image: str
    kernel: Float64
    border: Float64

    def upsampled(self, graph: Graph, ops: Ops, channels: int) -> str:
        """The upsampled image, (batch, C, R, R) float32."""
        image = ops.upfirdn2d(graph, self.image, channels, self.kernel, 2, IMAGE_PAD)
        if (self.border == 1).all():
            return image
        image = graph.add("Mul", image, graph.constant("rows", self.border[:, None]), name="scaled_rows")
        return graph.add("Mul", image, graph.constant("columns", self.border[None]), name="scaled_columns")


def taps(kernel: Float64) -> Float64 | None:
    """Taps (4) whose outer product is a filter's kernel; None where there are none."""
    if kernel.sum() <= 0:
        return None
    taps: Float64 = kernel.sum(axis=1) / np.sqrt(kernel.sum())
    return taps if taps.shape == (4,) and np.allclose(np.outer(taps, taps), kernel) else None


def styled_conv(
    graph: Graph,
    ops: Ops,
    conv: Modulated,
    x: str,
    noise: Noise,
    bias: Float64,
    whole: bool,
) -> str:
    """√2 · leaky_relu(modulated convolution of x + noise + bias); one node if `whole` and there is one."""
    style = conv.style
    plain = conv.kernel is None
    if whole and isinstance(style, Style) and (plain or conv.taps is not None):
        assert noise.strength is not None and noise.exponent is not None  # new graphs say both
        function = STYLED_CONV if plain else STYLED_UP_CONV
        weight = graph.constant("weight", conv.weight)
        inputs = [x, style.w, weight, noise.image, graph.constant("bias", bias)]
        if conv.taps is not None:
            inputs.append(graph.constant("taps", conv.taps))
        inputs.append(graph.constant("noise_strength", noise.strength))
        inputs += style.parameters(graph)
        inputs.append(graph.constant("noise_exponent", noise.exponent))
        factors = {"negative_slope": NEGATIVE_SLOPE, "scale": SCALE, "epsilon": EPSILON}
        factors["strongest"] = noise.strongest
        return graph.call(function, *inputs, **factors, style_index=style.index)
    scaled = noise.scaled(graph, style)
    x, scale_out = modulated_conv(graph, ops, conv, x)
    x = graph.add("Mul", x, graph.activation(per_channel(graph, scale_out)), name="demodulated")
    x = graph.add("Add", x, graph.activation(scaled), name="noisy")
    return ops.fused_leaky_relu(graph, x, bias)


def to_rgb(
    graph: Graph, ops: Ops, conv: Modulated, x: str, bias: Float64, below: Below | None, whole: bool
) -> str:
    """1x1 modulated convolution of x + bias + the upsampled image; one node if `whole` and there is one."""
    channels, style = len(bias), conv.style
    if (
        whole
        and isinstance(style, Style)
        and below is not None
        and (filter_taps := taps(below.kernel)) is not None
    ):
        weight = graph.constant("weight", conv.weight.reshape(channels, -1))
        image = below.image, graph.constant("taps", filter_taps), graph.constant("border", below.border)
        inputs = x, style.w, weight, graph.constant("bias", bias), *image, *style.parameters(graph)
        return graph.call(TO_RGB, *inputs, style_index=style.index)
    x, scale_out = modulated_conv(graph, ops, conv, x)
    x = graph.add("Mul", graph.float32(x), per_channel(graph, scale_out), name="rescaled")
    x = graph.add("Add", x, graph.constant("bias", bias[:, None, None]), name="biased")
    if below is None:
        return x
    return graph.add("Add", x, below.upsampled(graph, ops, channels), name="image")


def to_levels(graph: Graph, image: str, whole: bool) -> str:
    """The image in 256 levels, clipped, as the runtime's `images.to_levels` has them: bit by bit; one node if
    `whole`. They are a quarter of the bytes to fetch from a GPU."""
    if whole:
        return graph.call(TO_LEVELS, image)
    x = graph.add("Add", image, graph.constant("one", 1.0), name="shifted")
    x = graph.add("Mul", x, graph.constant("half_range", 127.5), name="scaled")
    x = graph.add("Round", x, name="rounded")  # halves to even
    limits = graph.constant("darkest", 0.0), graph.constant("brightest", 255.0)
    x = graph.add("Clip", x, *limits, name="clipped")
    return graph.add("Cast", x, name="levels", to=TensorProto.UINT8)


def modulated_conv(graph: Graph, ops: Ops, conv: Modulated, x: str) -> tuple[str, str]:
    """Input channels times their scales, and a convolution with constant weights; also (batch, O), what
    its output channels are to be multiplied with, in float32.

    The scales are relative to the largest, and each output channel's weight has norm 1: both factors go
    into what the output is multiplied with. So float16 cannot overflow where the feature maps fit it: a
    convolution's output is at most √(I k²) times as large as its input, and as a rule no larger.
    """
    weight, norms = unit_rows(conv.weight)  # [O, I, k, k], [O]
    scale_in = conv.scale_in(graph)  # (batch, I)
    peak = graph.add("Abs", scale_in, name="scale_in_magnitude")
    peak = graph.add("ReduceMax", peak, graph.constant("channel_axis", [1]), name="peak", keepdims=1)
    peak = graph.add("Add", peak, graph.constant("epsilon", EPSILON), name="peak_shifted")  # never zero
    relative = graph.add("Div", scale_in, peak, name="scale_in_relative")
    x = graph.add("Mul", x, graph.activation(per_channel(graph, relative)), name="scaled_in")
    if conv.kernel is not None:
        flipped = graph.constant("weight", weight.swapaxes(0, 1), like=x)  # [I, O, k, k], as ONNX has it
        x = graph.add("ConvTranspose", x, flipped, strides=[2, 2])
        x = ops.upfirdn2d(graph, x, weight.shape[0], conv.kernel, 1, FIR_PAD)
    else:
        x = graph.add("Conv", x, graph.constant("weight", weight, like=x), pads=[weight.shape[-1] // 2] * 4)
    if not conv.demodulate:
        return x, graph.add("Mul", peak, graph.constant("norms", norms), name="scale_out")
    # peak · norms / √(‖weight · norms · scale_in‖² + ε), norms cancelled
    power = graph.constant("power", (weight**2).sum(axis=(2, 3)).T)  # [I, O]
    squared = graph.add("Mul", scale_in, scale_in, name="scale_in_squared")
    norm = graph.add("MatMul", squared, power, name="norm_squared")
    norm = graph.add("Add", norm, graph.constant("epsilon", EPSILON / norms**2), name="norm_shifted")
    return x, graph.add("Div", peak, graph.add("Sqrt", norm, name="norm"), name="scale_out")


def per_channel(graph: Graph, values: str) -> str:
    """(batch, C) → (batch, C, 1, 1)."""
    axes = graph.constant("pixel_axes", [2, 3])
    return graph.add("Unsqueeze", values, axes, name=f"{values.rpartition('/')[2]}_per_channel")
