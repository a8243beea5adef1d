"""A GPU that is not there: PyCUDA's driver module and TensorRT's bindings, as far as the backend uses them.

What is enqueued on a stream runs later, streams in random order unless events order them, and reads host
and device memory only then: an array that is overwritten or freed too early gives wrong images or an error,
as it would on a GPU. Device memory is limited, begins as NaN, and cannot be used after it was freed. Engine
files are ONNX files, computed by ONNX Runtime.
"""

from __future__ import annotations

import itertools
import math
import random
import threading
from collections import deque
from collections.abc import Callable
from enum import Enum
from types import SimpleNamespace
from typing import Any

import numpy as np

from fingergen.runtime.backends.ort.library import onnxruntime


class Cuda:
    """`pycuda.driver`. `capacity`: bytes of device memory."""

    def __init__(self, seed: int = 0, capacity: int = 2**30) -> None:
        self.capacity = capacity
        self.current = threading.local()
        self.retained = 0
        self.devices: list[int] = []
        self._random = random.Random(seed)
        self._lock = threading.RLock()
        self._streams: dict[int, Stream] = {}
        self._memory: dict[int, np.ndarray] = {}
        self._addresses = itertools.count(2**20, 2**20)
        self.Error = type("Error", (Exception,), {})
        self.MemoryError = type("MemoryError", (self.Error,), {})
        self.event_flags = SimpleNamespace(DISABLE_TIMING=2, BLOCKING_SYNC=1)

    @property
    def used(self) -> int:
        return sum(len(memory) for memory in self._memory.values())

    def init(self) -> None:
        pass

    def Device(self, index: int) -> Any:
        self.devices.append(index)
        return SimpleNamespace(retain_primary_context=self._retain)

    def _retain(self) -> Any:
        self.retained += 1
        return SimpleNamespace(push=self._push, pop=self._pop, detach=self._detach)

    def _push(self) -> None:
        self.current.depth = getattr(self.current, "depth", 0) + 1

    def _pop(self) -> None:
        self.current.depth -= 1

    def _detach(self) -> None:
        self._pop()
        self.retained -= 1

    def check_context(self) -> None:
        if not getattr(self.current, "depth", 0):
            raise self.Error("no context is current on this thread")

    def Stream(self, flags: int = 0) -> Stream:
        self.check_context()
        stream = Stream(self, len(self._streams) + 1)
        self._streams[stream.handle] = stream
        return stream

    def Event(self, flags: int = 0) -> Event:
        self.check_context()
        return Event(self)

    def mem_alloc(self, size: int) -> Allocation:
        self.check_context()
        with self._lock:
            if self.used + size > self.capacity:
                raise self.MemoryError("cuMemAlloc failed: out of memory")
            address = next(self._addresses)
            self._memory[address] = np.full(size, 0xFF, np.uint8)
        return Allocation(self, address)

    def pagelocked_empty(self, shape: int, dtype: Any) -> np.ndarray:
        self.check_context()
        return np.full(shape, 0xFF, dtype)

    def memcpy_htod_async(self, dest: int, src: np.ndarray, stream: Stream) -> None:
        assert src.flags.c_contiguous
        self.enqueue(stream.handle, lambda: self._copy(self.device(dest, src.nbytes), _bytes(src)))

    def memcpy_dtoh_async(self, dest: np.ndarray, src: int, stream: Stream) -> None:
        assert dest.flags.c_contiguous
        self.enqueue(stream.handle, lambda: self._copy(_bytes(dest), self.device(src, dest.nbytes)))

    @staticmethod
    def _copy(dest: np.ndarray, src: np.ndarray) -> None:
        dest[:] = src

    def device(self, address: int, size: int) -> np.ndarray:
        """Bytes of device memory."""
        if address not in self._memory or len(self._memory[address]) < size:
            raise self.Error("an illegal memory access was encountered")
        return self._memory[address][:size]

    def release(self, address: int) -> None:
        self.check_context()
        with self._lock:
            del self._memory[address]

    def enqueue(self, handle: int, operation: Callable[[], bool | None]) -> None:
        """`operation` returns False when it cannot run yet."""
        self.check_context()
        with self._lock:
            self._streams[handle].queue.append(operation)

    def run_until(self, done: Callable[[], bool]) -> None:
        """Run operations of streams in random order."""
        self.check_context()
        with self._lock:
            while not done():
                waiting = [stream for stream in self._streams.values() if stream.queue]
                self._random.shuffle(waiting)
                for stream in waiting:
                    if stream.queue[0]() is not False:
                        stream.queue.popleft()
                        break
                else:
                    raise AssertionError("deadlock: every stream waits for an event")


