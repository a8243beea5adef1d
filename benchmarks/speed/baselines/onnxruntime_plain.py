"""ONNX Runtime on the CPU as it comes: the graphs' own functions, whole batches, threads inside the ops."""

from __future__ import annotations

from fingergen.runtime.backends import Floats
from fingergen.runtime.backends.graphs import Inputs
from fingergen.runtime.backends.ort.library import onnxruntime
from fingergen.runtime.backends.ort.sessions import use_threads
from fingergen.runtime.bundle.manifest import GraphName

from ..workload import BaselineBackend, Runner, Workload


class OnnxRuntimePlain:
    """ONNX Runtime without our ops library; threads run inside the operators."""

    name = "onnxruntime-plain"
    precisions = ("fp32",)
    threaded = True

    def unavailable(self, workload: Workload, precision: str) -> None:
        return None  # ONNX Runtime comes with FingerGen

    def open_runner(self, workload: Workload, precision: str, threads: int) -> Runner:
        return Runner.of_backend(workload, _PlainOnnxRuntime(workload, threads))


class _PlainOnnxRuntime(BaselineBackend):
    name = "onnxruntime-plain"

    def __init__(self, workload: Workload, threads: int) -> None:
        super().__init__(workload.bundle)
        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        use_threads(options, threads)
        self._sessions = {
            graph: onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            for graph, path in workload.graphs().items()
        }
        self.description = f"ONNX Runtime {onnxruntime.__version__}, CPU, standard operators, whole batches"

    def compute(self, graph: GraphName, inputs: Inputs, pixels: bool) -> Floats:
        return self._sessions[graph].run(None, inputs)[0]

    def release(self) -> None:
        self._sessions.clear()
