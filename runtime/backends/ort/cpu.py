"""ONNX Runtime on the CPU.

A pool of threads works on several images at once, one image per thread: `InferenceSession.run` may be called
from many threads and releases the GIL, and threads that work apart need not wait for each other. The work is
in convolutions, which ONNX Runtime does image by image, so that runs of one image cost nothing (StyleGAN2 of
128 and 256 pixels, one thread: 50 and 588 ms per image in runs of one, 49 and 605 ms in runs of eight).
"""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ...bundle import Bundle
from ...bundle.manifest import GraphName
from ..base import Backend, Options
from ..graphs import Inputs, batch_size, graph_files, lacks_precision, part
from .sessions import CPU_PROVIDER, Sessions, describe_ops, ops_library, output_name


class OnnxRuntimeCpu(Backend):
    """ONNX Runtime's CPU execution provider: it runs every bundle.

    It computes in float32 unless `Options.precision` says otherwise: on a CPU, float16 is slower. An image's
    bits do not depend on its batch nor on the number of threads.
    """

    name = "onnxruntime"

    @classmethod
    def unavailable(cls, bundle: Bundle, options: Options) -> str | None:
        if importlib.util.find_spec("onnxruntime") is None:
            return "the package onnxruntime is not installed: pip install onnxruntime"
        return lacks_precision(bundle, options.precision)

    @classmethod
    def open(cls, bundle: Bundle, options: Options) -> Self:
        return cls(bundle, options)

    def __init__(self, bundle: Bundle, options: Options) -> None:
        from .library import onnxruntime

        super().__init__(bundle)
        workers, ops = options.workers, ops_library()
        files = graph_files(bundle.manifest, options.precision)
        self._sessions = Sessions(bundle, files, lambda graph: [CPU_PROVIDER], ops)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="onnxruntime")
        self.batch = 2 * workers
        self.description = (
            f"ONNX Runtime {onnxruntime.__version__}, CPU, {workers} thread{'s' if workers > 1 else ''},"
            f" {options.precision or 'fp32'}, {describe_ops(ops)}"
        )

    def makes_pixels(self, graph: GraphName) -> bool:
        return self._sessions.makes_pixels(graph)

    def compute(self, graph: GraphName, inputs: Inputs, pixels: bool) -> NDArray[Any]:
        session = self._sessions[graph]
        names = [output_name(session, pixels=False)]
        if pixels:  # the image behind them is computed all the same
            names.append(output_name(session, pixels=True))

        def run_one(i: int) -> NDArray[Any]:
            try:
                image, *levels = session.run(names, part(inputs, i, 1))
            except Exception as error:  # ONNX Runtime's errors have no common base class
                raise self._sessions.failure(graph, error) from None
            if not levels:
                return image
            self._check_finite(graph, image)
            return levels[0]

        return np.concatenate(list(self._pool.map(run_one, range(batch_size(inputs)))))

    def release(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._sessions.close()
