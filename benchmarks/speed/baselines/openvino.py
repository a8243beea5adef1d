"""OpenVINO on the CPU. It knows no functions of a model, so the graphs' custom ops are inlined first."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from fingergen.runtime.backends import Floats
from fingergen.runtime.backends.graphs import Inputs
from fingergen.runtime.backends.openvino import import_openvino
from fingergen.runtime.bundle.manifest import GraphName

from ..workload import BaselineBackend, Runner, Workload

HINTS = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}


class OpenVino:
    """OpenVINO on the bundle's graphs in standard operators, compiled for latency."""

    name = "openvino-plain"
    precisions = tuple(HINTS)
    threaded = True

    def unavailable(self, workload: Workload, precision: str) -> str | None:
        missing = [package for package in ("openvino", "onnx") if find_spec(package) is None]
        return f"not installed: pip install {' '.join(missing)}" if missing else None

    def open_runner(self, workload: Workload, precision: str, threads: int) -> Runner:
        return Runner.of_backend(workload, _OpenVino(workload, precision, threads))


class _OpenVino(BaselineBackend):
    name = "openvino-plain"

    def __init__(self, workload: Workload, precision: str, threads: int) -> None:
        openvino = import_openvino()
        super().__init__(workload.bundle)
        core = openvino.Core()
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": HINTS[precision],
            "PERFORMANCE_HINT": "LATENCY",
        }
        self._models = {
            graph: core.compile_model(core.read_model(_standard_operators(path)), "CPU", settings)
            for graph, path in workload.graphs().items()
        }
        version = openvino.__version__.partition("-")[0]
        self.description = f"OpenVINO {version}, CPU, standard operators"

    def compute(self, graph: GraphName, inputs: Inputs, pixels: bool) -> Floats:
        # A copy, as everywhere else: OpenVINO's own array is written over by the next call.
        return np.array(self._models[graph](inputs)[0], np.float32)

    def release(self) -> None:
        self._models.clear()


def _standard_operators(path: Path) -> bytes:
    import onnx
    from onnx.inliner import inline_local_functions

    return inline_local_functions(onnx.load(path)).SerializeToString()
