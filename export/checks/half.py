"""Float16 graphs against float32: error, rounding, room before overflow. An export outside limits fails."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from fingergen.runtime import seeds
from fingergen.runtime.backends.ort.library import onnxruntime
from fingergen.runtime.errors import FingerGenError
from fingergen.runtime.minutiae import Minutia, MinutiaType, Point, Template, minutiae_map
from fingergen.runtime.pipeline.reconstruction import to_encoder_input
from fingergen.training.networks import Generator

from ..onnx_graphs.generator import synthesis_model
from ..onnx_graphs.ops import OPS, Build
from . import ranges
from .parity import Progress, open_session, silent
from .rounding import rounded

Array = NDArray[np.float32]
Inputs = dict[str, Array]

SEEDS = 100
PSNR_LIMIT = 50.0  # dB
IMAGE_RANGE = 2.0  # of images, nominally in [-1, 1]
BATCH_PIXELS = 2**18  # a batch of as many pixels of images
MOST_IN_BATCH = 64
ROUNDED = 8  # inputs of a kind, or a batch, that the rounded graph, which is slow, is run on
STATISTICS_SEEDS = 1000  # for the standard deviation of w
DEVIATIONS = 5.0
ENCODER_SHARE = 4  # an encoder costs several times what a generator does: so many fewer inputs


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


def check_half_synthesis(
    generator: Generator, name: str, model: onnx.ModelProto, count: int = SEEDS, progress: Progress = silent
) -> HalfParity:
    """The float16 synthesis graph `model` in file `name`, on two times `count` inputs: w of the first seeds
    at ψ = 1, with the stored noise; and w of which every component is five standard deviations from the mean,
    on the side of the seed's, with the seed's noise. `FingerGenError` outside limits.
    """

    def cases() -> Iterator[tuple[str, Inputs]]:
        w = _styles(generator, max(count, STATISTICS_SEEDS))
        mean, deviation = w.mean(axis=0), w.std(axis=0)
        far = mean + DEVIATIONS * deviation * np.where(w < mean, -1, 1).astype(np.float32)
        stored = [buffer.numpy() for buffer in generator.stored_noise()]
        size = max(1, min(BATCH_PIXELS // generator.resolution**2, MOST_IN_BATCH))
        for first in range(0, count, size):
            batch = range(first, min(first + size, count))
            yield "psi 1", _synthesis_inputs(generator, w[batch], stored)
            drawn = zip(*(seeds.noise(seed, generator.noise_shapes()) for seed in batch), strict=True)
            yield (
                f"{DEVIATIONS:g} deviations",
                _synthesis_inputs(generator, far[batch], [np.concatenate(layer) for layer in drawn]),
            )

    build = partial(synthesis_model, generator)
    return _compare(name, model, build, cases(), 2 * count, IMAGE_RANGE, progress)


def check_half_encoder(
    build: Build,
    input_size: int,
    name: str,
    model: onnx.ModelProto,
    count: int = SEEDS,
    progress: Progress = silent,
) -> HalfParity:
    """The float16 encoder graph `model` in file `name`, on a quarter of `count` minutiae maps and as many of
    noise; `build` makes it in float32. `FingerGenError` outside limits.
    """
    count = max(count // ENCODER_SHARE, 1)

    def cases() -> Iterator[tuple[str, Inputs]]:
        for seed in range(count):
            drawn = seeds.stream(seed, seeds.Purpose.EXPORT_CHECK)
            yield "minutiae", {"map": to_encoder_input(_minutiae_map(drawn, input_size)[None])}
            yield "noise", {"map": drawn.random((1, 3, input_size, input_size), dtype=np.float32)}

    return _compare(name, model, build, cases(), 2 * count, 0.0, progress)


@torch.inference_mode()
def _styles(generator: Generator, count: int) -> Array:
    """w (count, style_dim) of the first seeds."""
    z = np.stack([seeds.z(seed, generator.style_dim) for seed in range(count)])
    return generator.map(torch.from_numpy(z)).numpy()


def _synthesis_inputs(generator: Generator, w: Array, noise: Sequence[Array]) -> Inputs:
    styles = np.repeat(w[:, None], generator.num_ws, axis=1)
    return {"w": styles} | {f"noise_{i}": buffer for i, buffer in enumerate(noise)}


def _minutiae_map(drawn: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """The map of up to 80 minutiae, a core and a delta, all anywhere."""

    def place() -> tuple[float, float]:
        x, y = drawn.random(2) * size
        return x, y

    kinds = MinutiaType.ENDING, MinutiaType.BIFURCATION
    minutiae = [
        Minutia(*place(), angle=360 * drawn.random(), type=kinds[drawn.integers(2)])
        for _ in range(drawn.integers(81))
    ]
    return minutiae_map(
        Template(size, size, minutiae=tuple(minutiae), cores=(Point(*place()),), deltas=(Point(*place()),))
    )


def _compare(
    name: str,
    model: onnx.ModelProto,
    build: Build,
    cases: Iterable[tuple[str, Inputs]],
    total: int,
    peak: float,
    progress: Progress,
) -> HalfParity:
    """`model`, and `build`'s graphs of standard operators, on `cases`; the PSNR's peak is at least `peak`."""
    step = f"comparing {name} with float32"
    progress(step, 0, total)
    half = build(OPS["native"], "fp16")
    values = ranges.to_measure(half)
    float32 = open_session(ranges.measuring(build(OPS["native"], "fp32"), values))
    float16, rounding = open_session(model), open_session(rounded(half))
    output_name = model.graph.output[0].name
    result = HalfParity()
    largest = np.zeros(len(values))
    for kind, inputs in cases:
        reference, *magnitudes = float32.run([output_name, *ranges.outputs(values)], inputs)
        largest = np.maximum(largest, np.nan_to_num(magnitudes, nan=np.inf))
        (output,) = float16.run([output_name], inputs)
        result.max_abs_error = max(result.max_abs_error, float(np.abs(output - reference).max()))
        result.scale = max(result.scale, float(np.abs(reference).max()))
        result.psnr = min(result.psnr, _psnr(output, reference, peak))
        done = result.inputs.get(kind, 0)
        if done < ROUNDED:
            (output,) = rounding.run([output_name], inputs)
            result.rounded_psnr = min(result.rounded_psnr, _psnr(output, reference, peak))
        result.inputs[kind] = done + len(reference)
        progress(step, sum(result.inputs.values()), total)
    magnitude = dict(zip(values, largest.tolist(), strict=True))
    ranges.check(name, magnitude)
    result.activations = ranges.by_layer(magnitude)
    worst = min(result.psnr, result.rounded_psnr)
    if worst < PSNR_LIMIT:
        raise FingerGenError(
            f"{name}: PSNR {worst:.1f} dB against float32, below {PSNR_LIMIT:g} dB;"
            " export this checkpoint in fp32"
        )
    return result


def _psnr(output: Array, reference: Array, peak: float) -> float:
    """The lowest PSNR of a batch in dB, at most 200; minus infinity where a value is not finite."""
    axes = tuple(range(1, output.ndim))
    peaks = np.maximum(np.ptp(reference, axis=axes), max(peak, 1e-6))
    errors = np.sqrt(np.mean(np.square(output - reference, dtype=np.float64), axis=axes)) / peaks
    worst = errors.max()
    return float(-20 * np.log10(max(worst, 1e-10))) if np.isfinite(worst) else -np.inf
