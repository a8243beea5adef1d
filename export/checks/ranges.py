"""How far a float16 graph's values are from overflow, measured where they cannot overflow: in float32.

ONNX Runtime's CPU computes float16 nodes in float32, so that running the float16 graph there shows nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper

from fingergen.runtime.errors import FingerGenError

FLOAT16_MAX = float(np.finfo(np.float16).max)
LIMIT = FLOAT16_MAX / 4  # room for what the measured seeds do not show


def float16_values(model: onnx.ModelProto) -> set[str]:
    """Names of the float16 values that nodes of `model` compute."""
    infos = onnx.shape_inference.infer_shapes(model).graph.value_info
    return {info.name for info in infos if info.type.tensor_type.elem_type == TensorProto.FLOAT16}


def to_measure(float16: onnx.ModelProto) -> list[str]:
    """The values of the float32 graph that `float16`, the same graph in float16, holds in float16.

    Casts are left out for what they cast: the float32 graph has none.
    """
    half = float16_values(float16)
    nodes = [node for node in float16.graph.node if node.output[0] in half]
    return [(node.input if node.op_type == "Cast" else node.output)[0] for node in nodes]


def measuring(model: onnx.ModelProto, values: Sequence[str]) -> onnx.ModelProto:
    """The float32 graph `model`, with a further output for each of `values`: its largest magnitude."""
    measuring = onnx.ModelProto()
    measuring.CopyFrom(model)
    graph = measuring.graph
    nodes = list(graph.node)
    del graph.node[:]
    computed = {node.output[0] for node in nodes}
    graph.node.extend(_largest([value for value in values if value not in computed]))
    for node in nodes:
        graph.node.append(node)
        graph.node.extend(_largest([value for value in node.output if value in values]))
    for name in outputs(values):
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, []))
    return measuring


def outputs(values: Sequence[str]) -> list[str]:
    """Names of the further outputs of `measuring`."""
    return [_largest_name(value) for value in values]


def _largest_name(value: str) -> str:
    return f"{value}/largest"


def _largest(values: Sequence[str]) -> Iterator[onnx.NodeProto]:
    for value in values:
        yield helper.make_node("Abs", [value], [f"{value}/magnitude"])
        yield helper.make_node("ReduceMax", [f"{value}/magnitude"], [_largest_name(value)], keepdims=0)


def by_layer(largest: Mapping[str, float]) -> dict[str, float]:
    """The largest magnitude in every layer, from that of every value; a layer is the outermost scope."""
    layers: dict[str, float] = {}
    for value, magnitude in largest.items():
        layer = value.partition("/")[0]
        layers[layer] = max(layers.get(layer, 0.0), magnitude)
    return layers


def check(name: str, largest: Mapping[str, float]) -> None:
    """`FingerGenError` if a value of the graph in file `name` comes near to what float16 can hold; it names
    the first, in the order of computation.
    """
    value = next((value for value, magnitude in largest.items() if magnitude > LIMIT), None)
    if value is not None:
        raise FingerGenError(
            f"{name}: {value} reaches {largest[value]:.4g}, over a quarter of float16's {FLOAT16_MAX:.0f};"
            " export this checkpoint in fp32"
        )
