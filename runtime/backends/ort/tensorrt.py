"""ONNX Runtime on an NVIDIA GPU with its TensorRT execution provider.

It builds an engine of each graph when that is first used, which takes minutes, and keeps it in the user's
cache. Our custom operators run as functions of standard operators: as kernels of ours they would cut the
graph into dozens of engines.
"""

from __future__ import annotations

from pathlib import Path

from ...bundle import Bundle
from ...bundle.manifest import GraphName, Manifest
from ...files import user_cache
from .. import Backend, Options, nvidia
from ..graphs import input_shapes
from .cuda import PROVIDER as CUDA_PROVIDER
from .cuda import provider_options as cuda_options
from .gpu import (
    BATCH,
    CPU_PROVIDER,
    LARGEST_BATCH,
    OnnxRuntimeBatches,
    gpu_files,
    preload_libraries,
    unavailable_provider,
)
from .sessions import Providers, Sessions

NAME = "onnxruntime-tensorrt"
PROVIDER = "TensorrtExecutionProvider"


def unavailable(bundle: Bundle, options: Options) -> str | None:
    """None where onnxruntime-gpu, its CUDA and TensorRT libraries and a GPU are there."""
    reason = unavailable_provider(PROVIDER, bundle, options)
    if reason and "libnvinfer" in reason:
        return f"{reason}; and the TensorRT that it names: pip install 'tensorrt-cu13==10.*'"
    return reason


def open_backend(bundle: Bundle, options: Options) -> Backend:
    """The backend on GPU `options.device`, in float16 where the bundle has it, unless asked for another."""
    from .library import onnxruntime

    preload_libraries()
    files, precision = gpu_files(bundle, options)
    device = nvidia.gpu(options.device)
    cache = engine_cache(bundle, device.architecture, precision)

    def providers(graph: GraphName) -> Providers:
        mine = {
            "device_id": str(options.device),
            **provider_options(bundle.manifest, graph, precision, cache),
        }
        return [(PROVIDER, mine), (CUDA_PROVIDER, cuda_options(options.device)), CPU_PROVIDER]

    where = f"{device.name} ({device.architecture})"
    description = f"ONNX Runtime {onnxruntime.__version__}, TensorRT, {where}, {precision}"
    return OnnxRuntimeBatches(bundle, Sessions(bundle, files, providers, None), NAME, description)


def provider_options(manifest: Manifest, graph: GraphName, precision: str, cache: Path) -> dict[str, str]:
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
