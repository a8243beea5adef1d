"""ONNX Runtime on an NVIDIA GPU: its CUDA and its TensorRT execution provider, which run whole batches.

Results on a GPU do not depend on an image's neighbors by more than the precision's rounding.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import io
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ...bundle import Bundle
from ...bundle.manifest import GraphName, Manifest
from ...files import user_cache
from .. import nvidia
from ..base import Backend, Options
from ..batching import BatchFailed, BatchLimit, Profile, plan
from ..graphs import (
    Inputs,
    batch_size,
    empty_result,
    graph_files,
    input_shapes,
    lacks_precision,
    part,
)
from .sessions import CPU_PROVIDER, Providers, Sessions, cuda_ops_library, describe_ops, output_name

BATCH = 32  # images in a call; chosen by arithmetic, not by measurement
LARGEST_BATCH = 256
INSTALL = "pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'onnxruntime-gpu[cuda,cudnn]'"
CUDA_PROVIDER = "CUDAExecutionProvider"
TENSORRT_PROVIDER = "TensorrtExecutionProvider"


class OnnxRuntimeBatches(Backend):
    """Runs whole batches; images are copied out of the device once, to where they stay."""

    provider: ClassVar[str]
    install: ClassVar[str] = INSTALL

    @classmethod
    def unavailable(cls, bundle: Bundle, options: Options) -> str | None:
        if importlib.util.find_spec("onnxruntime") is None:
            return "the package onnxruntime-gpu is not installed: pip install 'onnxruntime-gpu[cuda,cudnn]'"
        from .library import onnxruntime

        if cls.provider not in onnxruntime.get_available_providers():
            return _no_provider(cls.provider)
        reason = nvidia.problem(options.device) or lacks_precision(bundle, options.precision)
        if reason is None and (missing := _does_not_start(cls.provider, bundle, options.device)):
            reason = f"{missing}: {cls.install}"
        return reason

    @classmethod
    def open(cls, bundle: Bundle, options: Options) -> Self:
        """On GPU `options.device`, in float16 where the bundle has it, unless asked for another precision."""
        from .library import onnxruntime

        preload_libraries()
        precision = options.precision or ("fp16" if bundle.manifest.precisions.get("fp16") else "fp32")
        device = nvidia.gpu(options.device)
        sessions, ops = cls.sessions(bundle, options.device, precision)
        description = (
            f"ONNX Runtime {onnxruntime.__version__}, {cls.provider.removesuffix('ExecutionProvider')},"
            f" {device.name} ({device.architecture}), {precision}{ops}"
        )
        return cls(bundle, sessions, description)

    @classmethod
    @abstractmethod
    def sessions(cls, bundle: Bundle, device: int, precision: str) -> tuple[Sessions, str]:
        """The sessions, and what to add to the description."""

    def __init__(self, bundle: Bundle, sessions: Sessions, description: str) -> None:
        super().__init__(bundle)
        self.description = description
        self.batch = BATCH
        self._sessions = sessions
        self._limit = BatchLimit(self.name, LARGEST_BATCH)

    def makes_pixels(self, graph: GraphName) -> bool:
        return self._sessions.makes_pixels(graph)

    def compute(self, graph: GraphName, inputs: Inputs, pixels: bool) -> NDArray[Any]:
        images = batch_size(inputs)
        result = empty_result(self._bundle.manifest, graph, images, pixels)

        def attempt(limit: int) -> None:
            for chunk in plan(images, [Profile(0, 1, BATCH, LARGEST_BATCH)], limit):
                into = result[chunk.start : chunk.start + chunk.images]
                self._run_into(graph, part(inputs, chunk.start, chunk.images), into)

        self._limit.fit(images, attempt)
        if pixels:
            self._check_image_behind(graph, inputs, result)
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
            raise BatchFailed(str(self._sessions.failure(graph, error))) from None

    def release(self) -> None:
        self._sessions.close()


class OnnxRuntimeCuda(OnnxRuntimeBatches):
    """The CUDA execution provider: it runs every bundle."""

    name = "onnxruntime-cuda"
    provider = CUDA_PROVIDER

    @classmethod
    def sessions(cls, bundle: Bundle, device: int, precision: str) -> tuple[Sessions, str]:
        ops = cuda_ops_library()

        def providers(graph: GraphName) -> Providers:
            return [(CUDA_PROVIDER, cuda_options(device)), CPU_PROVIDER]

        files = graph_files(bundle.manifest, precision)
        return Sessions(bundle, files, providers, ops), f", {describe_ops(ops)}"


class OnnxRuntimeTensorRt(OnnxRuntimeBatches):
    """The TensorRT execution provider.

    It builds an engine of each graph when that is first used, which takes minutes, and keeps it in the user's
    cache. Our custom operators run as functions of standard operators: as kernels of ours they would cut the
    graph into dozens of engines.
    """

    name = "onnxruntime-tensorrt"
    provider = TENSORRT_PROVIDER
    install = f"{INSTALL}; and TensorRT, of the release that this onnxruntime-gpu names: pip install tensorrt"

    @classmethod
    def sessions(cls, bundle: Bundle, device: int, precision: str) -> tuple[Sessions, str]:
        cache = engine_cache(bundle, nvidia.gpu(device).architecture, precision)

        def providers(graph: GraphName) -> Providers:
            mine = {
                "device_id": str(device),
                **tensorrt_options(bundle.manifest, graph, precision, cache),
            }
            return [(TENSORRT_PROVIDER, mine), (CUDA_PROVIDER, cuda_options(device)), CPU_PROVIDER]

        return Sessions(bundle, graph_files(bundle.manifest, precision), providers, None), ""


def cuda_options(device: int) -> dict[str, str]:
    """Options of the CUDA execution provider for GPU number `device`."""
    return {
        "device_id": str(device),
        "use_tf32": "0",  # float32 means float32; who wants speed takes float16
        # Memory grows by what a batch needs: doubling it would end large batches early.
        "arena_extend_strategy": "kSameAsRequested",
        # cuDNN's own choice of an algorithm. The search that ONNX Runtime does by default starts again with
        # every new batch size, took twice the memory and chose what took 3.3 times as long (docs/gpu.md).
        "cudnn_conv_algo_search": "HEURISTIC",
    }


def tensorrt_options(manifest: Manifest, graph: GraphName, precision: str, cache: Path) -> dict[str, str]:
    """Options of the TensorRT execution provider, but for the device."""
    shapes = input_shapes(manifest, graph)

    def profile(batch: int, noise_batch: int) -> str:
        sizes = ((name, noise_batch if name.startswith("noise_") else batch) for name in shapes)
        return ",".join(f"{name}:{'x'.join(map(str, (size, *shapes[name])))}" for name, size in sizes)

    return {
        "trt_fp16_enable": str(int(precision == "fp16")),
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(cache),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(cache),
        "trt_profile_min_shapes": profile(1, 1),
        "trt_profile_opt_shapes": profile(BATCH, 1),
        "trt_profile_max_shapes": profile(LARGEST_BATCH, LARGEST_BATCH),
    }


def engine_cache(bundle: Bundle, architecture: str, precision: str) -> Path:
    """Where engines are kept: for this very bundle, GPU architecture and precision."""
    folder = user_cache() / f"{bundle.sha256[:16]}-{architecture}-{precision}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def preload_libraries() -> None:
    """Make CUDA and cuDNN from pip's packages known to ONNX Runtime (1.21 and later can)."""
    from .library import onnxruntime

    if hasattr(onnxruntime, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find
            onnxruntime.preload_dlls()


def _no_provider(provider: str) -> str:
    """Why the package has not got `provider`."""
    if not _installed("onnxruntime-gpu"):
        return f"the package onnxruntime is installed, which is for CPUs: {INSTALL}"
    if _installed("onnxruntime"):
        both = "onnxruntime and onnxruntime-gpu share a folder and are both installed, the CPU one on top"
        return f"{both}: {INSTALL}"
    return f"this build of onnxruntime-gpu has no {provider}: {INSTALL}"


def _installed(package: str) -> bool:
    """Whether pip has installed a package where onnxruntime lies; importlib.metadata takes long to import."""
    from .library import onnxruntime

    packages = Path(onnxruntime.__file__).parents[1]
    return any(packages.glob(f"{package.replace('-', '_')}-*.dist-info"))


def _does_not_start(provider: str, bundle: Bundle, device: int) -> str | None:
    """Why a session does not get `provider`: ONNX Runtime would go on without it, on the CPU."""
    from .library import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    graph = bundle.read(bundle.manifest.graphs.mapping)
    with _quiet():
        preload_libraries()
        asked = [(provider, {"device_id": str(device)})]
        session = onnxruntime.InferenceSession(graph, options, providers=asked)
    if provider in session.get_providers():
        return None
    return f"{provider} does not start: {_missing_library(provider) or 'see its requirements'}"


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


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """ONNX Runtime reports providers that fail on both outputs; our one line is enough."""
    from .library import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        onnxruntime.set_default_logger_severity(2)  # ONNX Runtime's default: warnings
