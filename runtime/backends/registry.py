"""The backends that there are, and the one that a bundle gets."""

from __future__ import annotations

from importlib import import_module

from ..arguments import check_choice, check_whole
from ..bundle import Bundle
from ..errors import BadInput
from . import nvidia
from .base import PRECISIONS, Backend, Options, Precision
from .cores import usable_cores
from .device import describe_device

REGISTRY = {
    "tensorrt": (".trt.backend", "TensorRt"),
    "onnxruntime-cuda": (".ort.gpu", "OnnxRuntimeCuda"),
    "onnxruntime": (".ort.cpu", "OnnxRuntimeCpu"),
    "onnxruntime-tensorrt": (".ort.gpu", "OnnxRuntimeTensorRt"),
    "openvino": (".openvino", "OpenVino"),
}
"""Every backend by its name: module, which is imported when it is first asked for, and class."""

BACKENDS = tuple(REGISTRY)
MOST_WORKERS = 1024

ON_GPU = ("tensorrt", "onnxruntime-cuda")
AUTO = (*ON_GPU, "onnxruntime")
"""What `auto` tries, the preferred one first. ONNX Runtime's TensorRT builds engines for minutes when it
starts: on request only."""


def unavailable(name: str, bundle: Bundle, device: int = 0, precision: Precision | None = None) -> str | None:
    """Why a backend cannot run a bundle on this machine, and the fix.

    Args:
        name: One of `BACKENDS`.
        bundle: What it is to run.
        device: Number of the GPU, from 0.
        precision: `fp32` or `fp16`; None: what suits the backend.

    Returns:
        One line; None where the backend can run the bundle.

    Raises:
        BadInput: No backend has this name.
    """
    return find_backend(name).unavailable(bundle, Options(usable_cores(), device, precision))


def open_backend(
    name: str,
    bundle: Bundle,
    workers: int | None = None,
    device: int = 0,
    precision: Precision | None = None,
) -> Backend:
    """Open a backend for a bundle.

    Args:
        name: One of `BACKENDS`, or `auto`: what `fg-export tune` found to be fastest on this device,
            or else the first of `AUTO` that is available.
        bundle: What it is to run.
        workers: Threads of a backend that computes on the CPU; None: one per core that this process may use.
        device: Number of the GPU, from 0.
        precision: `fp32` or `fp16`; None: what suits the backend.

    Returns:
        The backend, ready to run the bundle.

    Raises:
        BadInput: None can run the bundle here; the message has the reasons.
    """
    if workers is None:
        workers = usable_cores()
    check_choice("backend", name, ["auto", *BACKENDS])
    check_whole("workers", workers, 1, MOST_WORKERS)
    check_whole("device", device, 0)
    if precision is not None:
        check_choice("precision", precision, PRECISIONS)
    options = Options(workers, device, precision)
    if name == "auto" and (tuned := _open_tuned(bundle, options)):
        return tuned
    reasons = {}
    no_gpu = nvidia.problem(device) if name == "auto" else None
    for candidate in AUTO if name == "auto" else (name,):
        if no_gpu and candidate in ON_GPU:
            reasons[candidate] = no_gpu
            continue
        backend = find_backend(candidate)
        reason = backend.unavailable(bundle, options)
        if reason is None:
            return backend.open(bundle, options)
        reasons[candidate] = reason
    raise BadInput("; ".join(f"backend {key}: {reason}" for key, reason in reasons.items()))


def _open_tuned(bundle: Bundle, options: Options) -> Backend | None:
    """What the bundle recommends on this device, unless that cannot run or another precision is asked for."""
    recommended = bundle.manifest.recommended
    # Most bundles are not tuned, and naming the device takes a look for GPUs.
    tuned = recommended.tuned_for(describe_device(options.device)) if recommended.tuned else None
    if tuned is None or tuned.backend not in REGISTRY or options.precision not in (None, tuned.precision):
        return None
    options = options._replace(precision=tuned.precision)
    kind = find_backend(tuned.backend)
    if kind.unavailable(bundle, options):
        return None
    backend = kind.open(bundle, options)
    backend.batch = tuned.batch
    return backend


def find_backend(name: str) -> type[Backend]:
    """A backend by its name.

    Args:
        name: One of `BACKENDS`.

    Returns:
        The class.

    Raises:
        BadInput: There is none of this name.
    """
    if name not in REGISTRY:
        raise BadInput(f"backend {name!r}: choose auto, {' or '.join(BACKENDS)}")
    module, kind = REGISTRY[name]
    found: type[Backend] = getattr(import_module(module, __package__), kind)
    return found
