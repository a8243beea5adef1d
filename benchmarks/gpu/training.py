"""How fast the generator trains, in every precision, and what memory that takes."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fingergen.runtime.errors import FingerGenError
from fingergen.training.trainers.generator import GeneratorTrainer
from fingergen.training.trainers.generator_config import GeneratorConfig

from .page import Check, Item, Row
from .settings import Deadline, Settings

PRECISIONS = ("fp32", "bf16", "fp16")
BATCHES, BATCHES_OF_A_REHEARSAL = (16, 64), (4,)
WARM_UP = 2  # steps: the first of a run takes all penalties
LEAST_LEFT = 12.0  # seconds for which no other setting is begun
LONGEST = 5.0  # seconds of timing a setting, in whole rounds of the penalties
TABLE = "Training of the generator, {} model"


@dataclass(frozen=True)
class Trial:
    """A setting: `benchmark`, whether cuDNN tries its algorithms out."""

    precision: str
    batch: int
    compile: bool
    benchmark: bool

    @property
    def title(self) -> str:
        """What the page calls the trial: precision and options."""
        more = ", compiled" * self.compile + ", cudnn.benchmark" * self.benchmark
        return f"{self.precision}, batch {self.batch}{more}"


@dataclass(frozen=True)
class Speed:
    """Of whole steps, penalties at their intervals. `memory`: bytes, at most; None where nobody counts."""

    images_per_second: float
    steps: int
    memory: int | None


def run(settings: Settings, deadline: Deadline) -> Iterator[Item]:
    """Every setting of the first network that has sizes, those that need no compiler first; the fastest."""
    stance = "default" if settings.on_gpu else "force_eager"  # a rehearsal need not wait for compilers
    with torch.compiler.set_stance(stance):
        yield from _run(settings, deadline)


def _run(settings: Settings, deadline: Deadline) -> Iterator[Item]:
    name, sizes = next((n, s) for n, s in settings.networks.items() if not isinstance(s, Path))
    products, convolutions = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    yield Check("fp32 in training", f"TF32 for convolutions: {convolutions}, for products: {products}", True)
    speeds: dict[Trial, Speed] = {}
    for trial in trials(BATCHES if settings.on_gpu else BATCHES_OF_A_REHEARSAL):
        if trial.compile and not any(each.compile for each in speeds):  # which may outlast the section
            yield from fastest(speeds)
        if deadline.left < LEAST_LEFT:
            yield Check(trial.title, "no time left: give --only training and more --seconds", None)
            continue
        try:
            speeds[trial] = measure_training(trial, sizes, settings, min(LONGEST, deadline.left / 2))
        except Exception as error:  # out of memory, a compiler that fails: the others are still to be timed
            yield Check(trial.title, f"{type(error).__name__}: {str(error)[:300]}", False)
            continue
        yield speed_row(name, trial, speeds[trial])
    yield from fastest(speeds)


def trials(batches: tuple[int, ...]) -> list[Trial]:
    """The combinations of precision and options to measure, the most interesting first."""
    smallest = batches[0]
    eager = [Trial(precision, batch, False, False) for batch in batches for precision in PRECISIONS]
    tried = [Trial(precision, smallest, False, True) for precision in PRECISIONS]
    compiled = [Trial(precision, smallest, True, False) for precision in ("bf16", "fp16", "fp32")]
    return [*eager[: len(PRECISIONS)], *tried, *eager[len(PRECISIONS) :], *compiled]


def measure_training(trial: Trial, sizes: Mapping[str, Any], settings: Settings, seconds: float) -> Speed:
    """Steps on random images for about `seconds`, in whole rounds of the penalties' intervals."""
    config = GeneratorConfig(**sizes, batch=trial.batch, precision=trial.precision, compile=trial.compile)
    torch.compiler.reset()
    try:
        with cudnn_benchmark(trial.benchmark):
            return _measure(config, settings, seconds)
    finally:  # what a trial that failed has left in memory is not to fail the next one
        gc.collect()
        if settings.on_gpu:
            torch.cuda.empty_cache()


def _measure(config: GeneratorConfig, settings: Settings, seconds: float) -> Speed:
    trainer = GeneratorTrainer(config, RandomImages(config), {}, torch.device(settings.device))
    batch = trainer.load_batch(0)

    def step() -> None:
        losses = trainer.step(batch)  # which waits for the GPU, to report the losses
        if not np.isfinite(list(losses.values())).all():
            raise FingerGenError(f"a loss is not finite: {losses}")
        trainer.images_seen += config.batch

    for _ in range(WARM_UP):
        step()
    if settings.on_gpu:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    steps, began = 0, time.perf_counter()
    while not steps or time.perf_counter() - began < seconds:
        for _ in range(config.r1_interval):
            step()
        steps += config.r1_interval
    if settings.on_gpu:
        torch.cuda.synchronize()
    passed = time.perf_counter() - began
    memory = torch.cuda.max_memory_allocated() if settings.on_gpu else None
    return Speed(steps * config.batch / passed, steps, memory)


class RandomImages:
    """Noise: what the images show does not matter for the speed."""

    def __init__(self, config: GeneratorConfig) -> None:
        self._shape = config.channels, config.resolution, config.resolution

    def batch(self, rng: np.random.Generator, count: int) -> torch.Tensor:
        return torch.from_numpy(rng.integers(0, 256, (count, *self._shape), np.uint8))


@contextmanager
def cudnn_benchmark(on: bool) -> Iterator[None]:
    """Whether cuDNN tries its algorithms out."""
    before, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, on
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def speed_row(name: str, trial: Trial, speed: Speed) -> Row:
    """A line of the table."""
    cells = {
        "precision": trial.precision,
        "batch": str(trial.batch),
        "compiled": "yes" if trial.compile else "no",
        "cudnn.benchmark": "yes" if trial.benchmark else "no",
        "images/s": f"{speed.images_per_second:.1f}",
        "GiB at most": "-" if speed.memory is None else f"{speed.memory / 2**30:.2f}",
        "steps": str(speed.steps),
    }
    return Row(TABLE.format(name), cells)


def fastest(speeds: Mapping[Trial, Speed]) -> Iterator[Check]:
    """Which setting of those so far, for each batch, and by how much."""
    for batch in dict.fromkeys(trial.batch for trial in speeds):
        group = {trial: speed for trial, speed in speeds.items() if trial.batch == batch}
        best = max(group, key=lambda trial: group[trial].images_per_second)
        result = f"{best.title}: {group[best].images_per_second:.1f} images/s"
        plain = Trial("fp32", batch, False, False)
        if plain in group and plain != best:
            times = group[best].images_per_second / group[plain].images_per_second
            result += f", {times:.2f} x {plain.title}"
        yield Check(f"fastest of {len(group)} settings with batch {batch}", result, True)
