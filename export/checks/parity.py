"""Every graph against PyTorch, at export: an export whose graphs compute something else fails."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from fingergen.runtime import seeds
from fingergen.runtime.backends.ort.library import onnxruntime
from fingergen.runtime.errors import FingerGenError
from fingergen.runtime.images import to_levels
from fingergen.runtime.minutiae.raster import CELLS, CHANNELS
from fingergen.training.networks import Generator, Reconstructor
from fingergen.training.networks.field_net import FieldNet

RELATIVE_TOLERANCE = 1e-4
ROUNDING_MARGIN = 20  # times what float32 costs PyTorch itself: another order of summation may cost more
BATCHES = (1, 3, 8)
# Batch, styles, noise. Seeds go on counting from case to case, so that no image comes twice.
SYNTHESIS_CASES = ((1, "w", "none"), (3, "w_plus", "random"), (8, "w", "const"))


class Progress(Protocol):
    """Is told a step, and how many of its `total` samples are done; no total: the step is not counted."""

    def __call__(self, step: str, done: int = 0, total: int = 0) -> None: ...


Array = NDArray[np.float32]
Case = tuple[dict[str, Array], torch.Tensor]


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


def check_mapping(model: onnx.ModelProto, generator: Generator, progress: Progress = silent) -> Parity:
    """The mapping graph against `generator.map`; `FingerGenError` outside tolerance."""

    def cases() -> Iterable[Case]:
        for z in _latents(generator.style_dim, BATCHES):
            yield {"z": z}, generator.map(torch.from_numpy(z))

    return _compare("mapping.onnx", model, cases(), sum(BATCHES), progress)


def check_synthesis(
    name: str, model: onnx.ModelProto, generator: Generator, progress: Progress = silent
) -> Parity:
    """The synthesis graph in file `name` against `generator.synthesize`: one style for all layers and a style
    for each; stored, no and random noise; `FingerGenError` outside tolerance.
    """
    shapes = generator.noise_shapes()

    def cases() -> Iterable[Case]:
        seed = 0
        for batch, styles, noise_mode in SYNTHESIS_CASES:
            per_image = generator.num_ws if styles == "w_plus" else 1
            (z,) = _latents(generator.style_dim, (batch * per_image,), seed)
            w = generator.map(torch.from_numpy(z)).reshape(batch, per_image, -1)
            w = w.expand(-1, generator.num_ws, -1)
            if noise_mode == "const":
                noise = generator.stored_noise()
            elif noise_mode == "none":
                noise = generator.zero_noise()
            else:
                drawn = zip(*(seeds.noise(seed + i, shapes) for i in range(batch)), strict=True)
                noise = [torch.from_numpy(np.concatenate(layer)) for layer in drawn]
            inputs = {"w": w.numpy()} | {f"noise_{i}": layer.numpy() for i, layer in enumerate(noise)}
            yield inputs, generator.synthesize(w, noise)
            seed += batch * per_image

    return _compare(name, model, cases(), sum(batch for batch, *_ in SYNTHESIS_CASES), progress)


def check_encoder(
    model: onnx.ModelProto, reconstructor: Reconstructor, input_size: int, progress: Progress = silent
) -> Parity:
    """The encoder graph against `reconstructor.encode` on random maps; `FingerGenError` outside tolerance."""
    shape = (reconstructor.encoder.input_channels, input_size, input_size)

    def batches() -> Iterable[Array]:
        for seed, batch in enumerate(BATCHES):
            generator = seeds.stream(seed, seeds.Purpose.EXPORT_CHECK)
            yield generator.random((batch, *shape), dtype=np.float32)

    def cases() -> Iterable[Case]:
        for maps in batches():
            yield {"map": maps}, _code(reconstructor, torch.from_numpy(maps))

    @torch.inference_mode()
    def rounding() -> float:
        exact = copy.deepcopy(reconstructor).double()
        return max(
            float((_code(reconstructor, maps) - _code(exact, maps.double())).abs().max())
            for maps in map(torch.from_numpy, batches())
        )

    return _compare("encoder.onnx", model, cases(), sum(BATCHES), progress, rounding)


def check_fields(model: onnx.ModelProto, network: FieldNet, progress: Progress = silent) -> Parity:
    """The field network's graph against PyTorch on random rasters; `FingerGenError` outside tolerance."""

    def cases() -> Iterable[Case]:
        for seed, batch in enumerate(BATCHES):
            generator = seeds.stream(seed, seeds.Purpose.EXPORT_CHECK)
            rasters = generator.standard_normal((batch, CHANNELS, CELLS, CELLS), dtype=np.float32)
            fields = network(torch.from_numpy(rasters))
            yield {"raster": rasters}, torch.cat([fields[:, :-1], fields[:, -1:].sigmoid()], dim=1)

    return _compare("fields.onnx", model, cases(), sum(BATCHES), progress)


def _code(reconstructor: Reconstructor, maps: torch.Tensor) -> torch.Tensor:
    """What the encoder graph gives: w, and behind it the noise that it predicts."""
    w, noise = reconstructor.encode(maps)
    return torch.cat([each.flatten(1) for each in (w, *noise)], dim=1) if noise else w


def open_session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """ONNX Runtime on the CPU."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only: unused shape arithmetic of the functions is no news
    # The default order would run what measures activations last, and keep all of them until then.
    options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _latents(style_dim: int, batches: Iterable[int], first_seed: int = 0) -> Iterable[Array]:
    """Batches of z, each of the seeds that follow the batch before."""
    for batch in batches:
        yield np.stack([seeds.z(seed, style_dim) for seed in range(first_seed, first_seed + batch)])
        first_seed += batch


def _compare(
    name: str,
    model: onnx.ModelProto,
    cases: Iterable[Case],
    total: int,
    progress: Progress,
    rounding: Callable[[], float] | None = None,
) -> Parity:
    """`rounding`: how far float32 is from float64 in PyTorch, asked only where the error is too large."""
    step = f"comparing {name} with PyTorch"
    progress(step, 0, total)
    session = open_session(model)
    error, scale, batches = 0.0, 0.0, []
    with torch.inference_mode():
        for inputs, expected in cases:
            output, *pixels = session.run(None, inputs)
            reference = expected.numpy()
            if output.shape != reference.shape:
                raise FingerGenError(f"{name}: gives {output.shape}, PyTorch {reference.shape}")
            if not np.isfinite(reference).all():
                raise FingerGenError(f"{name}: the checkpoint's network gives values that are not finite")
            if pixels and not np.array_equal(pixels[0], to_levels(output)):
                raise FingerGenError(f"{name}: its pixels are not those of its image; nothing was written")
            difference = np.abs(output - reference).max()
            error = max(error, float(difference) if np.isfinite(difference) else np.inf)
            scale = max(scale, float(np.abs(reference).max()))
            batches.append(len(reference))
            progress(step, sum(batches), total)
    tolerance = RELATIVE_TOLERANCE * scale
    if error > tolerance and rounding:
        tolerance = max(tolerance, ROUNDING_MARGIN * rounding())
    if error > tolerance:
        raise FingerGenError(
            f"{name}: differs from PyTorch by {error:.3g}, tolerance {tolerance:.3g}; nothing was written"
        )
    return Parity(error, tolerance, scale, tuple(sorted(set(batches))), sum(batches))
