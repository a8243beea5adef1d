"""An engine of TensorRT or TensorRT-RTX, loaded: one for all threads, whose contexts are their own."""

from __future__ import annotations

import re
import threading
from collections import deque
from pathlib import Path
from typing import Any

from fingergen import cpp_ops

from ...bundle.manifest import Engine
from ...errors import BadInput, FingerGenError
from ..batching import OutOfMemory, Profile
from ..graphs import PIXELS
from .jit_cache import JitCache

OUT_OF_MEMORY = re.compile(
    r"out of memory|outofmemory|cudaErrorMemoryAllocation|allocation failed", re.IGNORECASE
)
PLUGINS_LOADED: set[str] = set()  # modules whose registry has our plugin library: it stays for the process


class Messages:
    """TensorRT's errors, for the message of ours that follows them. `logger`: what TensorRT takes."""

    def __init__(self, trt: Any) -> None:
        errors: deque[str] = deque(maxlen=20)
        severity = trt.ILogger.Severity

        class Logger(trt.ILogger):  # type: ignore[misc]
            def log(self, level: Any, message: str) -> None:
                if level in (severity.ERROR, severity.INTERNAL_ERROR):
                    errors.append(message)

        self.logger = Logger()
        self._errors = errors

    def failure(self, what: str) -> FingerGenError:
        """The error to raise: `OutOfMemory`, if that is what TensorRT said."""
        said = list(self._errors)
        self._errors.clear()
        kind = OutOfMemory if any(map(OUT_OF_MEMORY.search, said)) else FingerGenError
        return kind(f"{what}: {said[0] if said else 'TensorRT gives no reason'}")


class LoadedEngine:
    """A deserialised engine. `inputs`: names, the main one first; `profiles`: batch sizes of that one;
    `output`: name of its float32 output; `makes_pixels`: it also has the output `PIXELS`.
    """

    def __init__(
        self,
        trt: Any,
        runtime: Any,
        messages: Messages,
        path: Path,
        main_input: str,
        jit_cache: JitCache,
    ) -> None:
        self.path = path
        self.jit_cache = jit_cache
        self._trt = trt
        self._messages = messages
        self._making_context = threading.Lock()
        self._engine = runtime.deserialize_cuda_engine(path.read_bytes())
        if self._engine is None:
            raise self.failure("TensorRT cannot load this engine")
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
        with self._making_context:
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

    def failure(self, what: str) -> FingerGenError:
        """The error to raise, with TensorRT's reason."""
        return self._messages.failure(f"{self.path}: {what}")


def new_runtime(trt: Any, messages: Messages, engines: list[Engine]) -> Any:
    """TensorRT's runtime, with our plugins where one of `engines` needs them."""
    runtime = trt.Runtime(messages.logger)
    if any(engine.plugins_embedded for engine in engines):
        runtime.engine_host_code_allowed = True
    needed = any(engine.ops == "plugin" and not engine.plugins_embedded for engine in engines)
    if needed and trt.__name__ not in PLUGINS_LOADED:
        trt.get_plugin_registry().load_library(str(cpp_ops.library("tensorrt")))
        PLUGINS_LOADED.add(trt.__name__)
    return runtime
