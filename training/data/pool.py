"""Processes that work through many items, and survive the item that kills one of them."""

import os
import sys
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from fingergen.runtime.processes import worker_processes

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_processes(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    processes: int,
    on_crash: Callable[[Item], Result] | None = None,
) -> Generator[tuple[Item, Result], None, None]:
    """Apply a function to items in worker processes.

    Close the iterator to end early: what has begun is finished, the rest is dropped.

    Args:
        function: Importable by name, as its items and results are pickled.
        items: Each is worked on once.
        processes: Their number; 1: in this process, in turn.
        on_crash: The result for an item on which a process died (a crash in C code, no memory left); None:
            that ends the iterator with BrokenProcessPool.

    Yields:
        Each item with its result, in the order in which they are ready.
    """
    if processes == 1:
        for item in items:
            yield item, function(item)
        return
    left = dict(enumerate(items))
    while left:
        try:
            for number, result in _pooled(function, left, processes):
                yield left.pop(number), result
        except BrokenProcessPool:
            if on_crash is None:
                raise
            # Any of the first that are left may have killed its process: these are tried alone.
            for number in list(left)[: 2 * processes + 1]:
                item = left.pop(number)
                try:
                    ((_, result),) = _pooled(function, {number: item}, 1)
                except BrokenProcessPool:
                    result = on_crash(item)
                yield item, result


def _pooled(
    function: Callable[[Item], Result], items: dict[int, Item], processes: int
) -> Generator[tuple[int, Result], None, None]:
    """The number of each item with its result, by a pool of processes."""
    with worker_processes(processes, _one_thread) as pool:
        futures: dict[Future[Result], int] = {
            pool.submit(function, item): number for number, item in items.items()
        }
        for future in as_completed(futures):
            yield futures[future], future.result()


def _one_thread() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"  # for PyTorch, if the work will import it
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
