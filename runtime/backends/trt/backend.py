"""The bundle's TensorRT engines, in TensorRT or TensorRT-RTX, with PyCUDA for memory and streams.

Results on a GPU do not depend on an image's neighbors by more than the precision's rounding.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import queue
import threading
from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

from numpy.typing import NDArray

from ...bundle import Bundle
from ...bundle.manifest import Engine, GraphName
from ...errors import FingerGenError
from .. import nvidia
from ..base import CALLS_IN_FLIGHT, Backend, Options
from ..batching import BatchFailed, BatchLimit, plan
from ..graphs import Inputs, batch_size, empty_result, input_shapes
from .flavors import FLAVORS
from .select import Here, Unusable, choose_engines

if TYPE_CHECKING:
    from .engine import LoadedEngine
    from .executor import Executor

CLOSING_SECONDS = 30  # that `close` waits for calls under way


class TensorRt(Backend):
    """See `Backend`. `CALLS_IN_FLIGHT` calls run at once, each on any thread; engines are shared by all."""

    name = "tensorrt"

    @classmethod
    def unavailable(cls, bundle: Bundle, options: Options) -> str | None:
        try:
            _choose(bundle, options)
        except Unusable as error:
            return str(error)
        return None

    @classmethod
    def open(cls, bundle: Bundle, options: Options) -> Self:
        return cls(bundle, _choose(bundle, options), options.device)

    def __init__(self, bundle: Bundle, engines: dict[GraphName, Engine], device: int) -> None:
        super().__init__(bundle)
        flavor = FLAVORS[engines["mapping"].flavour]
        assert flavor.module is not None
        import pycuda.driver as cuda

        from .engine import Messages, new_runtime  # here, so that importing the runtime stays quick
        from .executor import Executor

        self._trt = import_module(flavor.module)
        self._cuda = cuda
        self._described = engines
        self._loaded: dict[GraphName, LoadedEngine] = {}
        self._limits: dict[GraphName, BatchLimit] = {}
        self._loading = threading.Lock()
        # The one used last is taken next: calls that follow each other need the memory of one executor.
        self._idle: queue.LifoQueue[Executor] = queue.LifoQueue()
        self._runtime: Any = None
        gpu = nvidia.gpu(device)
        self._gpu = gpu.name
        synthesis = engines["synthesis"]
        self.batch = synthesis.batch[1]
        self.description = (
            f"{flavor.title} {synthesis.version}, {gpu.name} ({gpu.architecture}), {synthesis.precision},"
            f" batches up to {synthesis.batch[2]}, {synthesis.ops} ops"
        )
        cuda.init()
        # The primary context is the one that other users of CUDA in this process have.
        self._context: Any = cuda.Device(device).retain_primary_context()
        atexit.register(self.close)
        try:
            with self._current():
                self._messages = Messages(self._trt)
                self._runtime = new_runtime(self._trt, self._messages, list(engines.values()))
                for _ in range(CALLS_IN_FLIGHT):
                    self._idle.put(Executor(cuda))
        except BaseException:
            self.close()
            raise

    def makes_pixels(self, graph: GraphName) -> bool:
        engine = self._loaded.get(graph)
        if engine is None:
            with self._executor():
                engine = self._engine(graph)
        return engine.makes_pixels

    def compute(self, graph: GraphName, inputs: Inputs, pixels: bool) -> NDArray[Any]:
        images = batch_size(inputs)
        result = empty_result(self._bundle.manifest, graph, images, pixels)
        with self._executor() as executor:
            engine = self._engine(graph)

            def attempt(limit: int) -> None:
                chunks = plan(images, engine.profiles, limit)
                try:
                    executor.run(engine, inputs, chunks, result)
                except BatchFailed:
                    if not self._release_idle():
                        raise
                    executor.run(engine, inputs, chunks, result)  # with the memory that others kept

            try:
                self._limits[graph].fit(images, attempt)
            except self._cuda.Error as error:
                raise FingerGenError(f"{engine.path}: CUDA: {error}") from None
        if pixels:
            self._check_image_behind(graph, inputs, result)
        return result

    def release(self) -> None:
        """Wait for calls under way, then free memory, engines and the GPU."""
        atexit.unregister(self.close)
        self._context.push()
        try:
            for _ in range(CALLS_IN_FLIGHT):
                with contextlib.suppress(queue.Empty):  # a call hangs, or opening failed
                    self._idle.get(timeout=CLOSING_SECONDS if self._loaded else 0).release()
            for engine in self._loaded.values():
                engine.jit_cache.save()
            self._loaded.clear()
            self._runtime = None
        finally:
            # This takes it off the thread too. PyCUDA's destructor would detach a primary context wrongly.
            self._context.detach()

    @contextlib.contextmanager
    def _current(self) -> Iterator[None]:
        """Make the GPU's context that of this thread."""
        context = self._context
        context.push()
        try:
            yield
        finally:
            context.pop()

    @contextlib.contextmanager
    def _executor(self) -> Iterator[Executor]:
        """An executor that no other thread uses."""
        executor = None
        while executor is None:
            if self._closed:
                raise FingerGenError(f"the {self.name} backend is closed")
            with contextlib.suppress(queue.Empty):
                executor = self._idle.get(timeout=1)  # then look whether somebody closed it
        try:
            with self._current():
                yield executor
        finally:
            self._idle.put(executor)

    def _release_idle(self) -> bool:
        """Free the memory that executors without a call keep for their next one; whether there were any."""
        idle = []
        with contextlib.suppress(queue.Empty):
            while True:
                idle.append(self._idle.get_nowait())
        freed = [executor.release() for executor in idle]
        for executor in idle:
            self._idle.put(executor)
        return any(freed)

    def _engine(self, graph: GraphName) -> LoadedEngine:
        from .engine import JitCache, LoadedEngine, jit_cache_file

        with self._loading:
            if graph not in self._loaded:
                file = self._described[graph].file
                cache = JitCache(jit_cache_file(self._bundle.manifest.files[file].sha256, self._gpu))
                path = self._bundle.file(file)
                main_input = next(iter(input_shapes(self._bundle.manifest, graph)))
                engine = LoadedEngine(
                    self._trt, self._runtime, self._messages, path, self._bundle.read(file), main_input, cache
                )
                self._limits[graph] = BatchLimit(
                    f"{self.name} {graph}",
                    largest=max(profile.largest for profile in engine.profiles),
                    smallest=min(profile.smallest for profile in engine.profiles),
                )
                self._loaded[graph] = engine
            return self._loaded[graph]


def _choose(bundle: Bundle, options: Options) -> dict[GraphName, Engine]:
    """The engines for this machine; `Unusable` where there are none."""
    manifest = bundle.manifest
    if not manifest.engines:
        raise Unusable("the bundle has no TensorRT engine: fg-export --engine fp16")
    if reason := nvidia.problem(options.device):
        raise Unusable(reason)
    if importlib.util.find_spec("pycuda") is None:
        raise Unusable(
            "pycuda is not installed: pip install pycuda (it needs a C++ compiler and CUDA's headers)"
        )
    here = Here.look(manifest, nvidia.gpu(options.device).architecture)
    return choose_engines(manifest, here, options.precision)
