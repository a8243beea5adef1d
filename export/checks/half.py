"""Float16 graphs against float32: error, rounding, room before overflow. An export outside limits fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx

from fingergen.runtime.backends import Floats
from fingergen.runtime.backends.ort.library import onnxruntime
from fingergen.runtime.errors import FingerGenError
from fingergen.training.networks import Generator

from ..networks import Network
from ..onnx_graphs.ops import OPS
from . import ranges
from .parity import Progress, open_session, silent
from .rounding import rounded

SEEDS = 100
FEWEST_SEEDS = 4
PRODUCTS = 2e11  # of the seeds' images, multiplied and added: what two cores compare within half a minute
PSNR_LIMIT = 50.0  # dB
ROUNDED = 8  # inputs of a kind, or a batch, that the rounded graph, which is slow, is run on


@dataclass
class HalfParity:
    """What a float16 graph does to the float32 graph's outputs, over `inputs` (kind → number).

    PSNR is that of the worst output, in dB; its peak is the range of the float32 outputs, for images at least
    2. `psnr`: the file in ONNX Runtime, which on a CPU rounds weights only; `rounded_psnr`: every value
    rounded to float16's precision, on the first of each kind. `activations`: layer → largest magnitude.
    """

    max_abs_error: float = 0.0
    scale: float = 0.0
    psnr: float = np.inf
    rounded_psnr: float = np.inf
    inputs: dict[str, int] = field(default_factory=dict)
    activations: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "max_abs_error": self.max_abs_error,
            "scale": self.scale,
            "psnr_db": round(self.psnr, 2),
            "rounded_psnr_db": round(self.rounded_psnr, 2),
            "psnr_limit_db": PSNR_LIMIT,
            "inputs": self.inputs,
            "largest_activation": max(self.activations.values()),
            "activation_limit": ranges.LIMIT,
            "activations": dict(self.activations),
            "reference": f"float32 graph, ONNX Runtime {onnxruntime.__version__}",
        }


def default_seeds(generator: Generator) -> int:
    """Seeds that the check takes if nobody says how many: `SEEDS`, fewer for a generator that takes long."""
    widths = generator.widths
    products = 9 * 4**2 * widths[4] ** 2
    for size, width in widths.items():
        if size > 4:
            products += 9 * (size // 2) ** 2 * widths[size // 2] * width + 9 * size**2 * width**2
    return int(min(SEEDS, max(FEWEST_SEEDS, PRODUCTS // products)))


def compare_with_float32(
    network: Network, file: str, model: onnx.ModelProto, count: int = SEEDS, progress: Progress = silent
) -> HalfParity:
    """The float16 graph `model`, and the network's graphs of standard operators, on its `half_cases`.

    Args:
        file: name of the graph's file, for messages.
        count: seeds of each kind of inputs, at least 1.

    Raises:
        FingerGenError: a PSNR below `PSNR_LIMIT`, or an activation near overflow.
    """
    step = f"comparing {file} with float32"
    total = network.half_samples(count)
    progress(step, 0, 3 * total)
    half = network.build(OPS["native"], "fp16")
    values = ranges.to_measure(half)
    name = model.graph.output[0].name
    result = HalfParity()
    largest = np.zeros(len(values))
    references: list[Floats] = []
    # One session after the other: each takes several times the memory of its weights.
    session = open_session(ranges.measuring(network.build(OPS["native"], "fp32"), values))
    for kind, inputs in network.half_cases(count):
        reference, *magnitudes = session.run([name, *ranges.outputs(values)], inputs)
        references.append(reference)
        largest = np.maximum(largest, np.nan_to_num(magnitudes, nan=np.inf))
        result.scale = max(result.scale, float(np.abs(reference).max()))
        result.inputs[kind] = result.inputs.get(kind, 0) + len(reference)
        progress(step, sum(result.inputs.values()), 3 * total)
    del session
    session = open_session(model)
    for i, (_, inputs) in enumerate(network.half_cases(count)):
        (output,) = session.run([name], inputs)
        result.max_abs_error = max(result.max_abs_error, float(np.abs(output - references[i]).max()))
        result.psnr = min(result.psnr, _psnr(output, references[i], network.peak))
        progress(step, total + sum(map(len, references[: i + 1])), 3 * total)
    del session
    session = open_session(rounded(half))
    done: Counter[str] = Counter()
    for i, (kind, inputs) in enumerate(network.half_cases(count)):
        if done[kind] < ROUNDED:
            (output,) = session.run([name], inputs)
            result.rounded_psnr = min(result.rounded_psnr, _psnr(output, references[i], network.peak))
        done[kind] += len(references[i])
        progress(step, 2 * total + done.total(), 3 * total)
    magnitude = dict(zip(values, largest.tolist(), strict=True))
    ranges.check(file, magnitude)
    result.activations = ranges.by_layer(magnitude)
    worst = min(result.psnr, result.rounded_psnr)
    if worst < PSNR_LIMIT:
        raise FingerGenError(
            f"{file}: PSNR {worst:.1f} dB against float32, below {PSNR_LIMIT:g} dB;"
            " export this checkpoint in fp32"
        )
    return result


def _psnr(output: Floats, reference: Floats, peak: float) -> float:
    """The lowest PSNR of a batch in dB, at most 200; minus infinity where a value is not finite."""
    axes = tuple(range(1, output.ndim))
    peaks = np.maximum(np.ptp(reference, axis=axes), max(peak, 1e-6))
    errors = np.sqrt(np.mean(np.square(output - reference, dtype=np.float64), axis=axes)) / peaks
    worst = errors.max()
    return float(-20 * np.log10(max(worst, 1e-10))) if np.isfinite(worst) else -np.inf
