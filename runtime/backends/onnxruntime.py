"""ONNX Runtime on the CPU.

An image's bits must not depend on the batch it is in, nor on the number of threads. ONNX Runtime promises
neither: it may choose a kernel, and so an order of additions, by batch size and thread count. So every run
here is of one image on one thread, and a pool of threads works on several images at once
(`InferenceSession.run` may be called from many threads and releases the GIL). That costs nothing: the work is
in convolutions, which ONNX Runtime does image by image (StyleGAN2 of 128 and 256 pixels, one thread: 50 and
588 ms an image in runs of one, 49 and 605 ms in runs of eight), and threads that work apart need not wait for
each other.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from fingergen import cpp_ops

from ..bundle import Bundle
from ..errors import BadInput, FingerGenError
from ..manifest import GraphName
from . import Backend, Floats

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


def unavailable(bundle: Bundle) -> str | None:
    """None where ONNX Runtime is installed: it runs every bundle."""
    if importlib.util.find_spec("onnxruntime") is None:
        return "the package onnxruntime is not installed: pip install onnxruntime"
    return None


def open_backend(bundle: Bundle, workers: int) -> Backend:
    """The backend with a pool of `workers` threads; a graph is loaded when it is first used."""
    return OnnxRuntime(bundle, workers)


class OnnxRuntime:
    """See `Backend`."""

    name = "onnxruntime"

    def __init__(self, bundle: Bundle, workers: int) -> None:
        import onnxruntime

        self._bundle = bundle
        self._ops = _ops_library()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="onnxruntime")
        self._sessions: dict[GraphName, InferenceSession] = {}
        self._loading = threading.Lock()
        self.batch = 2 * workers
        threads = f"{workers} thread{'s' if workers > 1 else ''}"
        ops = "compiled custom ops" if self._ops else "custom ops as functions of standard ops"
        self.description = f"ONNX Runtime {onnxruntime.__version__}, CPU, {threads}, {ops}"

    def map(self, z: Floats) -> Floats:
        return self._run("mapping", len(z), lambda i: {"z": z[i : i + 1]})

    def synthesize(self, w: Floats, noise: Sequence[Floats]) -> Floats:
        return self._generate("synthesis", w, noise)

    def encode(self, maps: Floats) -> Floats:
        return self._run("encoder", len(maps), lambda i: {"map": maps[i : i + 1]})

    def decode(self, w: Floats, noise: Sequence[Floats]) -> Floats:
        return self._generate("decoder" if self._bundle.manifest.graphs.decoder else "synthesis", w, noise)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._sessions.clear()

    def _generate(self, graph: GraphName, w: Floats, noise: Sequence[Floats]) -> Floats:
        def feeds(i: int) -> dict[str, Floats]:
            buffers = (buffer if len(buffer) == 1 else buffer[i : i + 1] for buffer in noise)
            return {"w": w[i : i + 1], **{f"noise_{k}": buffer for k, buffer in enumerate(buffers)}}

        return self._run(graph, len(w), feeds)

    def _run(self, graph: GraphName, images: int, feeds: Callable[[int], dict[str, Floats]]) -> Floats:
        """Run a graph once an image; `feeds(i)` are the inputs of image i, each of batch size 1."""
        session = self._session(graph)

        def run(i: int) -> Floats:
            inputs = {name: np.ascontiguousarray(value) for name, value in feeds(i).items()}
            try:
                return session.run(None, inputs)[0]
            except Exception as error:  # ONNX Runtime's errors have no common base class
                raise FingerGenError(f"{self._bundle.path}: {graph} graph: {error}") from None

        return np.concatenate(list(self._pool.map(run, range(images))))

    def _session(self, graph: GraphName) -> InferenceSession:
        with self._loading:
            if graph not in self._sessions:
                self._sessions[graph] = self._load(graph)
            return self._sessions[graph]

    def _load(self, graph: GraphName) -> InferenceSession:
        import onnxruntime

        path = self._bundle.file(getattr(self._bundle.manifest.graphs, graph))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # an error is raised, and shown, once
        if self._ops:
            try:
                options.register_custom_ops_library(str(self._ops))
            except Exception as error:
                raise FingerGenError(
                    f"{self._ops}: ONNX Runtime {onnxruntime.__version__} cannot load this custom-op library;"
                    f" install FingerGen again, or delete the file to run without it: {error}"
                ) from None
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise BadInput(f"{path}: ONNX Runtime cannot load this graph: {error}") from None
        expected = {"mapping": {"z"}, "encoder": {"map"}}.get(graph)
        if expected is None:
            layers = len(self._bundle.manifest.architecture.noise_shapes)
            expected = {"w", *(f"noise_{k}" for k in range(layers))}
        found = {node.name for node in session.get_inputs()}
        if found != expected:
            raise BadInput(f"{path}: inputs {sorted(found)}; a {graph} graph has {sorted(expected)}")
        return session


def _ops_library() -> Path | None:
    """Our compiled custom ops; None where they were not built, and the graphs' own functions run."""
    try:
        return cpp_ops.library("onnxruntime")
    except cpp_ops.LibraryNotBuilt:
        return None
