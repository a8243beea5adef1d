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


# Each place's kernel over half of the disc of offsets, dy > 0 or dy = 0 and dx >= 0: a kernel is even, so two
# opposite samples are added first (the middle, which meets itself, has half a weight). A round is a loop over
# these offsets, of two slices each.
RIDGE_GROWTH = onnx.parser.parse_function(f"""
<domain: "{DOMAIN}", opset_import: ["" : {OPSET}]>
RidgeGrowth <rounds: int = 30, radius: int = 6> (noise, orientation, period) => (ridges)
{{
    i_0 = Constant <value_ints = [0]> ()
    i_1 = Constant <value_ints = [1]> ()
    one = Constant <value_float = 1.0> ()
    two = Constant <value_float = 2.0> ()
    half = Constant <value_float = 0.5> ()
    all = Constant <value_ints = [-1]> ()
    pixels = Constant <value_ints = [2, 3]> ()
    channel = Constant <value_ints = [1]> ()
    true = Constant <value = bool {{1}}> ()

    rounds = Constant <value_int: int = @rounds> ()
    radius = Constant <value_int: int = @radius> ()
    radius_1 = Unsqueeze (radius, i_0)
    zero = Squeeze (i_0)
    scalar_1 = Squeeze (i_1)
    last = Add (radius, scalar_1)
    first = Neg (radius)
    steps = Range (first, last, scalar_1)
    side = Shape (steps)
    square = Concat <axis = 0> (side, side)
    dx_square = Expand (steps, square)
    dx_all = Reshape (dx_square, all)
    dy_square = Transpose (dx_square)
    dy_all = Reshape (dy_square, all)
    dx_2 = Mul (dx_all, dx_all)
    dy_2 = Mul (dy_all, dy_all)
    distance = Add (dx_2, dy_2)
    limit = Mul (radius, last)
    in_disc = LessOrEqual (distance, limit)
    span = Add (last, last)
    order_rows = Mul (dy_all, span)
    order = Add (order_rows, dx_all)
    from_middle = GreaterOrEqual (order, zero)
    wanted = And (in_disc, from_middle)
    dx = Compress (dx_all, wanted)
    dy = Compress (dy_all, wanted)
    order_wanted = Compress (order, wanted)
    is_middle = Equal (order_wanted, zero)

    as_channels = Constant <value_ints = [1, -1, 1, 1]> ()
    dx_float = Cast <to = 1> (dx)
    dx_4d = Reshape (dx_float, as_channels)
    dy_float = Cast <to = 1> (dy)
    dy_4d = Reshape (dy_float, as_channels)
    share_flat = Where (is_middle, one, two)
    share = Reshape (share_flat, as_channels)
    cos = Cos (orientation)
    sin = Sin (orientation)
    cos_per_period = Div (cos, period)
    sin_per_period = Div (sin, period)
    across_x = Mul (dx_4d, sin_per_period)
    across_y = Mul (dy_4d, cos_per_period)
    across = Add (across_x, across_y)
    along_x = Mul (dx_4d, cos_per_period)
    along_y = Mul (dy_4d, sin_per_period)
    along = Sub (along_x, along_y)
    across_2 = Mul (across, across)
    along_2 = Mul (along, along)
    across_decay = Constant <value_float = {-0.5 / 0.45**2:.8f}> ()
    along_decay = Constant <value_float = {-0.5 / 0.55**2:.8f}> ()
    across_exponent = Mul (across_2, across_decay)
    along_exponent = Mul (along_2, along_decay)
    exponent = Add (across_exponent, along_exponent)
    envelope = Exp (exponent)
    turn = Constant <value_float = {2 * math.pi:.8f}> ()
    phase = Mul (across, turn)
    wave = Cos (phase)
    shared = Mul (envelope, share)
    shared_wave = Mul (shared, wave)
    shared_square = Mul (shared_wave, wave)
    total = ReduceSum <keepdims = 1> (shared, channel)
    waves = ReduceSum <keepdims = 1> (shared_wave, channel)
    squares = ReduceSum <keepdims = 1> (shared_square, channel)
    mean = Div (waves, total)
    mean_waves = Mul (mean, waves)
    gain = Sub (squares, mean_waves)
    centered = Sub (wave, mean)
    raw = Mul (envelope, centered)
    middle_half_flat = Where (is_middle, half, one)
    middle_half = Reshape (middle_half_flat, as_channels)
    halved = Mul (raw, middle_half)
    weights = Div (halved, gain)

    offsets = Shape (dx)
    offset_count = Squeeze (offsets)
    size = Shape <start = 2, end = 4> (noise)
    i_00 = Constant <value_ints = [0, 0]> ()
    margin = Concat <axis = 0> (radius_1, radius_1)
    pads = Concat <axis = 0> (i_00, margin, i_00, margin)
    blank = Sub (noise, noise)
    filters = Add (rounds, scalar_1)
    ridges = Loop <body = round (
        int64 number, bool more_in, float[n, 1, h, w] image
    ) => (bool more, float[n, 1, h, w] next) {{
        padded = Pad <mode = "reflect"> (image, pads)
        filtered = Loop <body = offset (
            int64 k, bool go_in, float[n, 1, h, w] sum_in
        ) => (bool go, float[n, 1, h, w] sum) {{
            k_1 = Unsqueeze (k, i_0)
            dx_k = Gather (dx, k_1)
            dy_k = Gather (dy, k_1)
            step = Concat <axis = 0> (dy_k, dx_k)
            begin = Add (margin, step)
            end = Add (begin, size)
            sample = Slice (padded, begin, end, pixels)
            other_begin = Sub (margin, step)
            other_end = Add (other_begin, size)
            opposite = Slice (padded, other_begin, other_end, pixels)
            both = Add (sample, opposite)
            weight = Gather <axis = 1> (weights, k_1)
            term = Mul (both, weight)
            sum = Add (sum_in, term)
            go = Identity (go_in)
        }}> (offset_count, true, blank)
        doubled = Add (filtered, filtered)
        grown = Tanh (doubled)
        is_last = Equal (number, rounds)
        next = Where (is_last, filtered, grown)
        more = Identity (more_in)
    }}> (filters, true, noise)
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
