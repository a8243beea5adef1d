"""ONNX Runtime on an NVIDIA GPU with its CUDA execution provider."""

from __future__ import annotations

from ...bundle import Bundle
from ...bundle.manifest import GraphName
from .. import Backend, Options, nvidia
from .gpu import CPU_PROVIDER, OnnxRuntimeBatches, gpu_files, preload_libraries, unavailable_provider
from .sessions import Providers, Sessions, cuda_ops_library, describe_ops

NAME = "onnxruntime-cuda"
PROVIDER = "CUDAExecutionProvider"


def unavailable(bundle: Bundle, options: Options) -> str | None:
    """None where onnxruntime-gpu, its CUDA libraries and a GPU are there: it runs every bundle."""
    return unavailable_provider(PROVIDER, bundle, options)


def open_backend(bundle: Bundle, options: Options) -> Backend:
    """The backend on GPU `options.device`, in float16 where the bundle has it, unless asked for another."""
    from .library import onnxruntime

    preload_libraries()
    files, precision = gpu_files(bundle, options)
    ops = cuda_ops_library()

    def providers(graph: GraphName) -> Providers:
        return [(PROVIDER, provider_options(options.device)), CPU_PROVIDER]

    device = nvidia.gpu(options.device)
    description = (
        f"ONNX Runtime {onnxruntime.__version__}, CUDA, {device.name} ({device.architecture}), {precision},"
        f" {describe_ops(ops)}"
    )
    return OnnxRuntimeBatches(bundle, Sessions(bundle, files, providers, ops), NAME, description)


def provider_options(device: int) -> dict[str, str]:
    """Options of the CUDA execution provider."""
    return {
        "device_id": str(device),
        "use_tf32": "0",  # float32 means float32; who wants speed takes float16
        # Memory grows by what a batch needs: doubling it would end large batches early.
        "arena_extend_strategy": "kSameAsRequested",
        # cuDNN's own choice of an algorithm. The search that ONNX Runtime does by default starts again with
        # every new batch size, took twice the memory and chose what took 3.3 times as long (docs/gpu.md).
        "cudnn_conv_algo_search": "HEURISTIC",
    }
