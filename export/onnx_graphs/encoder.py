"""Minutiae-to-vec encoder as an ONNX graph: minutiae map → w and, with a noise pyramid, noise images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import onnx
from torch import Tensor, nn

from fingergen.runtime.backends import Precision
from fingergen.training.networks import Encoder
from fingergen.training.networks.encoder import NoisePyramid, ResidualUnit, SqueezeExcite
from fingergen.training.networks.layers import EqualConv, FusedLeakyReLU

from .builder import Graph
from .ops import Ops
from .weights import Float64, affine, array, equalized, linear, normalized

ResidualLayers = tuple[nn.BatchNorm2d, nn.Conv2d, nn.PReLU, nn.Conv2d, nn.BatchNorm2d, SqueezeExcite]


def encoder_model(
    encoder: Encoder,
    latent_avg: Tensor | None,
    input_size: int,
    num_ws: int,
    ops: Ops,
    precision: Precision = "fp32",
) -> onnx.ModelProto:
    """`map` float32 (batch, 3, input_size, input_size) in [0, 1] → `w` float32 (batch, style_dim), or
    (batch, num_ws, style_dim) where the encoder or `latent_avg` has one for every style input.

    With a noise pyramid the one output is `code` float32 (batch, values) instead: w, then the noise images,
    coarsest first, all in a row; one output is one transfer from a GPU.

    `latent_avg` (style_dim,) or (num_ws, style_dim) is added to the encoder's output; None adds nothing.
    `precision` is that of feature maps and convolutions; means over the image, the gates made of them and the
    last layer are float32 always.
    """
    graph = Graph("encoder", "Minutiae-to-vec encoder (IR-SE): minutiae map to style", precision)
    size: list[int | str] = ["batch", encoder.input_channels, input_size, input_size]
    x = graph.input("map", size, "minutiae map in [0, 1]: one channel a minutia type, then cores and deltas")
    x = graph.activation(x)
    conv, norm, slope = cast(tuple[nn.Conv2d, nn.BatchNorm2d, nn.PReLU], tuple(encoder.input_layer))
    with graph.scope("input_layer"):
        x = _prelu(graph, _conv(graph, x, conv, norm), slope)
    features = [x]  # the last of each size, finest first
    for i, each in enumerate(encoder.body):
        unit = cast(ResidualUnit, each)
        with graph.scope(f"body.{i}"):
            x = _residual_unit(graph, x, unit)
        features = [*features, x] if _halves(unit) else [*features[:-1], x]
    mean = graph.add("GlobalAveragePool", graph.float32(x), name="mean")
    x = graph.add("Flatten", mean, name="features")
    weight, bias, w_plus = _output_layer(encoder, latent_avg, num_ws)
    with graph.scope("linear"):
        x = graph.add("Gemm", x, graph.constant("weight", weight.T), graph.constant("bias", bias))
        if w_plus and encoder.noise is None:
            shape = graph.constant("shape", [-1, num_ws, encoder.style_dim])
            x = graph.add("Reshape", x, shape, name="w_plus")
    if encoder.noise is not None:
        return _with_noise(graph, ops, x, encoder.noise, features[::-1])
    styles = [num_ws, encoder.style_dim] if w_plus else [encoder.style_dim]
    graph.output("w", x, ["batch", *styles], "style" + (" for every style input" if w_plus else ""))
    return graph.model()


def _with_noise(
    graph: Graph, ops: Ops, w: str, pyramid: NoisePyramid, features: Sequence[str]
) -> onnx.ModelProto:
    """The whole model, `features` of the trunk coarsest first."""
    flat = [w]
    x = None
    for level, (merge, head) in enumerate(zip(pyramid.merge, pyramid.head, strict=True)):
        with graph.scope(f"noise.{level}"):
            feature = features[level]
            if x is not None:
                down = cast(EqualConv, pyramid.down[level - 1])
                feature = graph.add("Add", feature, _twice_as_large(graph, _equal_conv(graph, x, down)))
            layers = list(cast(nn.Sequential, merge))
            for conv, activate in zip(layers[::2], layers[1::2], strict=True):
                feature = _equal_conv(graph, feature, cast(EqualConv, conv))
                bias = array(cast(FusedLeakyReLU, activate).bias)
                feature = ops.fused_leaky_relu(graph, feature, bias)
            x = feature
            images = graph.float32(_equal_conv(graph, x, cast(EqualConv, head)))
            flat.append(graph.add("Flatten", images, name="images"))
    graph.output("code", graph.add("Concat", *flat, axis=1), ["batch", "values"], "w, then noise images")
    return graph.model()


def _halves(unit: ResidualUnit) -> bool:
    """Whether the unit's output is half as large as its input."""
    return cast(nn.Conv2d, unit.res_layer[3]).stride != (1, 1)


