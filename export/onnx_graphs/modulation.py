"""Modulated convolutions: one node for a whole layer, or its parts in operators that every engine has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .builder import Graph
from .ops import EPSILON, NEGATIVE_SLOPE, SCALE, STYLED_CONV, STYLED_UP_CONV, Ops
from .weights import Float64, unit_rows

FIR_PAD = (1, 1, 1, 1)  # of a layer that doubles the resolution


@dataclass(frozen=True)
class Modulated:
    """A modulated convolution.

    Attributes:
        weight: [O, I, k, k].
        style: the value that scales the input channels, (batch, I) float32.
        kernel: (4, 4) of the filter behind a transposed convolution of stride 2; None: a convolution.
        demodulate: whether output channels are divided by the norms of their scaled weights.
    """

    weight: Float64
    style: str
    kernel: Float64 | None = None
    demodulate: bool = True

    @property
    def taps(self) -> Float64 | None:
        """Taps (4) whose outer product is the filter's kernel; None where there are none."""
        if self.kernel is None or self.kernel.sum() <= 0:
            return None
        taps: Float64 = self.kernel.sum(axis=1) / np.sqrt(self.kernel.sum())
        return taps if taps.shape == (4,) and np.allclose(np.outer(taps, taps), self.kernel) else None


def styled_conv(
    graph: Graph, ops: Ops, conv: Modulated, x: str, noise: str, bias: Float64, whole: bool
) -> str:
    """√2 · leaky_relu(modulated convolution of x + noise + bias); one node if `whole` and there is one."""
    if whole and (conv.kernel is None or conv.taps is not None):
        function = STYLED_CONV if conv.kernel is None else STYLED_UP_CONV
        inputs = [x, conv.style, graph.constant("weight", conv.weight), noise, graph.constant("bias", bias)]
        if conv.taps is not None:
            inputs.append(graph.constant("taps", conv.taps))
        return graph.call(function, *inputs, negative_slope=NEGATIVE_SLOPE, scale=SCALE, epsilon=EPSILON)
    x, scale_out = modulated_conv(graph, ops, conv, x)
    x = graph.add("Mul", x, graph.activation(per_channel(graph, scale_out)), name="demodulated")
    x = graph.add("Add", x, graph.activation(noise), name="noisy")
    return ops.fused_leaky_relu(graph, x, bias)


def modulated_conv(graph: Graph, ops: Ops, conv: Modulated, x: str) -> tuple[str, str]:
    """Input channels times their scales, and a convolution with constant weights; also (batch, O), what
    its output channels are to be multiplied with, in float32.

    The scales are relative to the largest, and each output channel's weight has norm 1: both factors go
    into what the output is multiplied with. So float16 cannot overflow where the feature maps fit it: a
    convolution's output is at most √(I k²) times as large as its input, and as a rule no larger.
    """
    weight, norms = unit_rows(conv.weight)  # [O, I, k, k], [O]
    scale_in = conv.style  # (batch, I)
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
