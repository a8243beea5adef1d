"""Batches on the GPU, two at a time: while one is computed, the arrays of the other come and go.

Uploads, computing and downloads have a stream each; events order what belongs to one batch. A batch has a
slot, with arrays of its own in page-locked and in device memory, and is collected before its slot is used
again: so nothing is overwritten that is still read. Memory for what happens inside the network is shared by
all slots of an executor, for their computing is on one stream.
"""

from __future__ import annotations

import contextlib
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..batching import BatchFailed, Chunk
from ..graphs import PIXELS, Inputs, part
from .engine import LoadedEngine

STREAM_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: does not wait for the default stream
FLOAT = np.dtype(np.float32)
LEVEL = np.dtype(np.uint8)


class Executor:
    """Runs calls, one at a time, in the CUDA context that is current. `cuda`: PyCUDA's driver module."""

    def __init__(self, cuda: Any) -> None:
        self._cuda = cuda
        self.upload, self.compute, self.download = (cuda.Stream(STREAM_NON_BLOCKING) for _ in range(3))
        self.scratch = Buffer(cuda)
        self._slots: dict[str, tuple[Slot, Slot]] = {}

    def run(self, engine: LoadedEngine, inputs: Inputs, chunks: list[Chunk], result: NDArray[Any]) -> None:
        """Compute `chunks` of a call into `result`, uint8 for the output `PIXELS`, else float32; on an error
        the executor's memory is freed.
        """
        try:
            slots = self._slots_of(engine)
            with engine.messages.during():
                for i, chunk in enumerate(chunks):
                    slot = slots[i % 2]
                    slot.collect(result)
                    slot.launch(chunk, inputs, result)
                for slot in slots:
                    slot.collect(result)
        except BaseException as error:
            self.release()
            if isinstance(error, self._cuda.MemoryError):
                raise BatchFailed(f"{engine.path}: {error}") from None
            raise

    def release(self) -> bool:
        """Free the memory once batches have ended; the executor can be used again. Whether there was any."""
        for stream in (self.upload, self.compute, self.download):
            with contextlib.suppress(self._cuda.Error):  # after a failed kernel, everything fails
                stream.synchronize()
        slots = [slot for pair in self._slots.values() for slot in pair]
        self._slots.clear()
        buffers = [self.scratch, *(buffer for slot in slots for buffer in slot.buffers.values())]
        held = any(buffer.bytes for buffer in buffers)
        for buffer in buffers:
            with contextlib.suppress(self._cuda.Error):
                buffer.free()
        return held

    def _slots_of(self, engine: LoadedEngine) -> tuple[Slot, Slot]:
        key = str(engine.path)
        if key not in self._slots:
            self._slots[key] = Slot(self._cuda, self, engine), Slot(self._cuda, self, engine)
        return self._slots[key]


class Buffer:
    """Device memory that grows, with page-locked memory beside it where `host` is asked for."""

    def __init__(self, cuda: Any) -> None:
        self.bytes = 0
        self.address = 0
        self._cuda = cuda
        self._device: Any = None
        self._host: NDArray[np.uint8] = np.empty(0, np.uint8)

    def reserve(self, size: int) -> None:
        """Make it at least `size` bytes; no work that uses it may be under way if it has to grow."""
        if size <= self.bytes:
            return
        self.free()
        self._device = self._cuda.mem_alloc(size)
        self.address = int(self._device)
        self.bytes = size

    def host(self, shape: tuple[int, ...], kind: np.dtype[Any]) -> NDArray[Any]:
        """An array in page-locked memory, no larger than the device's; it is the same at every call."""
        if len(self._host) < self.bytes:
            self._host = self._cuda.pagelocked_empty(self.bytes, np.uint8)
        return self._host[: kind.itemsize * math.prod(shape)].view(kind).reshape(shape)

    def free(self) -> None:
        """Give the memory on the device back; the buffer is not used afterwards."""
        device, self._device, self.bytes, self.address = self._device, None, 0, 0
        self._host = np.empty(0, np.uint8)  # page-locked memory is freed with its last array
        if device is not None:
            device.free()


