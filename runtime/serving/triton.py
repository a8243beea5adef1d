"""A model of Triton's Python backend that runs one of `OPERATIONS`.

Triton imports `model.py` of the model's folder, which imports this; `triton_python_backend_utils` is a module
that the server provides.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FingerGenError, printable
from ..model import load
from .operations import OPERATIONS, Request, Row

_TAKEN = b"used_dltensor"  # DLPack's name of a capsule whose tensor has got another owner


class TritonPythonModel:
    """What Triton's Python backend calls (its documentation names the methods and their arguments)."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the bundle that the model's configuration names."""
        config = json.loads(args["model_config"])
        parameters = {key: value["string_value"] for key, value in config["parameters"].items()}
        folder = Path(args["model_repository"])
        threads = int(parameters["threads"]) or None
        model = load(folder / parameters["bundle"], parameters["backend"], threads)
        self._operation = OPERATIONS[parameters["operation"]](model)
        (answer,) = self._operation.answer([self._operation.example()])  # warm, before the model is ready
        if isinstance(answer, FingerGenError):
            raise answer

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer requests, which the server has put into a batch; a bad one gets an error of one line."""
        import triton_python_backend_utils as server

        answers: Sequence[Row | FingerGenError]
        try:
            answers = self._operation.answer([self._tensors(request) for request in requests])
        except (FingerGenError, MemoryError) as error:
            message = printable(str(error)) or "out of memory"
            answers = [FingerGenError(message)] * len(requests)
        return [
            server.InferenceResponse(error=server.TritonError(printable(str(answer))))
            if isinstance(answer, FingerGenError)
            else server.InferenceResponse([_tensor(server, name, value) for name, value in answer.items()])
            for answer in answers
        ]

    def finalize(self) -> None:
        """Free the model, its sessions and its threads; Triton calls it when it unloads the model."""
        self._operation.model.close()

    def _tensors(self, request: Any) -> Request:
        # Through DLPack, for older servers mistake the strides of NumPy 2 arrays.
        return {tensor.name(): np.from_dlpack(tensor) for tensor in request.inputs()}


def _tensor(server: Any, name: str, value: NDArray[Any]) -> Any:
    """A tensor of the server with an array's memory.

    Through DLPack, for older servers take the size of a NumPy 2 array for 0. They also give the capsule that
    they have taken a name of their own; NumPy does not know it, and would report an error for each answer.
    """
    capsule = np.ascontiguousarray(value).__dlpack__()
    tensor = server.Tensor.from_dlpack(name, capsule)
    ctypes.pythonapi.PyCapsule_SetName(ctypes.py_object(capsule), ctypes.c_char_p(_TAKEN))
    return tensor
