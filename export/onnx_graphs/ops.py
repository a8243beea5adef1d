"""The custom ops of ONNX domain `fingergen`, version 1, and their forms in a graph.

`CustomOps` writes one node an op, and its meaning in standard operators as a function in the same file: an
engine with our kernels runs those, any other runs the function. `NativeOps` writes standard operators, for
engines that know no functions and for those that fuse standard operators better than they call plugins.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import onnx
import onnx.parser
from numpy.typing import NDArray

from fingergen.runtime.backends import Precision

from .builder import OPSET, Graph

DOMAIN = "fingergen"
# TensorRT's parser takes the plugin instead of the function only if the node names the plugin's namespace.
PLUGIN = {"plugin_namespace": DOMAIN, "plugin_version": "1"}
NEGATIVE_SLOPE = 0.2
SCALE = math.sqrt(2)
EPSILON = 1e-8  # of the demodulation

# bias (C) becomes (C, 1, …, 1), a one for each axis of x after N and C. Ranks are static: engines fold it.
FUSED_LEAKY_RELU = onnx.parser.parse_function(f"""
<domain: "{DOMAIN}", opset_import: ["" : {OPSET}]>
FusedLeakyReLU <negative_slope: float = {NEGATIVE_SLOPE}, scale: float = {SCALE:.8f}> (x, bias) => (y)
{{
    shape = Shape (x)
    rank = Shape (shape)
    two = Constant <value_ints = [2]> ()
    axes = Sub (rank, two)
    ones = ConstantOfShape <value = int64[1] {{1}}> (axes)
    all = Constant <value_ints = [-1]> ()
    column = Concat <axis = 0> (all, ones)
    bias_column = Reshape (bias, column)
    biased = Add (x, bias_column)
    rectified = LeakyRelu <alpha: float = @negative_slope> (biased)
    scale_float = Constant <value_float: float = @scale> ()
    scale_typed = CastLike (scale_float, x)
    y = Mul (rectified, scale_typed)
}}
""")

# Zero insertion: (N, C, H, W) → (N, C, H, 1, W, 1), expanded to (N, C, H, up, W, up), times a mask that keeps
# the first of each up x up copies. Unlike Pad, engines drop Expand and Mul where up is 1.
# The filter: one 3-D convolution over (N, 1, C, H, W) with a (1, 1, 1, kH, kW) kernel, since a depthwise one
# would need C as an attribute; it correlates, so the kernel is reversed first.
UPFIRDN2D = onnx.parser.parse_function(f"""
<domain: "{DOMAIN}", opset_import: ["" : {OPSET}]>
UpFirDn2d <up: int = 1, down: int = 1, pad: ints = [0, 0, 0, 0]> (x, kernel) => (y)
{{
    i_0 = Constant <value_ints = [0]> ()
    i_1 = Constant <value_ints = [1]> ()
    i_00 = Constant <value_ints = [0, 0]> ()
    i_01 = Constant <value_ints = [0, 1]> ()
    i_000 = Constant <value_ints = [0, 0, 0]> ()
    last = Constant <value_ints = [-1, -1]> ()
    before_first = Constant <value_ints = [{-(2**31)}, {-(2**31)}]> ()
    to_end = Constant <value_ints = [{2**63 - 1}, {2**63 - 1}]> ()

    up_0 = Constant <value_int: int = @up> ()
    up_1 = Unsqueeze (up_0, i_0)
    after_sample = Constant <value_ints = [3, 5]> ()
    x_6d = Unsqueeze (x, after_sample)
    copies = Concat <axis = 0> (up_1, i_1, up_1)
    copied = Expand (x_6d, copies)
    keep = Constant <value_floats = [1.0]> ()
    zeros = Sub (up_1, i_1)
    zeros_after = Concat <axis = 0> (i_0, zeros)
    mask_row = Pad (keep, zeros_after)
    up_to_column = Constant <value_ints = [1, 2]> ()
    mask_column = Unsqueeze (mask_row, up_to_column)
    mask_float = Mul (mask_column, mask_row)
    mask = CastLike (mask_float, x)
    masked = Mul (copied, mask)
    channels = Shape <start = 1, end = 2> (x)
    size = Shape <start = 2, end = 4> (x)
    size_up = Mul (size, up_0)
    shape_up = Concat <axis = 0> (i_01, channels, size_up)
    spread = Reshape (masked, shape_up)

    pad_xxyy = Constant <value_ints: ints = @pad> ()
    yxyx = Constant <value_ints = [2, 0, 3, 1]> ()
    pad_yxyx = Gather (pad_xxyy, yxyx)
    pad_begin, pad_end = Split <num_outputs = 2> (pad_yxyx)
    pad_5d = Concat <axis = 0> (i_000, pad_begin, i_000, pad_end)
    padded = Pad (spread, pad_5d)

    kernel_reversed = Slice (kernel, last, before_first, i_01, last)
    leading = Constant <value_ints = [0, 1, 2]> ()
    kernel_5d = Unsqueeze (kernel_reversed, leading)
    filtered = Conv (padded, kernel_5d)

    down_0 = Constant <value_int: int = @down> ()
    down_1 = Unsqueeze (down_0, i_0)
    steps = Concat <axis = 0> (down_1, down_1)
    rows_columns = Constant <value_ints = [3, 4]> ()
    kept = Slice (filtered, i_00, to_end, rows_columns, steps)
    y = Squeeze (kept, i_1)
}}
""")


# From the ws of an image, (batch, num_ws, style_dim), to what scales a layer's input channels.
_STYLE = """
    style_index_value = Constant <value_int: int = @style_index> ()
    w_of_layer = Gather <axis = 1> (w, style_index_value)
    style = Gemm (w_of_layer, modulation, modulation_bias)
