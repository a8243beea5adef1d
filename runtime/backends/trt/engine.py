"""An engine of TensorRT or TensorRT-RTX, loaded: one for all threads, whose contexts are their own."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fingergen import cpp_ops

from ...bundle.manifest import Engine
from ...errors import BadInput, FingerGenError
from ...files import user_cache, write_atomically
from ..batching import BatchFailed, Profile
from ..graphs import PIXELS

PLUGINS_LOADED: set[str] = set()  # modules whose registry has our plugin library: it stays for the process


class Messages:
    """TensorRT's errors, for the message of ours that follows them. `logger`: what TensorRT takes.

    An error belongs to the operation that its thread is in (see `during`): what was logged before it began,
    or by another thread's, is not its reason. TensorRT's own threads belong to every operation under way.
    """

    def __init__(self, trt: Any) -> None:
        self._lock = threading.Lock()
        self._said: dict[int, list[str]] = {}  # of each thread in an operation
        severity = trt.ILogger.Severity
        keep = self._keep

        class Logger(trt.ILogger):  # type: ignore[misc]
            def log(self, level: Any, message: str) -> None:
                if level in (severity.ERROR, severity.INTERNAL_ERROR):
                    keep(message)

        self.logger = Logger()

    @contextlib.contextmanager
    def during(self) -> Iterator[None]:
        """An operation of this thread, which `reason` is about; operations do not nest."""
        with self._lock:
            self._said[threading.get_ident()] = []
        try:
            yield
        finally:
            with self._lock:
                del self._said[threading.get_ident()]

    def reason(self, what: str) -> str:
        """`what` failed in this thread's operation, and the first error that TensorRT logged in it."""
        with self._lock:
            said = self._said.get(threading.get_ident(), [])
            return f"{what}: {said[0] if said else 'TensorRT gives no reason'}"

    def _keep(self, message: str) -> None:
        with self._lock:
            mine = self._said.get(threading.get_ident())
            for said in self._said.values() if mine is None else (mine,):
                said.append(message)


class JitCache:
    """Kernels that TensorRT-RTX compiled at run time, kept from one process to the next.

    An engine of TensorRT-RTX serves many GPUs: what it becomes on one is compiled when a batch size first
    runs, which takes seconds. The cache of one engine is shared by its execution contexts; TensorRT-RTX
    checks itself whether a stored one is of its version, driver and GPU. A CUDA context must be current.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._cache: Any = None
        self._stored = b""

    def attach(self, config: Any) -> None:
        """Let a runtime configuration, before a context is made of it, read and fill the cache."""
        if not hasattr(config, "create_runtime_cache"):  # an older TensorRT-RTX
            return
        if self._cache is None:
            self._cache = config.create_runtime_cache()
            with contextlib.suppress(OSError):
                stored = self._path.read_bytes()
                if self._cache.deserialize(stored):
                    self._stored = stored
        config.set_runtime_cache(self._cache)

    def save(self) -> None:
        """Write what is new; a cache that cannot be written is no error."""
        serialized = self._cache.serialize() if self._cache is not None else None
        content = bytes(memoryview(serialized)) if serialized is not None else b""
        if content in (b"", self._stored):
            return
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, content)
            self._stored = content


def jit_cache_file(engine_sha256: str, gpu: str) -> Path:
    """Where the cache of an engine lies, for a GPU of this name."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", gpu).strip("-")
    return user_cache() / "jit" / f"{engine_sha256[:16]}-{name}.cache"


class LoadedEngine:
    """A deserialized engine. `inputs`: names, the main one first; `profiles`: batch sizes of that one;
    `output`: name of its float32 output; `makes_pixels`: it also has the output `PIXELS`.
    """

    def __init__(
        self,
        trt: Any,
        runtime: Any,
        messages: Messages,
        path: Path,
        content: bytes,
        main_input: str,
        jit_cache: JitCache,
    ) -> None:
        self.path = path
        self.jit_cache = jit_cache
        self._trt = trt
        self.messages = messages
        self._making_context = threading.Lock()
        with messages.during():
            self._engine = runtime.deserialize_cuda_engine(content)
            if self._engine is None:
                raise FingerGenError(messages.reason(f"{path}: TensorRT cannot load this engine"))
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        modes = {name: self._engine.get_tensor_mode(name) for name in names}
        inputs = [name for name in names if modes[name] == trt.TensorIOMode.INPUT]
        outputs = [name for name in names if modes[name] == trt.TensorIOMode.OUTPUT]
        self.makes_pixels = PIXELS in outputs
        floats = [name for name in outputs if name != PIXELS]
        if main_input not in inputs or len(floats) != 1:
            raise BadInput(f"{path}: inputs {inputs}, outputs {outputs}; not an engine of this graph")
        for name in names:
            wanted = "UINT8" if name == PIXELS else "FLOAT"
            if self._engine.get_tensor_dtype(name) != getattr(trt.DataType, wanted):
                raise BadInput(f"{path}: {name}: not of type {wanted}")
        self.inputs = [main_input, *(name for name in inputs if name != main_input)]
        (self.output,) = floats
        self.profiles = [
            Profile(i, *(shape[0] for shape in self._engine.get_tensor_profile_shape(main_input, i)))
            for i in range(self._engine.num_optimization_profiles)
        ]

    def new_context(self) -> Any:
        """An execution context that computes in memory which it is given, for the shapes that it is given.

        TensorRT-RTX captures the work of a batch size as a CUDA graph and replays it, and keeps what it
        compiles; TensorRT does neither.
        """
        strategy = self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
        with self._making_context, self.messages.during():
            if hasattr(self._trt, "CudaGraphStrategy"):
                config = self._engine.create_runtime_config()
                config.set_execution_context_allocation_strategy(strategy)
                config.cuda_graph_strategy = self._trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
                self.jit_cache.attach(config)
                context = self._engine.create_execution_context(config)
            else:
                context = self._engine.create_execution_context(strategy)
            if context is None:
                raise self.failure("TensorRT cannot make an execution context")
        return context

    def failure(self, what: str) -> BatchFailed:
        """The error to raise within `Messages.during`, with TensorRT's reason."""
        return BatchFailed(self.messages.reason(f"{self.path}: {what}"))


def new_runtime(trt: Any, messages: Messages, engines: list[Engine]) -> Any:
    """TensorRT's runtime, with our plugins where one of `engines` needs them.

    Raises:
        FingerGenError: TensorRT does not take the plugin library.
    """
    with messages.during():
        runtime = trt.Runtime(messages.logger)
        if any(engine.plugins_embedded for engine in engines):
            runtime.engine_host_code_allowed = True
        needed = any(engine.ops == "plugin" and not engine.plugins_embedded for engine in engines)
        if needed and trt.__name__ not in PLUGINS_LOADED:
            library = cpp_ops.library("tensorrt")
            if trt.get_plugin_registry().load_library(str(library)) is None:
                raise FingerGenError(messages.reason(f"{library}: TensorRT cannot load this plugin library"))
            PLUGINS_LOADED.add(trt.__name__)
    return runtime
