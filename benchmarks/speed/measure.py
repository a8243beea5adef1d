"""One benchmark: executors x precisions x threads x batch sizes, all in the same rounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from fingergen.runtime.errors import FingerGenError

from .executors import Entry
from .timing import Latency, Seconds, interleave, relative_speed
from .workload import Floats, Runner, Workload

PEAK = 2.0  # of images in [-1, 1]
LARGEST_ERROR = 1e-3 * PEAK  # of float32
LEAST_PSNR = 50.0  # of lower precisions, in dB: what fg-export asks of its float16 graphs


@dataclass(frozen=True)
class Setting:
    """A row of the result: who, how, and images a call. `threads` None: they do not matter."""

    executor: str
    precision: str
    threads: int | None
    batch: int


@dataclass(frozen=True)
class Result:
    """`relative_speed`: times as fast as the first setting of the same batch, by the median of the rounds;
    None for images that are wrong, however soon they come.

    `max_abs_error` and `psnr_db`, whose peak is 2: the images, nominally in [-1, 1], against those of the
    first setting of the same batch that has the bundle's weights. None for one that has not; equal images
    have no PSNR. `peak_mib`: see `memory`; None where it was not measured.
    """

    setting: Setting
    description: str
    latency_ms: Latency
    images_per_second: float
    relative_speed: float | None
    max_abs_error: float | None
    psnr_db: float | None
    peak_mib: float | None = None

    @property
    def wrong(self) -> bool:
        """Whether the images differ by more than their precision may."""
        if self.setting.precision == "fp32":
            return self.max_abs_error is not None and self.max_abs_error > LARGEST_ERROR
        return self.psnr_db is not None and self.psnr_db < LEAST_PSNR


@dataclass(frozen=True)
class Plan:
    """`warm_up`: rounds before those that count; `seconds`: no round begins later than that."""

    batches: Sequence[int]
    threads: Sequence[int]
    rounds: int
    seconds: float
    warm_up: int


def measure(
    workload: Workload,
    entries: Sequence[Entry],
    plan: Plan,
    after_round: Callable[[], object] = lambda: None,
    on_end: Callable[[BaseException], object] | None = None,
) -> tuple[list[Result], int]:
    """Time every entry in each of the plan's settings → results, by batch, and the rounds that were made.

    `after_round`, `on_end`: as of `interleave`.
    """
    with ExitStack() as opened:
        runners: dict[Setting, Runner] = {}
        for entry in entries:
            name, threaded = entry.executor.name, entry.executor.threaded
            for threads in plan.threads if threaded else plan.threads[:1]:
                runner = entry.executor.open_runner(workload, entry.precision, threads)
                opened.callback(runner.close)
                for batch in plan.batches:
                    setting = Setting(name, entry.precision, threads if threaded else None, batch)
                    runners[setting] = runner
        settings = sorted(runners, key=lambda setting: plan.batches.index(setting.batch))
        inputs = {batch: workload.inputs(batch) for batch in plan.batches}
        images = {setting: _first_images(setting, runners[setting], inputs) for setting in settings}
        calls = [partial(runners[setting].run, inputs[setting.batch]) for setting in settings]
        if plan.warm_up > 1:  # the first images were a round
            interleave(calls, plan.warm_up - 1, plan.seconds)
        seconds = interleave(calls, plan.rounds, plan.seconds, after_round, on_end)
    columns = dict(zip(settings, seconds.T, strict=True))
    results = []
    for batch in plan.batches:
        group = [setting for setting in settings if setting.batch == batch]
        comparable = [setting for setting in group if runners[setting].comparable]
        for setting in group:
            difference = images[setting] - images[comparable[0]] if setting in comparable else None
            results.append(
                _result(setting, runners[setting], columns[setting], columns[group[0]], difference)
            )
    return results, len(seconds)


def _first_images(setting: Setting, runner: Runner, inputs: Mapping[int, Floats]) -> Floats:
    images = runner.run(inputs[setting.batch])
    if not np.isfinite(images).all():
        raise FingerGenError(f"{setting.executor}, {setting.precision}: gives values that are not finite")
    return images


def _result(
    setting: Setting, runner: Runner, seconds: Seconds, reference: Seconds, difference: Floats | None
) -> Result:
    error = power = None
    if difference is not None:
        error = float(np.abs(difference).max())
        power = float(np.square(difference, dtype=np.float64).mean())
    result = Result(
        setting,
        runner.description,
        Latency.of(seconds),
        images_per_second=setting.batch * len(seconds) / float(seconds.sum()),
        relative_speed=relative_speed(seconds, reference),
        max_abs_error=error,
        psnr_db=10 * math.log10(PEAK**2 / power) if power else None,
    )
    return replace(result, relative_speed=None) if result.wrong else result
