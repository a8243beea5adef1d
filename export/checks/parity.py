"""Every graph against PyTorch, at export: an export whose graphs compute something else fails."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import onnx
import torch

from fingergen.runtime.backends.ort.library import onnxruntime
from fingergen.runtime.errors import FingerGenError
from fingergen.runtime.images import to_levels

from ..networks import Network

RELATIVE_TOLERANCE = 1e-4
ROUNDING_MARGIN = 20  # times what float32 costs PyTorch itself: another order of summation may cost more


class Progress(Protocol):
    """Called with a step, and how many of its `total` samples are done; no total: the step is not counted."""

    def __call__(self, step: str, done: int = 0, total: int = 0) -> None: ...


@dataclass(frozen=True)
class Parity:
    """Largest difference of a graph, in ONNX Runtime on the CPU, from PyTorch over `seeds` samples.

    `tolerance` is RELATIVE_TOLERANCE times `scale`, the largest magnitude in PyTorch's output; for an encoder
    whose layers magnify rounding beyond that, ROUNDING_MARGIN times PyTorch's own distance from float64.
    """

    max_abs_error: float
    tolerance: float
    scale: float
    batches: tuple[int, ...]
    seeds: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"reference": f"PyTorch {torch.__version__}"}


def silent(step: str, done: int = 0, total: int = 0) -> None:
    """A `Progress` that shows nothing."""


def compare_with_pytorch(
    network: Network, file: str, model: onnx.ModelProto, progress: Progress = silent
) -> Parity:
    """`model` in ONNX Runtime on the CPU against PyTorch, on the network's cases.

    Args:
        file: name of the graph's file, for messages.
        model: float32 graph of `network`.

    Raises:
        FingerGenError: outside tolerance, of another shape, or values that are not finite.
    """
    step = f"comparing {file} with PyTorch"
    progress(step, 0, network.samples)
    session = open_session(model)
    error, scale, batches = 0.0, 0.0, []
    for inputs in network.cases():
        output, *pixels = session.run(None, inputs)
        reference = network.reference(inputs)
        if output.shape != reference.shape:
            raise FingerGenError(f"{file}: gives {output.shape}, PyTorch {reference.shape}")
        if not np.isfinite(reference).all():
            raise FingerGenError(f"{file}: the checkpoint's network gives values that are not finite")
        if pixels and not np.array_equal(pixels[0], to_levels(output)):
            raise FingerGenError(f"{file}: its pixels are not those of its image; nothing was written")
        difference = np.abs(output - reference).max()
        error = max(error, float(difference) if np.isfinite(difference) else np.inf)
        scale = max(scale, float(np.abs(reference).max()))
        batches.append(len(reference))
        progress(step, sum(batches), network.samples)
    tolerance = RELATIVE_TOLERANCE * scale
    if error > tolerance:
        tolerance = max(tolerance, ROUNDING_MARGIN * _rounding(network))
    if error > tolerance:
        raise FingerGenError(
            f"{file}: differs from PyTorch by {error:.3g}, tolerance {tolerance:.3g}; nothing was written"
        )
    return Parity(error, tolerance, scale, tuple(sorted(set(batches))), sum(batches))


def _rounding(network: Network) -> float:
    """How far float32 is from float64 in PyTorch; 0 for a network that does not magnify rounding."""
    largest = 0.0
    for inputs in network.cases():
        exact = network.exact(inputs)
        if exact is not None:
            largest = max(largest, float(np.abs(network.reference(inputs) - exact).max()))
    return largest


def open_session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """ONNX Runtime on the CPU."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only: unused shape arithmetic of the functions is no news
    # The default order would run what measures activations last, and keep all of them until then.
    options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
