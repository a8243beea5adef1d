"""The batch size that suits a backend, by trying."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from ..backends import CALLS_IN_FLIGHT, Interruption
from ..errors import FingerGenError
from .request import Pair
from .steps import Steps

PairSteps = Steps[Pair, Any]
LARGEST_BATCH = 256
GAIN = 1.05  # a larger batch that is faster by less is not worth its memory and latency


class Trial(NamedTuple):
    """What a batch size achieved in a short test of the backend."""

    batch: int
    images_per_second: float


def try_batches(steps: PairSteps, seconds: float = 5.0, largest: int = LARGEST_BATCH) -> list[Trial]:
    """Images/s of the backend for batches of 1, 2, 4, … images.

    Ends at `largest`, when two sizes in a row are hardly faster than a smaller one, when a batch does not fit
    into memory, or when `seconds` have passed.
    """
    trials: list[Trial] = []
    began = time.perf_counter()
    interruption = Interruption()
    threads = ThreadPoolExecutor(CALLS_IN_FLIGHT, thread_name_prefix="trial")
    try:
        batch = 1
        while batch <= largest and not (trials and time.perf_counter() - began > seconds):
            try:
                trials.append(Trial(batch, _rate(steps, batch, threads, interruption, seconds / 20)))
            except (MemoryError, FingerGenError):
                if not trials:
                    raise
                break
            if batch >= 4 * best_batch(trials):
                break
            batch *= 2
    finally:
        interruption.set()
        threads.shutdown(cancel_futures=True)
    return trials


def best_batch(trials: Sequence[Trial]) -> int:
    """The smallest batch that is about as fast as the fastest."""
    fastest = max(trial.images_per_second for trial in trials)
    return min(trial.batch for trial in trials if GAIN * trial.images_per_second >= fastest)


def _rate(
    steps: PairSteps, batch: int, threads: ThreadPoolExecutor, interruption: Interruption, seconds: float
) -> float:
    """Images/s of calls with `batch` images, for at least `seconds`."""

    def compute(inputs: Any) -> None:
        with interruption.heeded():
            steps.compute(inputs)

    inputs = steps.prepare([(seed, None) for seed in range(batch)])
    steps.compute(inputs)  # the first call of a size may compile, and allocates
    began, calls = time.perf_counter(), 0
    while calls == 0 or time.perf_counter() - began < seconds:
        calls += len(list(threads.map(compute, [inputs] * 2 * CALLS_IN_FLIGHT)))
    return calls * batch / (time.perf_counter() - began)
