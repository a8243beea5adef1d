"""Float16 rounding in float32 arithmetic.

ONNX Runtime's CPU computes float16 nodes in float32 and drops the casts between them, so what it shows of a
float16 graph is the rounding of its weights only. `rounded` shows what a GPU does, but for the order of sums.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .ranges import float16_values

# x · SPLIT - (x · SPLIT - x) is x rounded from 24 significant bits to 24 - 13, those of float16 (Dekker,
# Numerische Mathematik 18, 1971, 224-242). Float16's subnormal numbers, below 6e-5, have fewer.
SPLIT = 2.0**13 + 1


def rounded(model: onnx.ModelProto) -> onnx.ModelProto:
    """The float16 graph `model`, without functions, as one that computes in float32 and rounds every float16
    value to float16's precision.
    """
    half = float16_values(model)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            values = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    graph.initializer.append(numpy_helper.from_array(np.array(SPLIT, np.float32), "split"))
    nodes = list(graph.node)
    del graph.node[:]
    for node in nodes:
        if node.op_type == "Cast" and helper.get_node_attr_value(node, "to") != TensorProto.UINT8:
            node.op_type = "Identity"
            del node.attribute[:]
        graph.node.append(node)
        (output,) = node.output
        if output in half:
            exact, scaled, rest = (f"{output}/{part}" for part in ("exact", "scaled", "rest"))
            graph.node[-1].output[:] = [exact]
            graph.node.append(helper.make_node("Mul", [exact, "split"], [scaled]))
            graph.node.append(helper.make_node("Sub", [scaled, exact], [rest]))
            graph.node.append(helper.make_node("Sub", [scaled, rest], [output]))
    return result
