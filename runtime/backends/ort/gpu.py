"""What ONNX Runtime's execution providers for NVIDIA GPUs share: whole batches, arrays bound to memory.

Results on a GPU do not depend on an image's neighbours by more than the precision's rounding.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import io
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...bundle import Bundle
from ...bundle.manifest import GraphName
from .. import Options, nvidia
from ..batching import BatchLimit, OutOfMemory, Profile, plan
from ..graphs import GraphBackend, Inputs, batch_size, empty_result, graph_files, lacks_precision, part
from .sessions import Sessions, output_name

BATCH = 32  # images in a call; chosen by arithmetic, not by measurement
LARGEST_BATCH = 256
INSTALL = "pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'onnxruntime-gpu[cuda,cudnn]'"
CPU_PROVIDER = "CPUExecutionProvider"


def unavailable_provider(provider: str, bundle: Bundle, options: Options) -> str | None:
    """Why `provider` cannot run `bundle` here, and the fix; None where it can."""
    if importlib.util.find_spec("onnxruntime") is None:
        return "the package onnxruntime-gpu is not installed: pip install 'onnxruntime-gpu[cuda,cudnn]'"
    from .library import onnxruntime

    if provider not in onnxruntime.get_available_providers():
        return _no_provider(provider)
    return (
        nvidia.problem(options.device)
        or lacks_precision(bundle, options.precision)
        or _does_not_start(provider, bundle.file(bundle.manifest.graphs.mapping), options.device)
    )


def _no_provider(provider: str) -> str:
    """Why the package has not got `provider`."""
    if not _installed("onnxruntime-gpu"):
        return f"the package onnxruntime is installed, which is for CPUs: {INSTALL}"
    if _installed("onnxruntime"):
        both = "onnxruntime and onnxruntime-gpu share a folder and are both installed, the CPU one on top"
        return f"{both}: {INSTALL}"
    return f"this build of onnxruntime-gpu has no {provider}: {INSTALL}"


def _installed(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


def _does_not_start(provider: str, graph: Path, device: int) -> str | None:
    """Why a session does not get `provider`: ONNX Runtime would go on without it, on the CPU."""
    from .library import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    with _quiet():
        preload_libraries()
        asked = [(provider, {"device_id": str(device)})]
        session = onnxruntime.InferenceSession(str(graph), options, providers=asked)
    if provider in session.get_providers():
        return None
    return f"{provider} does not start: {_missing_library(provider) or 'see its requirements'}: {INSTALL}"


def _missing_library(provider: str) -> str | None:
    """What the loader says of the provider's library: which library it needs is not there."""
    from .library import onnxruntime

    folder = Path(onnxruntime.__file__).parent / "capi"
    library = f"libonnxruntime_providers_{provider.removesuffix('ExecutionProvider').lower()}.so"
    try:
        ctypes.CDLL(str(folder / "libonnxruntime_providers_shared.so"), mode=ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(folder / library))
    except OSError as error:
        return str(error)
    return None


def preload_libraries() -> None:
    """Make CUDA and cuDNN from pip's packages known to ONNX Runtime (1.21 and later can)."""
    from .library import onnxruntime

    if hasattr(onnxruntime, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find
            onnxruntime.preload_dlls()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """ONNX Runtime tells of providers that fail on both outputs; our one line is enough."""
    from .library import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        onnxruntime.set_default_logger_severity(2)  # ONNX Runtime's default: warnings


class OnnxRuntimeBatches(GraphBackend):
    """A `Backend` that runs whole batches; images are copied out of the device once, to where they stay."""

    def __init__(self, bundle: Bundle, sessions: Sessions, name: str, description: str) -> None:
        super().__init__(bundle)
        self.name = name
        self.description = description
        self.batch = BATCH
        self._sessions = sessions
        self._limit = BatchLimit(name, LARGEST_BATCH)

    def makes_pixels(self, graph: GraphName) -> bool:
        return self._sessions.makes_pixels(graph)

    def run(self, graph: GraphName, inputs: Inputs, pixels: bool = False) -> NDArray[Any]:
        images = batch_size(inputs)
        result = empty_result(self._bundle.manifest, graph, images, pixels)

        def attempt(limit: int) -> None:
            for chunk in plan(images, [Profile(0, 1, BATCH, LARGEST_BATCH)], limit):
                into = result[chunk.start : chunk.start + chunk.count]
                self._run_into(graph, part(inputs, chunk.start, chunk.count), into)

        self._limit.fit(images, attempt)
        return result

    def _run_into(self, graph: GraphName, inputs: Inputs, result: NDArray[Any]) -> None:
        session = self._sessions[graph]
        output = output_name(session, pixels=result.dtype == np.uint8)
        try:
            binding = session.io_binding()
            for name, value in inputs.items():
                binding.bind_cpu_input(name, value)
            binding.bind_output(output, "cpu", 0, result.dtype.type, result.shape, result.ctypes.data)
            session.run_with_iobinding(binding)
        except Exception as error:  # ONNX Runtime's errors have no common base class
            if out_of_memory(str(error)):
                raise OutOfMemory(f"{self._bundle.path}: {graph} graph: out of GPU memory") from None
            raise self._sessions.failure(graph, error) from None

    def close(self) -> None:
        self._sessions.close()


def out_of_memory(message: str) -> bool:
    """Whether an error of ONNX Runtime is for want of memory: of its arena, or of CUDA, cuBLAS or cuDNN."""
    lower = message.lower()
    signs = ("failed to allocate memory", "out of memory", "cuda failure 2:", "alloc_failed")
    return any(sign in lower for sign in signs)


def gpu_files(bundle: Bundle, options: Options) -> tuple[dict[GraphName, str], str]:
    """The graphs to run, and their precision: without a wish, float16 where the bundle has it."""
    precision = options.precision or ("fp16" if bundle.manifest.precisions.get("fp16") else "fp32")
    return dict(graph_files(bundle.manifest, precision)), precision
