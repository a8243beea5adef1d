"""ONNX Runtime on the CPU as it comes: the graphs' own functions, whole batches, threads inside the ops."""

from __future__ import annotations

import onnxruntime

from fingergen.runtime.manifest import GraphName

from ..job import Floats, Job, Runner, graph_file, run_graphs

PRECISIONS = ("fp32",)


def unavailable(job: Job) -> str | None:
    """None: ONNX Runtime comes with FingerGen."""
    return None


def open_runner(job: Job, precision: str, threads: int) -> Runner:
    """Sessions of the bundle's graphs without our ops library."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Threads that spin after a call would take cores from whoever is timed next.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    sessions = {
        graph: onnxruntime.InferenceSession(
            str(graph_file(job, graph)), options, providers=["CPUExecutionProvider"]
        )
        for graph in job.graphs()
    }

    def run(graph: GraphName, inputs: dict[str, Floats]) -> Floats:
        return sessions[graph].run(None, inputs)[0]

    return Runner(
        run_graphs(job, run),
        f"ONNX Runtime {onnxruntime.__version__}, CPU, standard operators, whole batches",
    )
