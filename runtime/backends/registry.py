"""The backends that there are, and the one that a bundle gets."""

from __future__ import annotations

from collections.abc import Mapping

from ..arguments import check_choice, check_whole
from ..bundle import Bundle
from ..errors import BadInput
from .base import PRECISIONS, Backend, Options, Precision
from .cores import usable_cores
from .openvino import OpenVino
from .ort.cpu import OnnxRuntimeCpu
from .ort.gpu import OnnxRuntimeCuda, OnnxRuntimeTensorRt
from .trt.backend import TensorRt

REGISTRY: Mapping[str, type[Backend]] = {
    backend.name: backend
    for backend in (TensorRt, OnnxRuntimeCuda, OnnxRuntimeCpu, OnnxRuntimeTensorRt, OpenVino)
}
"""Every backend by its name."""

BACKENDS = tuple(REGISTRY)
MOST_WORKERS = 1024

AUTO = (TensorRt.name, OnnxRuntimeCuda.name, OnnxRuntimeCpu.name)
"""What `auto` tries, the preferred one first. ONNX Runtime's TensorRT builds engines for minutes when it
starts: on request only."""


def unavailable(name: str, bundle: Bundle, device: int = 0, precision: Precision | None = None) -> str | None:
    """Why a backend cannot run a bundle on this machine, and the fix.

    Args:
        name: one of `BACKENDS`.
        bundle: what it is to run.
        device, precision: see `Options`.

    Returns:
        One line; None where the backend can run the bundle.

    Raises:
        BadInput: no backend has this name.
    """
    return _backend(name).unavailable(bundle, Options(usable_cores(), device, precision))


def open_backend(
    name: str,
    bundle: Bundle,
    workers: int | None = None,
    device: int = 0,
    precision: Precision | None = None,
) -> Backend:
    """Open a backend for a bundle.

    Args:
        name: one of `BACKENDS`, or `auto`: the first of `AUTO` that is available.
        bundle: what it is to run.
        workers: threads of a backend that computes on the CPU; None: one per core that this process may use.
        device, precision: see `Options`.

    Raises:
        BadInput: none can run the bundle here; the message has the reasons.
    """
    if workers is None:
        workers = usable_cores()
    check_choice("backend", name, ["auto", *BACKENDS])
    check_whole("workers", workers, 1, MOST_WORKERS)
    check_whole("device", device, 0)
    if precision is not None:
        check_choice("precision", precision, PRECISIONS)
    options = Options(workers, device, precision)
    reasons = {}
    for candidate in AUTO if name == "auto" else (name,):
        backend = _backend(candidate)
        reason = backend.unavailable(bundle, options)
        if reason is None:
            return backend.open(bundle, options)
        reasons[candidate] = reason
    raise BadInput("; ".join(f"backend {key}: {reason}" for key, reason in reasons.items()))


def _backend(name: str) -> type[Backend]:
    if name not in REGISTRY:
        raise BadInput(f"backend {name!r}: choose auto, {' or '.join(BACKENDS)}")
    return REGISTRY[name]
