"""Work on every core, with progress."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import closing, contextmanager
from typing import Any, TypeVar

from fingergen.runtime.cli.progress import ImageProgress
from fingergen.runtime.errors import visible
from fingergen.runtime.processes import worker_processes

Each = TypeVar("Each")
Result = TypeVar("Result")


@contextmanager
def worker_per_core(count: int | None = None) -> Iterator[Executor]:
    """Processes that stay on a core each, so that what they call does not start threads for all cores.

    Args:
        count: how many; None for one per usable core.
    """
    cores = multiprocessing.get_context("spawn").SimpleQueue()
    for core in sorted(os.sched_getaffinity(0)):
        cores.put(core)
    available = len(os.sched_getaffinity(0))
    most = min(count or available, available)
    with worker_processes(most, _take_core, cores) as pool:
        yield pool


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