"""
_LAYER_OF = f"""
    {_STYLE}
    pixels = Constant <value_ints = [2, 3]> ()
    style_4d = Unsqueeze (style, pixels)
    scaled = Mul (x, style_4d)
    {{convolved}}
    weight_squared = Mul (weight, weight)
    power_rows = ReduceSum <keepdims = 0> (weight_squared, pixels)
    power = Transpose (power_rows)
    style_squared = Mul (style, style)
    norm_squared = MatMul (style_squared, power)
    epsilon_value = Constant <value_float: float = @epsilon> ()
    norm_shifted = Add (norm_squared, epsilon_value)
    norm = Sqrt (norm_shifted)
    norm_4d = Unsqueeze (norm, pixels)
    demodulated = Div (convolved, norm_4d)
    exponent = MatMul (w_of_layer, noise_exponent)
    negated = Neg (exponent)
    shrinking = Exp (negated)
    one = Constant <value_float = 1.0> ()
    strongest_value = Constant <value_float: float = @strongest> ()
    strongest_less_1 = Sub (strongest_value, one)
    less = Mul (shrinking, strongest_less_1)
    divisor = Add (less, one)
    limit = Mul (strength, strongest_value)
    strengths = Div (limit, divisor)
    all_but_batch = Constant <value_ints = [1, 2, 3]> ()
    strengths_4d = Unsqueeze (strengths, all_but_batch)
    scaled_noise = Mul (noise, strengths_4d)
    noisy = Add (demodulated, scaled_noise)
    column = Constant <value_ints = [-1, 1, 1]> ()
    bias_column = Reshape (bias, column)
    biased = Add (noisy, bias_column)
    rectified = LeakyRelu <alpha: float = @negative_slope> (biased)
    scale_value = Constant <value_float: float = @scale> ()
    y = Mul (rectified, scale_value)
