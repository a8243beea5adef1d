"""Backends run a bundle's graphs; everything else of the runtime is the same NumPy for all of them.

A backend is a module of this package with `unavailable(bundle, options)` and `open_backend(bundle, options)`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from ..bundle import Bundle
from ..bundle.encoded import Encoded
from ..errors import BadInput
from ..images import Pixels

AUTO = ("tensorrt", "onnxruntime-cuda", "onnxruntime")
"""What `auto` tries, the preferred one first."""

BACKENDS = (*AUTO, "onnxruntime-tensorrt")
"""Names of the backends. The last builds engines for minutes when it starts: on request only."""

MODULES = {
    "tensorrt": ".trt.backend",
    "onnxruntime-cuda": ".ort.cuda",
    "onnxruntime": ".ort.cpu",
    "onnxruntime-tensorrt": ".ort.tensorrt",
}

Floats = NDArray[np.float32]
Precision = Literal["fp32", "fp16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@dataclass(frozen=True)
class Options:
    """How a backend is to run.

    workers: threads of one that computes on the CPU. device: number of the GPU, as CUDA counts them.
    precision: None for the one that suits the backend best among those that the bundle has.
    """

    workers: int
    device: int = 0
    precision: Precision | None = None


class Backend(Protocol):
    """Runs the graphs of one bundle on float32 arrays. May be used from many threads at once.

    N is any batch size; what comes out for an image does not depend on the rest of its batch: on a CPU not by
    a bit, on a GPU by no more than the precision's rounding. A noise buffer is (1, 1, H, W), shared by the
    batch, or (N, 1, H, W); shapes are `Architecture.noise_shapes`.
    """

    name: str
    description: str  # one line for people: library, version, device, whether our custom ops run
    batch: int  # images in a call that keep it busy

    def map(self, z: Floats) -> Floats:
        """z (N, style_dim) → w (N, style_dim)."""

    def synthesize(self, w: Floats, noise: Sequence[Floats]) -> Floats:
        """w (N, num_ws, style_dim) → images (N, C, R, R), nominally in [-1, 1]."""

    def encode(self, maps: Floats) -> Encoded:
        """Minutiae maps (N, 3, S, S) in [0, 1] → w, and noise images for some of the decoder's layers."""

    def decode(self, w: Floats, noise: Sequence[Floats]) -> Floats:
        """As `synthesize`, for what comes from `encode`: the decoder graph, where the bundle has one."""

    def render(self, w: Floats, noise: Sequence[Floats], decoder: bool = False) -> Pixels:
        """As `synthesize`, or `decode`, in the 256 levels of image files: uint8 (N, C, R, R).

        Made where the networks are computed, so that only these bytes come from a GPU, if the bundle can.
        """

    def close(self) -> None:
        """Free what the backend holds; it cannot be used afterwards."""


def unavailable(name: str, bundle: Bundle, device: int = 0, precision: Precision | None = None) -> str | None:
    """Why backend `name` cannot run `bundle` on this machine, and the fix; None where it can."""
    return _module(name).unavailable(bundle, Options(usable_cores(), device, precision))


def open_backend(
    name: str,
    bundle: Bundle,
    workers: int | None = None,
    device: int = 0,
    precision: Precision | None = None,
) -> Backend:
    """The backend `name` (or `auto`: the first of `AUTO` that is available) for `bundle`.

    workers: threads of a backend that computes on the CPU; None: one a core that this process may use.
    device, precision: see `Options`. `BadInput` with the reasons where none can run the bundle here.
    """
    if workers is None:
        workers = usable_cores()
    if workers < 1:
        raise BadInput(f"workers: {workers}; at least 1")
    if device < 0:
        raise BadInput(f"device: {device}; GPUs are counted from 0")
    options = Options(workers, device, precision)
    reasons = {}
    for candidate in AUTO if name == "auto" else (name,):
        module = _module(candidate)
        reason = module.unavailable(bundle, options)
        if reason is None:
            return module.open_backend(bundle, options)
        reasons[candidate] = reason
    raise BadInput("; ".join(f"backend {key}: {reason}" for key, reason in reasons.items()))


def usable_cores() -> int:
    """CPU cores that this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def _module(name: str) -> ModuleType:
    if name not in BACKENDS:
        raise BadInput(f"backend {name!r}: choose auto, {' or '.join(BACKENDS)}")
    return import_module(MODULES[name], __name__)
