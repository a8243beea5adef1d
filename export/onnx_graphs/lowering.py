"""A graph with custom nodes to the same graph of standard operators, as `NativeOps` writes it."""

from __future__ import annotations

import math
from typing import Any

import onnx
from onnx import helper, numpy_helper

from fingergen.runtime.errors import BadInput

from .builder import ELEMENTS, Graph
from .ops import DOMAIN, NEGATIVE_SLOPE, OPS, SCALE

NATIVE = OPS["native"]


def standard_form(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model`, one of our exports, without nodes of domain `fingergen`; `BadInput` if it is another's."""
    if not any(node.domain == DOMAIN for node in model.graph.node):
        return model
    return _Rewriter(model).rewrite()


class _Rewriter(Graph):
    """A graph that takes over another's nodes, one after the other."""

    def __init__(self, model: onnx.ModelProto) -> None:
        super().__init__(model.graph.name, model.graph.doc_string)
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
            known = [self._sizes[name] for name in node.input if self._sizes.get(name, (0, 0))[1]]
            if known and not self._sizes.get(node.output[0], (0, 0))[1]:
                self._sizes[node.output[0]] = known[0]
            if node.domain == DOMAIN:
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
        x, constant = node.input
        rank, channels = self._sizes.get(x, (0, 0))
        attributes: dict[str, Any] = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        values = numpy_helper.to_array(self._weights[constant]) if constant in self._weights else None
        if values is not None and channels:
            if node.op_type == "UpFirDn2d" and attributes["down"] == 1:
                NATIVE.upfirdn2d(self, x, channels, values, attributes["up"], attributes["pad"])
                return
            ours = {"negative_slope": NEGATIVE_SLOPE, "scale": SCALE}
            if node.op_type == "FusedLeakyReLU" and all(
                math.isclose(attributes[key], value, rel_tol=1e-6) for key, value in ours.items()
            ):
                NATIVE.fused_leaky_relu(self, x, values, rank)
                return
        raise BadInput(f"{self.name}: {node.name}: has no standard form; export its checkpoint again")