"""
_CONVOLVED = "convolved = Conv <pads = [1, 1, 1, 1]> (scaled, weight)"
# The filter as in UpFirDn2d: one 3-D convolution with the reversed kernel.
_UP_CONVOLVED = f"""
    weight_io = Transpose <perm = [1, 0, 2, 3]> (weight)
    spread = ConvTranspose <strides = [2, 2]> (scaled, weight_io)
    i_0 = Constant <value_ints = [0]> ()
    i_1 = Constant <value_ints = [1]> ()
    last = Constant <value_ints = [-1]> ()
    before_first = Constant <value_ints = [{-(2**31)}]> ()
    taps_reversed = Slice (taps, last, before_first, i_0, last)
    taps_column = Unsqueeze (taps_reversed, i_1)
    kernel = Mul (taps_column, taps_reversed)
    leading = Constant <value_ints = [0, 1, 2]> ()
    kernel_5d = Unsqueeze (kernel, leading)
    spread_5d = Unsqueeze (spread, i_1)
    filtered = Conv <pads = [0, 1, 1, 0, 1, 1]> (spread_5d, kernel_5d)
    convolved = Squeeze (filtered, i_1)
"""
_LAYER_ATTRIBUTES = (
    f"negative_slope: float = {NEGATIVE_SLOPE}, scale: float = {SCALE:.8f}, epsilon: float = {EPSILON}, "
    "strongest: float, style_index: int = 0"
)


def _layer(name: str, inputs: str, convolved: str) -> onnx.FunctionProto:
    return onnx.parser.parse_function(
        f'<domain: "{DOMAIN}", opset_import: ["" : {OPSET}]>\n'
        f"{name} <{_LAYER_ATTRIBUTES}> ({inputs}) => (y)\n{{{_LAYER_OF.format(convolved=convolved)}}}"
    )


# A whole layer of the synthesis network: cpp_ops/styled_conv/styled_conv.h defines both.
_STYLED_INPUTS = "strength, modulation, modulation_bias, noise_exponent"
STYLED_CONV = _layer("StyledConv", f"x, w, weight, noise, bias, {_STYLED_INPUTS}", _CONVOLVED)
STYLED_UP_CONV = _layer("StyledUpConv", f"x, w, weight, noise, bias, taps, {_STYLED_INPUTS}", _UP_CONVOLVED)

# A level's part of the image, on top of the level below: cpp_ops/to_rgb/to_rgb.h defines it. Zeros are
# inserted and filtered by one transposed convolution of all planes.
TO_RGB = onnx.parser.parse_function(f"""
<domain: "{DOMAIN}", opset_import: ["" : {OPSET}]>
ToRGB <style_index: int = 0> (x, w, weight, bias, image, taps, border, modulation, modulation_bias) => (y)
{{
    {_STYLE}
    pixels = Constant <value_ints = [2, 3]> ()
    style_4d = Unsqueeze (style, pixels)
    scaled = Mul (x, style_4d)
    weight_4d = Unsqueeze (weight, pixels)
    part = Conv (scaled, weight_4d, bias)
    i_1 = Constant <value_ints = [1]> ()
    taps_column = Unsqueeze (taps, i_1)
    kernel = Mul (taps_column, taps)
    leading = Constant <value_ints = [0, 1]> ()
    kernel_4d = Unsqueeze (kernel, leading)
    as_planes = Constant <value_ints = [-1, 1, 0, 0]> ()
    planes = Reshape (image, as_planes)
    upsampled_planes = ConvTranspose <strides = [2, 2], pads = [1, 1, 1, 1]> (planes, kernel_4d)
    size = Shape (part)
    upsampled = Reshape (upsampled_planes, size)
    border_column = Unsqueeze (border, i_1)
    scaled_rows = Mul (upsampled, border_column)
    scaled_columns = Mul (scaled_rows, border)
    y = Add (part, scaled_columns)
}}
""")

# The runtime's `images.to_levels`, operation by operation: the same bits. Halves are rounded to even.
TO_LEVELS = onnx.parser.parse_function(f"""
<domain: "{DOMAIN}", opset_import: ["" : {OPSET}]>
ToLevels (image) => (levels)
{{
    one = Constant <value_float = 1.0> ()
    shifted = Add (image, one)
    half_range = Constant <value_float = 127.5> ()
    scaled = Mul (shifted, half_range)
    rounded = Round (scaled)
    darkest = Constant <value_float = 0.0> ()
    brightest = Constant <value_float = 255.0> ()
    clipped = Clip (rounded, darkest, brightest)
    levels = Cast <to = {onnx.TensorProto.UINT8}> (clipped)
}}
""")


class Ops(Protocol):
    """How a builder writes the custom ops.

    Attributes:
        whole_layers: whether `StyledConv`, `ToRGB` and `ToLevels` stand for parts of the synthesis network.
    """

    whole_layers: bool

    def fused_leaky_relu(self, graph: Graph, x: str, bias: NDArray[np.floating], rank: int = 4) -> str:
        """√2 · leaky_relu(x + bias); x (N, C, …) of `rank` axes."""

    def upfirdn2d(
        self, graph: Graph, x: str, channels: int, kernel: NDArray[np.floating], up: int, pad: Sequence[int]
    ) -> str:
        """Zeros inserted, padded [x0, x1, y0, y1] and filtered; x has `channels`."""


Build = Callable[[Ops, Precision], onnx.ModelProto]
"""Makes a network's graph."""


