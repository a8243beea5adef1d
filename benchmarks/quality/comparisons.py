"""Comparing prints with each other: which pairs, on every core, and what counts as a match."""

from __future__ import annotations

import itertools
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fingergen.training.metrics.fingerprints import Print, similarity

Scores = NDArray[np.float64]
Each = TypeVar("Each")
Result = TypeVar("Result")


@contextmanager
def worker_per_core(count: int | None = None) -> Iterator[Executor]:
    """Processes that stay on a core each, so that what they call does not start threads for all cores.

    Args:
        count: how many; None for one per usable core.
    """
    context = multiprocessing.get_context("spawn")
    cores = context.SimpleQueue()
    for core in sorted(os.sched_getaffinity(0)):
        cores.put(core)
    available = len(os.sched_getaffinity(0))
    most = min(count or available, available)
    with ProcessPoolExecutor(most, context, initializer=_take_core, initargs=(cores,)) as pool:
        yield pool


def _take_core(cores: Any) -> None:
    os.sched_setaffinity(0, {cores.get()})


def spread(
    pool: Executor, work: Callable[[Each], Result], items: Sequence[Each], what: str, chunk: int = 1
) -> list[Result]:
    """`work` on every item, in order, with a progress bar; `chunk` items are sent to a process at a time."""
    done = pool.map(work, items, chunksize=chunk)
    return list(tqdm(done, what, total=len(items), leave=False))


def compare(pool: Executor, pairs: Sequence[tuple[Print, Print]], what: str) -> Scores:
    """Bozorth3 scores of pairs."""
    return np.array(spread(pool, _score, pairs, what, chunk=64))


def _score(pair: tuple[Print, Print]) -> float:
    return similarity(*pair)


def within(prints: Sequence[Print], most: int) -> list[tuple[Print, Print]]:
    """All pairs of different prints, or `most` of them, always the same ones."""
    return _some(list(itertools.combinations(prints, 2)), most)


def across(one: Sequence[Print], other: Sequence[Print], most: int) -> list[tuple[Print, Print]]:
    """All pairs of a print of `one` and one of `other`, or `most` of them, always the same ones."""
    return _some(list(itertools.product(one, other)), most)


def _some(pairs: list[Each], most: int) -> list[Each]:
    if len(pairs) <= most:
        return pairs
    chosen = np.random.default_rng(0).choice(len(pairs), most, replace=False)
    return [pairs[index] for index in chosen]


def threshold(non_mated: Scores, rate: float) -> float:
    """The score that at most this part of non-mated scores exceeds: their largest, if they are few."""
    return float(np.sort(non_mated)[::-1][int(rate * len(non_mated))])


def share(scores: Scores, limit: float) -> float:
    """Part of the scores that lie above `limit`."""
    return float((scores > limit).mean())