def _bytes(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1).view(np.uint8)


class Allocation:
    def __init__(self, cuda: Cuda, address: int) -> None:
        self._cuda, self._address = cuda, address

    def __int__(self) -> int:
        return self._address

    def free(self) -> None:
        self._cuda.release(self._address)


class Stream:
    def __init__(self, cuda: Cuda, handle: int) -> None:
        self._cuda, self.handle = cuda, handle
        self.queue: deque[Callable[[], bool | None]] = deque()

    def synchronize(self) -> None:
        self._cuda.run_until(lambda: not self.queue)

    def wait_for_event(self, event: Event) -> None:
        awaited = event.recorded
        self._cuda.enqueue(self.handle, lambda: event.reached >= awaited)


class Event:
    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self.recorded = self.reached = 0

    def record(self, stream: Stream) -> None:
        self.recorded += 1
        number = self.recorded

        def reach() -> None:
            self.reached = number

        self._cuda.enqueue(stream.handle, reach)

    def synchronize(self) -> None:
        self._cuda.run_until(lambda: self.reached >= self.recorded)


class TensorRt:
    """`tensorrt`'s module. `profiles`: (smallest, best, largest) batches of every engine; `scratch`: bytes of
    activations an image.
    """

    __name__ = "simulated_tensorrt"
    __version__ = "1.2.3"
    DataType = Enum("DataType", ["FLOAT", "HALF", "UINT8"])
    TensorIOMode = Enum("TensorIOMode", ["INPUT", "OUTPUT"])
    ExecutionContextAllocationStrategy = Enum("ExecutionContextAllocationStrategy", ["USER_MANAGED"])
    CudaGraphStrategy = Enum("CudaGraphStrategy", ["WHOLE_GRAPH_CAPTURE"])

    class ILogger:
        Severity = SimpleNamespace(ERROR=1, INTERNAL_ERROR=0)

    def __init__(self, cuda: Cuda, profiles: list[tuple[int, int, int]], scratch: int = 4096) -> None:
        self.cuda, self.profiles, self.scratch = cuda, profiles, scratch
        self.contexts: list[IExecutionContext] = []
        self.engines_loaded = 0
        self.failing = False
        self.poisoned = False  # results are not finite
        self.takes_plugins = False
        self.libraries: list[str] = []  # of plugins, loaded
        self._logger: Any = None
        self.batches: list[int] = []
        self.compiled: list[int] = []  # batch sizes that were in no cache
        self._lock = threading.Lock()

    def Runtime(self, logger: Any) -> Runtime:
        self._logger = logger
        return Runtime(self, logger)

    def get_plugin_registry(self) -> Any:
        return SimpleNamespace(load_library=self._load_library)

    def _load_library(self, path: str) -> object | None:
        if not self.takes_plugins:
            self._logger.log(self.ILogger.Severity.ERROR, "bad magic")
            return None
        self.libraries.append(path)
        return object()


class Runtime:
    def __init__(self, trt: TensorRt, logger: Any) -> None:
        self._trt, self._logger = trt, logger

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        self._trt.engines_loaded += 1
        try:
            session = onnxruntime.InferenceSession(serialized_engine, providers=["CPUExecutionProvider"])
        except Exception as error:
            self._logger.log(self._trt.ILogger.Severity.ERROR, f"Serialization: {error}".splitlines()[0])
            return None
        return ICudaEngine(self._trt, self._logger, session)


