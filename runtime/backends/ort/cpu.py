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
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...bundle import Bundle
from ...bundle.manifest import GraphName
from .. import Backend, Options
from ..graphs import GraphBackend, Inputs, batch_size, graph_files, lacks_precision, part
from .sessions import Sessions, describe_ops, ops_library, output_name


def unavailable(bundle: Bundle, options: Options) -> str | None:
    """None where ONNX Runtime is installed: it runs every bundle."""
    if importlib.util.find_spec("onnxruntime") is None:
        return "the package onnxruntime is not installed: pip install onnxruntime"
    return lacks_precision(bundle, options.precision)


def open_backend(bundle: Bundle, options: Options) -> Backend:
    """The backend with a pool of `options.workers` threads; a graph is loaded when it is first used.

    It computes in float32 unless `options.precision` says otherwise: on a CPU, float16 is slower.
    """
    return OnnxRuntime(bundle, options)


class OnnxRuntime(GraphBackend):
    """See `Backend`."""

    name = "onnxruntime"

    def __init__(self, bundle: Bundle, options: Options) -> None:
        from .library import onnxruntime

        super().__init__(bundle)
        workers, ops = options.workers, ops_library()
        files = graph_files(bundle.manifest, options.precision)
        self._sessions = Sessions(bundle, files, lambda graph: ["CPUExecutionProvider"], ops)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="onnxruntime")
        self.batch = 2 * workers
        self.description = (
            f"ONNX Runtime {onnxruntime.__version__}, CPU, {workers} thread{'s' if workers > 1 else ''},"
            f" {options.precision or 'fp32'}, {describe_ops(ops)}"
        )

    def makes_pixels(self, graph: GraphName) -> bool:
        return self._sessions.makes_pixels(graph)

    def run(self, graph: GraphName, inputs: Inputs, pixels: bool = False) -> NDArray[Any]:
        session = self._sessions[graph]
        output = output_name(session, pixels)

        def run_one(i: int) -> NDArray[Any]:
            try:
                return session.run([output], part(inputs, i, 1))[0]
            except Exception as error:  # ONNX Runtime's errors have no common base class
                raise self._sessions.failure(graph, error) from None

        return np.concatenate(list(self._pool.map(run_one, range(batch_size(inputs)))))

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._sessions.close()
