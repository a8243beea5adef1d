"""OpenVINO on the CPU. It knows no functions of a model, so the graphs' custom ops are inlined first."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np

from fingergen.runtime.manifest import GraphName

from ..job import Floats, Job, Runner, graph_file, run_graphs

PRECISIONS = ("fp32", "bf16", "fp16")
HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}


def unavailable(job: Job) -> str | None:
    """None where OpenVINO and onnx are installed."""
    missing = [package for package in ("openvino", "onnx") if find_spec(package) is None]
    return f"not installed: pip install {' '.join(missing)}" if missing else None


def open_runner(job: Job, precision: str, threads: int) -> Runner:
    """The bundle's graphs in standard operators, compiled for latency: one call uses all threads."""
    import onnx
    import openvino  # type: ignore[import-not-found]
    from onnx.inliner import inline_local_functions

    core = openvino.Core()
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "PERFORMANCE_HINT": "LATENCY",
    }

    def load(graph: GraphName) -> openvino.CompiledModel:
        model = inline_local_functions(onnx.load(graph_file(job, graph)))
        return core.compile_model(core.read_model(model.SerializeToString()), "CPU", settings)

    models = {graph: load(graph) for graph in job.graphs()}

    def run(graph: GraphName, inputs: dict[str, Floats]) -> Floats:
        # A copy, as everywhere else: OpenVINO's own array is written over by the next call.
        return np.array(models[graph](inputs)[0], np.float32)

    version = openvino.__version__.partition("-")[0]
    return Runner(run_graphs(job, run), f"OpenVINO {version}, CPU, standard operators")
