"""Interleaved timing: rounds of one call of each executor, so that a busy machine slows all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fingergen.runtime.cli.progress import Terminated

Seconds = NDArray[np.float64]
PERCENTILES = (50, 90, 95, 99)
ENDS = (KeyboardInterrupt, Terminated)
PAUSE = 0.01  # seconds before each call, for threads of the call before that still spin


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
    on_end: Callable[[BaseException], object] | None = None,
) -> Seconds:
    """Time every call once a round → durations (rounds, calls).

    Each round has its own order, drawn from a fixed seed: what a call leaves behind (busy threads, a cold
    cache, a warm processor) then meets all others, not always the same one. No round begins when `seconds`
    have passed, but one is always made. `after_round` is called after each. Ctrl-C or SIGTERM after the first
    round ends the rounds, and `on_end` hears of it; None: it is raised, as before the first.
    """
    durations: list[Seconds] = []
    order = np.random.default_rng(0)
    began = time.perf_counter()
    try:
        while len(durations) < rounds and (not durations or time.perf_counter() - began < seconds):
            times = np.empty(len(calls))
            for i in order.permutation(len(calls)):
                times[i] = _duration(calls[i])
            durations.append(times)
            after_round()
    except ENDS as end:
        if on_end is None or not durations:
            raise
        on_end(end)
    return np.array(durations)


def relative_speed(seconds: Seconds, reference: Seconds) -> float:
    """How many times as fast as `reference`, timed in the same rounds: the median of the rounds' ratios.

    A slow spell of the machine slows both calls of a round, and so leaves their ratio as it is.
    """
    return float(np.median(reference / seconds))


def _duration(call: Callable[[], object]) -> float:
    time.sleep(PAUSE)
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
