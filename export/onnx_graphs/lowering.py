"""A graph with custom nodes to the same graph of standard operators, as `NativeOps` writes it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from fingergen.runtime.errors import BadInput

from .builder import ELEMENTS, Graph
from .modulation import Below, Modulated, Noise, Style, styled_conv, to_levels, to_rgb
from .ops import (
    DOMAIN,
    EPSILON,
    NEGATIVE_SLOPE,
    OPS,
    PLUGIN_OPS,
    SCALE,
    STYLED_CONV,
    STYLED_UP_CONV,
    TO_LEVELS,
    TO_RGB,
    Ops,
)

NATIVE = OPS["native"]
WHOLE_LAYERS = {function.name: function for function in (STYLED_CONV, STYLED_UP_CONV, TO_RGB, TO_LEVELS)}
VARIABLES = "x", "w", "noise", "image"  # inputs of whole layers that are no constants


def standard_form(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model`, one of our exports, without nodes of domain `fingergen`; `BadInput` if it is another's."""
    if not any(node.domain == DOMAIN for node in model.graph.node):
        return model
    return _Rewriter(model, NATIVE).rewrite()


def plugin_form(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model`, one of our exports, without whole layers, which have no plugin. `BadInput` as above."""
    if not any(node.op_type in WHOLE_LAYERS for node in model.graph.node):
        return model
    return _Rewriter(model, PLUGIN_OPS).rewrite()


class _Rewriter(Graph):
    """A graph that takes over another's nodes, one after the other."""

    def __init__(self, model: onnx.ModelProto, ops: Ops) -> None:
        super().__init__(model.graph.name, model.graph.doc_string)
        self._ops = ops
        if ops is not NATIVE:
            self._functions = {each.name: each for each in model.functions if each.name not in WHOLE_LAYERS}
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
        self._source = list(inferred.node)
        self._inputs, self._outputs = list(inferred.input), list(inferred.output)
        self._weights = {tensor.name: tensor for tensor in inferred.initializer}
        infos = [*inferred.input, *inferred.value_info, *inferred.output]
        elements = {info.name: info.type.tensor_type.elem_type for info in infos}
        elements |= {name: tensor.data_type for name, tensor in self._weights.items()}
        precisions = {element: precision for precision, element in ELEMENTS.items()}
        self._precisions = {name: precisions[each] for name, each in elements.items() if each in precisions}
        self._names = {*elements, *(node.output[0] for node in self._source)}
        # Value → rank and channels. Inference does not see that UpFirDn2d keeps both, nor that what is added
        # to its output has as many channels.
        dims = {info.name: info.type.tensor_type.shape.dim for info in infos}
        self._sizes = {name: (len(dim), dim[1].dim_value) for name, dim in dims.items() if len(dim) > 1}

    def rewrite(self) -> onnx.ModelProto:
        for node in self._source:
            if node.op_type in WHOLE_LAYERS and len(node.input) > 2:
                weight = self._weights.get(node.input[2])
                self._sizes[node.output[0]] = 4, weight.dims[0] if weight else 0
            known = [self._sizes[name] for name in node.input if self._sizes.get(name, (0, 0))[1]]
            if known and not self._sizes.get(node.output[0], (0, 0))[1]:
                self._sizes[node.output[0]] = known[0]
            if node.domain == DOMAIN and (self._ops is NATIVE or node.op_type in WHOLE_LAYERS):
                with self.scope(node.name.rpartition("/")[0]):
                    self._write(node)
                self._nodes[-1].output[:] = node.output
            else:
                self._nodes.append(node)
        used = {name for node in self._nodes for name in node.input}
        self._initializers += [tensor for name, tensor in self._weights.items() if name in used]
        return self.model()

    def _write(self, node: onnx.NodeProto) -> None:
        """The node in standard operators, the last of which gives its value."""
        attributes: dict[str, Any] = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        if node.op_type in WHOLE_LAYERS:
            self._write_layer(node, attributes)
            return
        x, constant = node.input
        rank, channels = self._sizes.get(x, (0, 0))
        values = numpy_helper.to_array(self._weights[constant]) if constant in self._weights else None
        if values is not None and channels:
            if node.op_type == "UpFirDn2d" and attributes["down"] == 1:
                NATIVE.upfirdn2d(self, x, channels, values, attributes["up"], attributes["pad"])
                return
            if node.op_type == "FusedLeakyReLU" and _ours(attributes):
                NATIVE.fused_leaky_relu(self, x, values, rank)
                return
        raise self._no_form(node)

    def _write_layer(self, node: onnx.NodeProto, attributes: dict[str, Any]) -> None:
        if node.op_type == TO_LEVELS.name:
            to_levels(self, node.input[0], whole=False)
            return
        names = WHOLE_LAYERS[node.op_type].input  # older graphs lack the last
        values = dict(zip(names, node.input, strict=False))
        constants = {name: value for name, value in values.items() if name not in VARIABLES}
        if not set(constants.values()) <= set(self._weights) or not _ours(attributes):
            raise self._no_form(node)
        arrays = {
            name: numpy_helper.to_array(self._weights[value]).astype(np.float64)
            for name, value in constants.items()
        }
        weight, bias, taps = arrays["weight"], arrays["bias"], arrays.get("taps")
        kernel = None if taps is None else np.outer(taps, taps)
        style: Style | str = values["w"]  # of older graphs, the style itself
        if "modulation" in arrays:
            parameters = arrays["modulation"], arrays["modulation_bias"]
            style = Style(values["w"], attributes["style_index"], *parameters)
        if node.op_type == TO_RGB.name:
            assert kernel is not None  # an input that older graphs have too
            conv = Modulated(weight[:, :, None, None], style, demodulate=False)
            below = Below(values["image"], kernel, arrays["border"])
            to_rgb(self, self._ops, conv, values["x"], bias, below, whole=False)
            return
        growth = arrays.get("noise_exponent"), attributes.get("strongest", 0.0)
        noise = Noise(values["noise"], arrays.get("strength"), *growth)
        conv = Modulated(weight, style, kernel)
        styled_conv(self, self._ops, conv, values["x"], noise, bias, whole=False)

    def _no_form(self, node: onnx.NodeProto) -> BadInput:
        return BadInput(f"{self.name}: {node.name}: has no standard form; export its checkpoint again")


def _ours(attributes: dict[str, Any]) -> bool:
    """Whether a node's factors are those that its parts have."""
    factors = {"negative_slope": NEGATIVE_SLOPE, "scale": SCALE, "epsilon": EPSILON}
    return all(
        math.isclose(attributes.get(key, value), value, rel_tol=1e-6) for key, value in factors.items()
    )
