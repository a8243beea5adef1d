"""Reads of ONNX files what must be known before ONNX Runtime opens them, or sooner than it can.

Above all whether weights lie in another file, which a bundle's hashes would not cover. ONNX lets a tensor
name another file as the place of its data ("external data"), and ONNX Runtime opens that file by its path,
relative to the graph or even to the current directory. The runtime does without the package onnx, so this
walks the Protocol Buffers encoding of `onnx.proto` itself, along the fields that lead to tensors.
"""

from __future__ import annotations

from collections.abc import Iterator

# Message → field number → message, for all fields of onnx.proto that lead to a TensorProto.
FIELDS = {
    "Model": {7: "Graph", 20: "TrainingInfo", 25: "Function"},
    "TrainingInfo": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
}
EXTERNAL_DATA, DATA_LOCATION = 13, 14  # fields of TensorProto
LOCATION = b"location"  # the key of external data that ONNX requires, and ONNX Runtime too
OUTPUT_NAME = (7, 12, 1)  # fields of ModelProto, GraphProto and ValueInfoProto that lead to it
DEEPEST = 100  # nested messages; Protocol Buffers' own limit


def has_external_data(content: bytes) -> bool:
    """Whether a tensor of an ONNX file keeps its data in another file.

    Args:
        content: the whole ONNX file.

    Raises:
        ValueError: the content, which may name another file, is not a Protocol Buffers message.
    """
    if LOCATION not in content:  # most graphs: then no tensor can, and walking them all takes a while
        return False
    return _external("Model", memoryview(content), 0)


def output_names(content: bytes) -> list[str]:
    """The names of the outputs of an ONNX file's graph.

    Args:
        content: the whole ONNX file.

    Raises:
        ValueError: the content is not a Protocol Buffers message.
    """
    messages: list[memoryview | int] = [memoryview(content)]
    for wanted in OUTPUT_NAME:
        messages = [
            value
            for message in messages
            if isinstance(message, memoryview)
            for number, value in _fields(message)
            if number == wanted
        ]
    return [bytes(name).decode() for name in messages if isinstance(name, memoryview)]


def has_functions(content: bytes) -> bool:
    """Whether an ONNX file defines functions, as those of custom ops; not every engine knows functions.

    Args:
        content: the whole ONNX file.

    Raises:
        ValueError: the content is not a Protocol Buffers message.
    """
    return any(FIELDS["Model"].get(number) == "Function" for number, _ in _fields(memoryview(content)))


def _external(message: str, content: memoryview, depth: int) -> bool:
    if depth > DEEPEST:
        raise ValueError("nested too deeply")
    if message == "Tensor":
        return any(
            number == EXTERNAL_DATA or (number == DATA_LOCATION and value != 0)
            for number, value in _fields(content)
        )
    inner = FIELDS[message]
    return any(
        _external(inner[number], value, depth + 1)
        for number, value in _fields(content)
        if number in inner and isinstance(value, memoryview)
    )


def _fields(content: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """The fields of a message: number and value, an int for numbers and a view for bytes and messages."""
    position = 0
    while position < len(content):
        tag, position = _varint(content, position)
        match tag & 7:
            case 0:
                value, position = _varint(content, position)
                yield tag >> 3, value
                continue
            case 1:
                size = 8
            case 2:
                size, position = _varint(content, position)
            case 5:
                size = 4
            case other:
                raise ValueError(f"no ONNX file: wire type {other}")
        if position + size > len(content):
            raise ValueError("no ONNX file, or cut short")
        yield tag >> 3, content[position : position + size]
        position += size


def _varint(content: memoryview, position: int) -> tuple[int, int]:
    """A number of 7 bits in each byte, lowest first, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(content):
            raise ValueError("no ONNX file, or cut short")
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("no ONNX file: a number is too long")
