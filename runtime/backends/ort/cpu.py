"""ONNX Runtime on the CPU.

A pool of threads works on several images at once, one image per thread: `InferenceSession.run` may be called
from many threads and releases the GIL, and threads that work apart need not wait for each other. The work is
in convolutions, which ONNX Runtime does image by image, so that runs of one image cost nothing (StyleGAN2 of
128 and 256 pixels, one thread: 50 and 588 ms per image in runs of one, 49 and 605 ms in runs of eight).

A call of fewer images than there are threads would leave cores idle. It is one run, with the threads inside
the operators. ONNX Runtime does not promise that the bits of an image stay the same; on the machines seen so
far they do, for every kind of graph, and the tests compare them.

Python hears of Ctrl-C when a call returns. So runs are made on other threads, but for one that will be short:
to wake another thread takes a hundredth of an image of 512 pixels.
"""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ...bundle import Bundle
from ...bundle.manifest import GraphName
from ..base import Backend, Options
from ..graphs import Inputs, batch_size, graph_files, lacks_precision, part
from ..interruption import Aside, Interruption
from .sessions import CPU_PROVIDER, Sessions, describe_ops, ops_library, output_name, use_threads

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

SHORT = 0.05
"""Seconds of a graph's last run, below which the next one may keep its caller from hearing Ctrl-C."""


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

        # Two sessions per graph, loaded at first use: one thread per image, all threads inside an image.
        self._sessions = Sessions(bundle, files, lambda graph: [CPU_PROVIDER], ops)
        self._threaded = self._sessions
        if workers > 1:
            configure = partial(use_threads, threads=workers)
            self._threaded = Sessions(bundle, files, lambda graph: [CPU_PROVIDER], ops, configure)
        self._threads_in_use = threading.Lock()
        self._few = max(1, workers - 1)  # images that are one run
        self._seconds: dict[GraphName, float] = {}  # of each graph's last such run
        self._workers = workers
        self._pool: ThreadPoolExecutor | None = None  # for calls of several images
        self._opening = threading.Lock()
        self._ahead: Aside[object] | None = None
        self.batch = 2 * workers
        self.description = (
            f"ONNX Runtime {onnxruntime.__version__}, CPU, {workers} thread{'s' if workers > 1 else ''},"
            f" {options.precision or 'fp32'}, {describe_ops(ops)}"
        )

    def preload(self, graphs: Sequence[GraphName], images: int) -> None:
        sessions = self._threaded if images <= self._few else self._sessions
        missing = [graph for graph in graphs if not sessions.loaded(graph)]
        if missing and not (self._ahead and self._ahead.is_alive()):
            self._ahead = Aside(lambda: [sessions[graph] for graph in missing])

    def makes_pixels(self, graph: GraphName) -> bool:
        return self._sessions.makes_pixels(graph)

    def shows_all(self, graph: GraphName) -> bool:
        return graph in ("synthesis", "decoder")  # sums, products and leaky ReLUs; `_run` checks the image

    def compute(self, graph: GraphName, inputs: Inputs, pixels: bool) -> NDArray[Any]:
        images = batch_size(inputs)
        interruption = Interruption.current()

        def run(sessions: Sessions, inputs: Inputs) -> NDArray[Any]:
            return self._run(sessions, graph, inputs, pixels, interruption)

        # Other calls that are under way keep the cores busy: then one thread per image is faster.
        if images <= self._few and self._threads_in_use.acquire(blocking=False):
            began = time.perf_counter()
            try:
                if self._seconds.get(graph, SHORT) < SHORT:
                    return run(self._threaded, inputs)
                with interruption.set_by_ctrl_c():
                    return Aside(partial(run, self._threaded, inputs)).result()
            finally:
                self._seconds[graph] = time.perf_counter() - began
                self._threads_in_use.release()
        runs = [self._threads().submit(run, self._sessions, part(inputs, i, 1)) for i in range(images)]
        try:
            with interruption.set_by_ctrl_c():
                results = [each.result() for each in runs]
        finally:
            for each in runs:
                each.cancel()  # where one has failed
        return results[0] if len(results) == 1 else np.concatenate(results)  # which copies

    def _threads(self) -> ThreadPoolExecutor:
        from concurrent.futures import ThreadPoolExecutor  # here, so that a single image comes soon

        with self._opening:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="onnxruntime")
            return self._pool

    def _run(
        self,
        sessions: Sessions,
        graph: GraphName,
        inputs: Inputs,
        pixels: bool,
        interruption: Interruption,
    ) -> NDArray[Any]:
        from .library import onnxruntime

        session = sessions[graph]
        names = [output_name(session, pixels=False)]
        if pixels:  # the image behind them is computed all the same
            names.append(output_name(session, pixels=True))
        options = onnxruntime.RunOptions()
        options.log_severity_level = 4  # an error is raised, and shown, once

        def end() -> None:
            options.terminate = True

        with interruption.ending(end):
            try:
                image, *levels = session.run(names, inputs, options)
            except Exception as error:  # ONNX Runtime's errors have no common base class
                raise sessions.failure(graph, error) from None
        if not levels:
            return image
        self._check_finite(graph, image)
        return levels[0]

    def release(self) -> None:
        if self._ahead:
            self._ahead.join()
        if self._pool:
            self._pool.shutdown(cancel_futures=True)
        with self._threads_in_use:  # not of the pool
            self._sessions.close()
            self._threaded.close()