def gives_w_plus(encoder: Encoder, latent_avg: Tensor | None) -> bool:
    """Whether encoder and average together give a style for every style input."""
    return encoder.num_ws is not None or (latent_avg is not None and latent_avg.ndim == 2)


def _output_layer(encoder: Encoder, latent_avg: Tensor | None, num_ws: int) -> tuple[Float64, Float64, bool]:
    """Weight [out, in] and bias (out) of the last layer, the average latent in the bias; whether it is W+."""
    weight, bias = linear(encoder.linear)
    w_plus = gives_w_plus(encoder, latent_avg)
    if w_plus and encoder.num_ws is None:
        weight, bias = np.tile(weight, (num_ws, 1)), np.tile(bias, num_ws)
    if latent_avg is not None:
        bias = bias + np.broadcast_to(array(latent_avg), (num_ws if w_plus else 1, encoder.style_dim)).ravel()
    return weight, bias, w_plus


def _residual_unit(graph: Graph, x: str, unit: ResidualUnit) -> str:
    first_norm, first_conv, slope, second_conv, second_norm, gate = cast(
        ResidualLayers, tuple(unit.res_layer)
    )
    with graph.scope("res_layer"):
        y = _batch_norm(graph, x, first_norm)
        y = _prelu(graph, _conv(graph, y, first_conv), slope)
        y = _conv(graph, y, second_conv, second_norm)
        y = _squeeze_excite(graph, y, gate)
    with graph.scope("shortcut_layer"):
        if isinstance(unit.shortcut_layer, nn.Sequential):
            conv, norm = cast(tuple[nn.Conv2d, nn.BatchNorm2d], tuple(unit.shortcut_layer))
            x = _conv(graph, x, conv, norm)
        elif (stride := cast(int, unit.shortcut_layer.stride)) != 1:
            x = graph.add("MaxPool", x, kernel_shape=[1, 1], strides=[stride] * 2)
    return graph.add("Add", y, x, name="sum")


def _squeeze_excite(graph: Graph, x: str, gate: SqueezeExcite) -> str:
    with graph.scope("squeeze_excite"):
        y = graph.add("GlobalAveragePool", graph.float32(x), name="mean")
        y = graph.add("Relu", graph.add("Conv", y, graph.constant("fc1", array(gate.fc1.weight))))
        y = graph.add("Sigmoid", graph.add("Conv", y, graph.constant("fc2", array(gate.fc2.weight))))
        return graph.add("Mul", x, graph.activation(y), name="gated")


def _conv(graph: Graph, x: str, conv: nn.Conv2d, norm: nn.BatchNorm2d | None = None) -> str:
    """A convolution without bias, and the batch normalization after it folded into it."""
    inputs = [array(conv.weight)] if norm is None else normalized(conv, norm)
    names = [
        graph.constant(name, value, like=x) for name, value in zip(("weight", "bias"), inputs, strict=False)
    ]
    padding = cast(tuple[int, int], conv.padding)
    return graph.add("Conv", x, *names, strides=conv.stride, pads=padding * 2)


def _equal_conv(graph: Graph, x: str, conv: EqualConv) -> str:
    weight = graph.constant("weight", equalized(conv), like=x)
    return graph.add("Conv", x, weight, strides=[conv.stride] * 2, pads=[conv.padding] * 4)


def _twice_as_large(graph: Graph, x: str) -> str:
    scales = graph.constant("scales", np.array([1, 1, 2, 2], np.float32))
    attributes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return graph.add("Resize", x, "", scales, **attributes)


def _batch_norm(graph: Graph, x: str, norm: nn.BatchNorm2d) -> str:
    """A batch normalization before a convolution, which zero padding in between keeps from being folded."""
    gain, offset = (values[:, None, None] for values in affine(norm))
    x = graph.add("Mul", x, graph.constant("gain", gain, like=x), name="batch_norm_gain")
    return graph.add("Add", x, graph.constant("offset", offset, like=x), name="batch_norm")


def _prelu(graph: Graph, x: str, layer: nn.PReLU) -> str:
    return graph.add("PRelu", x, graph.constant("slope", array(layer.weight)[:, None, None], like=x))
