"""A thin builder over `onnx.helper`: readable unique names, scopes, typed constants, a checked model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from fingergen.runtime.backends import Precision
from fingergen.runtime.errors import FingerGenError

# The lowest that have all we use (model-local functions with default attributes, ReduceMean with axes as an
# input), so that every engine of the last years reads the file.
OPSET = 18
IR_VERSION = 8
MODEL_BYTES = 2**31 - 1  # protobuf's limit for a file without external data

ELEMENTS: Mapping[Precision, int] = {"fp32": TensorProto.FLOAT, "fp16": TensorProto.FLOAT16}

Shape = Sequence[int | str]  # a string names a symbolic dimension
Attribute = int | float | str | Sequence[int]


class Graph:
    """An ONNX graph that grows node by node; values are referred to by their names.

    Nodes and their outputs have the same name: the scope's path and the operator's or a given name.

    The graph is strongly typed, as TensorRT reads it: `precision` is what `activation` casts to, inputs and
    outputs are float32, and a node's output has the type of its first input.
    """

    def __init__(self, name: str, description: str, precision: Precision = "fp32") -> None:
        self.name = name
        self.description = description
        self._precision: Precision = precision
        self._precisions: dict[str, Precision] = {}
        self._scopes: list[str] = []
        self._names: set[str] = set()
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._functions: dict[str, onnx.FunctionProto] = {}

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Names of what is added inside start with `name/`."""
        self._scopes.append(name)
        yield
        self._scopes.pop()

    def input(self, name: str, shape: Shape, description: str) -> str:
        """Add a float32 input to the graph; returns its name."""
        self._names.add(name)
        self._precisions[name] = "fp32"
        info = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape, doc_string=description)
        self._inputs.append(info)
        return name

    def output(
        self, name: str, value: str, shape: Shape, description: str, element: int = TensorProto.FLOAT
    ) -> None:
        """Make `value`, the last node's output that nothing else reads yet, an output called `name`."""
        if self._nodes[-1].output != [value]:
            raise ValueError(f"{value} is not the last value of {self.name}")
        self._nodes[-1].output[:] = [name]
        self._precisions[name] = self._precisions[value]
        self._outputs.append(helper.make_tensor_value_info(name, element, shape, doc_string=description))

    def constant(
        self, name: str, value: NDArray[np.generic] | Sequence[int] | float, like: str | None = None
    ) -> str:
        """An initializer: int64 from ints, float32 from floats, or of the type of the value `like`.

        `FingerGenError` if a float is beyond that type's range.
        """
        array = np.asarray(value)
        name = self._unique(name)
        if np.issubdtype(array.dtype, np.integer):
            typed = array.astype(np.int64)
        else:
            precision = self._precisions[like] if like else "fp32"
            with np.errstate(over="ignore"):
                typed = array.astype(helper.tensor_dtype_to_np_dtype(ELEMENTS[precision]))
            if np.isinf(typed).any() and np.isfinite(array).all():
                raise FingerGenError(
                    f"{self.name}: {name}: {abs(array).max():.3g} is too large for {precision}"
                )
            self._precisions[name] = precision
        self._initializers.append(numpy_helper.from_array(np.array(typed, order="C"), name))
        return name

    def activation(self, x: str) -> str:
        """`x` in the graph's precision."""
        return self._cast(x, self._precision)

    def float32(self, x: str) -> str:
        """Add a cast of `x` to float32; returns the name of the result."""
        return self._cast(x, "fp32")

    def add(self, op: str, *inputs: str, name: str = "", **attributes: Attribute) -> str:
        """A node of a standard operator with one output; returns the output's name."""
        return self._add(op, "", inputs, name or op, attributes)

    def call(self, function: onnx.FunctionProto, *inputs: str, **attributes: Attribute) -> str:
        """A node of a model-local function with one output; the function goes into the file, once."""
        self._functions[function.name] = function
        return self._add(function.name, function.domain, inputs, function.name, attributes)

    def model(self) -> onnx.ModelProto:
        """The finished model, checked with its shapes."""
        graph = helper.make_graph(
            self._nodes, self.name, self._inputs, self._outputs, self._initializers, self.description
        )
        domains = sorted({function.domain for function in self._functions.values()})
        model = helper.make_model(
            graph,
            functions=list(self._functions.values()),
            opset_imports=[helper.make_opsetid("", OPSET), *(helper.make_opsetid(d, 1) for d in domains)],
            ir_version=IR_VERSION,
            producer_name="fingergen",
            producer_version=version("fingergen"),
            doc_string=self.description,
        )
        if model.ByteSize() > MODEL_BYTES:
            raise FingerGenError(f"{self.name}: {model.ByteSize()} bytes; an ONNX file holds {MODEL_BYTES}")
        onnx.checker.check_model(model, full_check=True)
        return model

    def _add(
        self, op: str, domain: str, inputs: Sequence[str], name: str, attributes: Mapping[str, Attribute]
    ) -> str:
        output = self._unique(name)
        node = helper.make_node(op, inputs, [output], name=output, domain=domain)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in sorted(attributes.items()))
        self._nodes.append(node)
        self._precisions[output] = self._precisions[inputs[0]]
        return output

    def _cast(self, x: str, precision: Precision) -> str:
        if self._precisions[x] == precision:
            return x
        output = self.add("Cast", x, name=f"{x.rpartition('/')[2]}_{precision}", to=ELEMENTS[precision])
        self._precisions[output] = precision
        return output

    def _unique(self, name: str) -> str:
        path = "/".join([*self._scopes, name])
        unique, number = path, 1
        while unique in self._names:
            unique, number = f"{path}_{number}", number + 1
        self._names.add(unique)
        return unique