class Slot:
    """A batch under way, or room for one."""

    def __init__(self, cuda: Any, executor: Executor, engine: LoadedEngine) -> None:
        self._cuda = cuda
        self._executor = executor
        self._engine = engine
        self._context = engine.new_context()
        outputs = {engine.output: FLOAT} | ({PIXELS: LEVEL} if engine.makes_pixels else {})
        self._outputs: dict[str, np.dtype[Any]] = outputs
        self.buffers = {name: Buffer(cuda) for name in (*engine.inputs, *outputs)}
        flags = cuda.event_flags.DISABLE_TIMING | cuda.event_flags.BLOCKING_SYNC
        self._uploaded, self._computed, self._downloaded = (cuda.Event(flags) for _ in range(3))
        self._profile = -1
        self._bound: tuple[Any, ...] = ()  # shapes and addresses that the context knows
        self._pending: tuple[Chunk, NDArray[Any]] | None = None

    def launch(self, chunk: Chunk, inputs: Inputs, result: NDArray[Any]) -> None:
        """Start a batch; returns before it is done. The slot must have been collected. Of `result` it needs
        shape and type.
        """
        executor, cuda = self._executor, self._cuda
        shapes = {}
        for name, values in part(inputs, chunk.start, chunk.images).items():
            shared = len(values) == 1 and name != self._engine.inputs[0]
            shapes[name] = (1 if shared else chunk.size, *values.shape[1:])
            self.buffers[name].reserve(FLOAT.itemsize * math.prod(shapes[name]))
            array = self.buffers[name].host(shapes[name], FLOAT)
            array[: len(values)] = values
            array[len(values) :] = values[-1]  # padding: any image will do
            cuda.memcpy_htod_async(self.buffers[name].address, array, executor.upload)
        self._uploaded.record(executor.upload)
        for name, kind in self._outputs.items():
            self.buffers[name].reserve(kind.itemsize * math.prod((chunk.size, *result.shape[1:])))
        executor.compute.wait_for_event(self._uploaded)
        self._bind(chunk.profile, shapes)
        self._check(self._context.execute_async_v3(executor.compute.handle), "a batch failed")
        self._computed.record(executor.compute)
        executor.download.wait_for_event(self._computed)
        output = self.buffers[next(name for name, kind in self._outputs.items() if kind == result.dtype)]
        images = output.host((chunk.images, *result.shape[1:]), result.dtype)
        cuda.memcpy_dtoh_async(images, output.address, executor.download)
        self._downloaded.record(executor.download)
        self._pending = chunk, images

    def collect(self, result: NDArray[Any]) -> None:
        """Wait for the batch under way, if there is one, and copy its images to their place."""
        if self._pending is None:
            return
        self._downloaded.synchronize()
        chunk, images = self._pending
        result[chunk.start : chunk.start + chunk.images] = images
        self._pending = None

    def _bind(self, profile: int, shapes: dict[str, tuple[int, ...]]) -> None:
        """Tell the context profile, shapes and addresses, where they are not what it knows."""
        executor, context = self._executor, self._context
        addresses = tuple(buffer.address for buffer in self.buffers.values())
        wanted = (profile, tuple(shapes.values()), addresses, executor.scratch.address)
        if wanted == self._bound:
            return
        if profile != self._profile:
            switched = context.set_optimization_profile_async(profile, executor.compute.handle)
            self._check(switched, f"no optimization profile {profile}")
            self._profile = profile
        for name, shape in shapes.items():
            self._check(context.set_input_shape(name, shape), f"{name}: refuses shape {shape}")
        for name, buffer in self.buffers.items():
            self._check(context.set_tensor_address(name, buffer.address), f"{name}: refuses its address")
        needed = context.update_device_memory_size_for_shapes()
        if needed > executor.scratch.bytes:
            executor.compute.synchronize()  # the other slot may be computing in it
            executor.scratch.reserve(needed)
        if needed:
            context.set_device_memory(executor.scratch.address, executor.scratch.bytes)
        self._bound = (*wanted[:3], executor.scratch.address)

    def _check(self, done: bool, what: str) -> None:
        if not done:
            raise self._engine.failure(what)