class CustomOps:
    """Nodes of domain `fingergen` and their functions."""

    def __init__(self, whole_layers: bool) -> None:
        self.whole_layers = whole_layers

    def fused_leaky_relu(self, graph: Graph, x: str, bias: NDArray[np.floating], rank: int = 4) -> str:
        inputs = x, graph.constant("bias", bias, like=x)
        return graph.call(FUSED_LEAKY_RELU, *inputs, negative_slope=NEGATIVE_SLOPE, scale=SCALE, **PLUGIN)

    def upfirdn2d(
        self, graph: Graph, x: str, channels: int, kernel: NDArray[np.floating], up: int, pad: Sequence[int]
    ) -> str:
        inputs = x, graph.constant("kernel", kernel, like=x)
        return graph.call(UPFIRDN2D, *inputs, up=up, down=1, pad=list(pad), **PLUGIN)


class NativeOps:
    """Standard operators: bias, LeakyRelu and gain; depthwise convolutions."""

    whole_layers = False

    def fused_leaky_relu(self, graph: Graph, x: str, bias: NDArray[np.floating], rank: int = 4) -> str:
        column = bias.reshape(-1, *[1] * (rank - 2))
        biased = graph.add("Add", x, graph.constant("bias", column, like=x), name="biased")
        rectified = graph.add("LeakyRelu", biased, alpha=NEGATIVE_SLOPE)
        return graph.add("Mul", rectified, graph.constant("gain", SCALE, like=x), name="FusedLeakyReLU")

    def upfirdn2d(
        self, graph: Graph, x: str, channels: int, kernel: NDArray[np.floating], up: int, pad: Sequence[int]
    ) -> str:
        height, width = kernel.shape
        x0, x1, y0, y1 = pad
        if up == 1:
            taps, op = kernel[::-1, ::-1], "Conv"
            pads = [y0, x0, y1, x1]
        else:
            # A transposed convolution of stride `up` is the full convolution of the zero-filled signal; its
            # `pads` crop that to what the op's padding leaves.
            taps, op = kernel, "ConvTranspose"
            pads = [height - 1 - y0, width - 1 - x0, height - up - y1, width - up - x1]
        if min(pads) < 0:
            raise ValueError(f"upfirdn2d: no native form for up={up}, pad={list(pad)}, kernel {kernel.shape}")
        weight = graph.constant("kernel", np.broadcast_to(taps, (channels, 1, height, width)), like=x)
        return graph.add(op, x, weight, name="UpFirDn2d", group=channels, strides=[up, up], pads=pads)


OPS: dict[str, Ops] = {"custom": CustomOps(whole_layers=True), "native": NativeOps()}
PLUGIN_OPS: Ops = CustomOps(whole_layers=False)
"""For engines with our plugins: there are none for whole layers."""
