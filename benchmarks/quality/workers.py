"""Work on every core, with progress."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from fingergen.runtime.cli.progress import ImageProgress
from fingergen.runtime.errors import visible
from fingergen.runtime.processes import worker_processes

Each = TypeVar("Each")
Result = TypeVar("Result")

WATCHED_SECONDS = 0.2  # of which /proc/stat counts hundredths


@contextmanager
def worker_per_core(count: int | None = None) -> Iterator[Executor]:
    """Processes that stay on a core each, so that what they call does not start threads for all cores.

    Args:
        count: how many; None for one per usable core.
    """
    usable = sorted(os.sched_getaffinity(0))
    most = min(count or len(usable), len(usable))
    cores = multiprocessing.get_context("spawn").SimpleQueue()
    for core in usable if most == len(usable) else _idlest_first(usable):
        cores.put(core)
    with worker_processes(most, _take_core, cores) as pool:
        yield pool


def _idlest_first(cores: Sequence[int]) -> list[int]:
    """Cores by how busy they are: those that workers of another run stay on come last."""
    before = _busy_ticks()
    time.sleep(WATCHED_SECONDS)
    after = _busy_ticks()
    return sorted(cores, key=lambda core: after[core] - before[core])


def _busy_ticks() -> dict[int, int]:
    """How long each core has worked since the machine started, in hundredths of a second."""
    ticks = {}
    for line in Path("/proc/stat").read_text().splitlines():
        name, *times = line.split()
        if name.startswith("cpu") and name != "cpu":
            ticks[int(name.removeprefix("cpu"))] = sum(map(int, times[:3]))  # user, nice, system
    return ticks


def _take_core(cores: Any) -> None:
    os.sched_setaffinity(0, {cores.get()})


def spread(
    pool: Executor,
    work: Callable[[Each], Result],
    items: Sequence[Each],
    what: str,
    size: Callable[[Each], int] = lambda _: 1,
) -> list[Result]:
    """`work` on every item, in order, with progress.

    Args:
        pool: runs the work.
        work: a function that other processes can import.
        items: what it is given, one at a time.
        what: is counted, in the plural: `images of prints`.
        size: how many of these an item is.
    """
    results = []
    with closing(ImageProgress(sum(map(size, items)), visible(what))) as progress:
        for item, result in zip(items, pool.map(work, items), strict=True):
            results.append(result)
            progress.made(size(item))
    return results