class ICudaEngine:
    def __init__(self, trt: TensorRt, logger: Any, session: onnxruntime.InferenceSession) -> None:
        self._trt, self._logger, self._session = trt, logger, session
        self._nodes = {node.name: node for node in (*session.get_inputs(), *session.get_outputs())}
        self._inputs = {node.name for node in session.get_inputs()}
        self.num_io_tensors = len(self._nodes)
        self.num_optimization_profiles = len(trt.profiles)

    def get_tensor_name(self, index: int) -> str:
        return sorted(self._nodes)[index]

    def get_tensor_mode(self, name: str) -> Any:
        modes = self._trt.TensorIOMode
        return modes.INPUT if name in self._inputs else modes.OUTPUT

    def get_tensor_dtype(self, name: str) -> Any:
        types = {"tensor(float)": self._trt.DataType.FLOAT, "tensor(uint8)": self._trt.DataType.UINT8}
        return types[self._nodes[name].type]

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
        return [(size, *self._nodes[name].shape[1:]) for size in self._trt.profiles[profile_index]]

    def create_runtime_config(self) -> IRuntimeConfig:
        return IRuntimeConfig(self._trt)

    def create_execution_context(self, runtime_config: IRuntimeConfig) -> IExecutionContext:
        assert runtime_config.strategy is self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
        context = IExecutionContext(self._trt, self._logger, self._session, runtime_config.cache)
        self._trt.contexts.append(context)
        return context


class IRuntimeCache:
    """Holds the batch sizes that contexts ran."""

    def __init__(self, trt: TensorRt) -> None:
        self._trt = trt
        self.entries: set[int] = set()

    def deserialize(self, blob: bytes) -> bool:
        self._trt.cuda.check_context()
        version, *entries = blob.decode().split()
        if version != self._trt.__version__:
            return False
        self.entries |= set(map(int, entries))
        return True

    def serialize(self) -> bytes:
        self._trt.cuda.check_context()
        return " ".join([self._trt.__version__, *map(str, sorted(self.entries))]).encode()


class IRuntimeConfig:
    strategy: Any = None
    cuda_graph_strategy: Any = None
    cache: IRuntimeCache

    def __init__(self, trt: TensorRt) -> None:
        self._trt = trt

    def create_runtime_cache(self) -> IRuntimeCache:
        return IRuntimeCache(self._trt)

    def set_runtime_cache(self, cache: IRuntimeCache) -> bool:
        self.cache = cache
        return True

    def set_execution_context_allocation_strategy(self, strategy: Any) -> None:
        self.strategy = strategy


class IExecutionContext:
    def __init__(
        self, trt: TensorRt, logger: Any, session: onnxruntime.InferenceSession, cache: IRuntimeCache
    ) -> None:
        self._trt, self._logger, self._session, self._cache = trt, logger, session, cache
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._memory = (0, 0)
        self._profile = 0
        self._main = session.get_inputs()[0].name

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        self._profile = profile_index
        self._shapes.clear()
        return profile_index < len(self._trt.profiles)

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        smallest, _, largest = self._trt.profiles[self._profile]
        self._shapes[name] = shape
        return name != self._main or smallest <= shape[0] <= largest

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return True

    def update_device_memory_size_for_shapes(self) -> int:
        return self._trt.scratch * self._shapes[self._main][0]

    def set_device_memory(self, memory: int, size: int) -> None:
        self._memory = memory, size

    def execute_async_v3(self, stream_handle: int) -> bool:
        if self._trt.failing:
            self._logger.log(self._trt.ILogger.Severity.ERROR, "the kernel failed")
            return False
        shapes, addresses, memory = dict(self._shapes), dict(self._addresses), self._memory
        needed = self.update_device_memory_size_for_shapes()
        assert memory[1] >= needed
        cuda = self._trt.cuda

        def array(name: str, shape: tuple[int, ...], kind: type[np.generic]) -> np.ndarray:
            raw = cuda.device(addresses[name], np.dtype(kind).itemsize * math.prod(shape))
            return raw.view(kind).reshape(shape)

        def compute() -> None:
            cuda.device(memory[0], needed)[:] = 0
            inputs = {name: array(name, shape, np.float32).copy() for name, shape in shapes.items()}
            results = self._session.run(None, inputs)
            for output, result in zip(self._session.get_outputs(), results, strict=True):
                if self._trt.poisoned:
                    result = np.full_like(result, np.nan if result.dtype == np.float32 else 0)
                array(output.name, result.shape, result.dtype.type)[:] = result

        batch = shapes[self._main][0]
        self._trt.batches.append(batch)
        if batch not in self._cache.entries:
            self._trt.compiled.append(batch)
            self._cache.entries.add(batch)
        cuda.enqueue(stream_handle, compute)
        return True
