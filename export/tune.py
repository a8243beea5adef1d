"""Which backend, precision and batch size run a bundle fastest on this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fingergen.runtime.backends import (
    BACKENDS,
    PRECISIONS,
    Floats,
    Precision,
    describe_device,
    open_backend,
    unavailable,
)
from fingergen.runtime.bundle import Bundle, read_bundle, write_bundle
from fingergen.runtime.bundle.manifest import Tuned
from fingergen.runtime.errors import FingerGenError
from fingergen.runtime.model import Model

from .checks.half import PSNR_LIMIT
from .checks.parity import Progress, silent

REFERENCE = "onnxruntime"  # in float32
SEEDS = 4  # whose images are compared
LARGEST_ERROR = 2e-3  # of float32 images, nominally in [-1, 1]
ROUNDS = 3  # at least, whatever the time
GAIN = 1.05  # a larger batch that is faster by less is not worth its memory and latency


@dataclass(frozen=True)
class Trial:
    """A backend in a precision and a batch size.

    Attributes:
        images_per_second: By the median of the calls; 0 where it is not timed.
        refused: Why it cannot be chosen: it cannot run here, or its images are wrong; None where it can.
    """

    backend: str
    precision: Precision
    batch: int
    images_per_second: float = 0.0
    refused: str | None = None


def tune(
    path: Path, batches: Sequence[int], seconds: float, progress: Progress = silent
) -> tuple[list[Trial], Tuned]:
    """Time everything that can run a bundle here, and write the fastest into the bundle's recommendations.

    All are timed in the same rounds, one call of each per round, so that a busy machine slows all alike.

    Args:
        path: The bundle, whose manifest is written anew.
        batches: Images per call.
        seconds: No round begins later, once `ROUNDS` are made.
        progress: Is told each step.

    Returns:
        All trials, the fastest first, and what was written.

    Raises:
        BadInput: The bundle cannot be read or written.
    """
    bundle = read_bundle(path)
    with ExitStack() as opened:
        refused: list[Trial] = []
        reference = opened.enter_context(Model(bundle, open_backend(REFERENCE, bundle, precision="fp32")))
        expected = _images(reference)
        models: dict[tuple[str, Precision], Model] = {(REFERENCE, "fp32"): reference}
        for name, precision in _candidates(bundle):
            if (name, precision) in models:
                continue
            reason = unavailable(name, bundle, precision=precision)
            if reason is None:
                progress(f"opening {name}, {precision}")
                model = opened.enter_context(Model(bundle, open_backend(name, bundle, precision=precision)))
                reason = _wrong(model, precision, expected)
                models[name, precision] = model
            if reason is not None:
                refused.append(Trial(name, precision, 0, refused=reason))
                models.pop((name, precision), None)
        trials = _timed(models, batches, seconds, progress)
    trials.sort(key=lambda trial: -trial.images_per_second)
    fastest = trials[0]
    near = [
        trial
        for trial in trials
        if (trial.backend, trial.precision) == (fastest.backend, fastest.precision)
        and GAIN * trial.images_per_second >= fastest.images_per_second
    ]
    best = min(near, key=lambda trial: trial.batch)
    tuned = Tuned(
        describe_device(), best.backend, best.precision, best.batch, round(best.images_per_second, 2)
    )
    _write(bundle, tuned)
    return trials + refused, tuned


def _candidates(bundle: Bundle) -> Iterator[tuple[str, Precision]]:
    for name in BACKENDS:
        for precision in PRECISIONS:
            if precision == "fp32" or bundle.manifest.precisions.get(precision) or bundle.manifest.engines:
                yield name, precision


def _images(model: Model) -> Floats:
    return model.generate(model.map(model.z(range(SEEDS))), noise="const")


def _wrong(model: Model, precision: Precision, expected: Floats) -> str | None:
    """Why the images are not what they should be; None where they are."""
    try:
        error = _images(model) - expected
    except FingerGenError as failure:
        return str(failure)
    if precision == "fp32":
        largest = float(np.abs(error).max())
        return f"wrong: error {largest:.2g}, above {LARGEST_ERROR:g}" if largest > LARGEST_ERROR else None
    mean = np.square(error, dtype=np.float64).mean(axis=(1, 2, 3)).max()
    psnr = -10 * np.log10(max(mean, 1e-20) / 4.0)
    return f"wrong: PSNR {psnr:.1f} dB, below {PSNR_LIMIT:g} dB" if psnr < PSNR_LIMIT else None


def _timed(
    models: dict[tuple[str, Precision], Model], batches: Sequence[int], seconds: float, progress: Progress
) -> list[Trial]:
    found = {(*key, batch): list[float]() for key in models for batch in batches}
    styles = next(iter(models.values()))
    w = styles.map(styles.z(range(max(batches))))
    order = np.random.default_rng(0)
    began, rounds = time.perf_counter(), 0
    progress(f"timing {len(found)} combinations")
    for name, precision, batch in found:  # the first call of a size may compile, and allocates
        models[name, precision].render(w[:batch], noise="const")
    while rounds < ROUNDS or time.perf_counter() - began < seconds:
        for i in order.permutation(len(found)):
            name, precision, batch = key = list(found)[i]
            start = time.perf_counter()
            models[name, precision].render(w[:batch], noise="const")
            found[key].append(time.perf_counter() - start)
        rounds += 1
    return [Trial(*key, images_per_second=key[-1] / float(np.median(took))) for key, took in found.items()]


def _write(bundle: Bundle, tuned: Tuned) -> None:
    """The bundle as it is, with `tuned` in place of what was recommended for its device."""
    recommended = bundle.manifest.recommended
    others = tuple(each for each in recommended.tuned if each.device != tuned.device)
    manifest = bundle.manifest._replace(recommended=recommended._replace(tuned=(*others, tuned)))
    contents = {file: bundle.read(file) for file in manifest.files}
    write_bundle(bundle.path, manifest, contents, overwrite=True)
