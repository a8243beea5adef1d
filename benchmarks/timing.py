"""Timing of several ways to do one job, in rounds A B C A B C …, so that a busy machine slows all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Seconds = NDArray[np.float64]
PERCENTILES = (50, 90, 95, 99)


@dataclass(frozen=True)
class Latency:
    """Percentiles of the duration of a call, and the shortest (`best`), in milliseconds.

    With fewer than a hundred calls p99 is little else than the slowest of them.
    """

    best: float
    p50: float
    p90: float
    p95: float
    p99: float

    @staticmethod
    def of(seconds: Seconds) -> Latency:
        """Of the calls' durations, interpolated between the two nearest."""
        values = 1000 * np.percentile(seconds, (0, *PERCENTILES))
        return Latency(*(float(value) for value in values))


def interleave(
    calls: Sequence[Callable[[], object]],
    rounds: int,
    seconds: float = float("inf"),
    after_round: Callable[[], object] = lambda: None,
) -> Seconds:
    """Time every call once a round → durations (rounds, calls).

    No round begins when `seconds` have passed, but one is always made. `after_round` is told of each.
    """
    durations: list[list[float]] = []
    began = time.perf_counter()
    while len(durations) < rounds and (not durations or time.perf_counter() - began < seconds):
        durations.append([_duration(call) for call in calls])
        after_round()
    return np.array(durations)


def relative_speed(seconds: Seconds, reference: Seconds) -> float:
    """How many times as fast as `reference`, timed in the same rounds: the median of the rounds' ratios.

    A slow spell of the machine slows both calls of a round, and so leaves their ratio as it is.
    """
    return float(np.median(reference / seconds))


def _duration(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
