"""Batches loaded ahead of the training step, by a thread or by processes."""

import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from torch.utils.data import DataLoader, Dataset

Batch = TypeVar("Batch")


def prefetch(
    load: Callable[[int], Batch], starts: Sequence[int], workers: int = 0
) -> Generator[Batch, None, None]:
    """`load(start)` of each of `starts`, in order; close the iterator to end the work.

    One batch ahead in a thread, or with `workers` two ahead in each of so many processes, each on a core of
    its own, for a GPU that trains faster than one core loads. The batches are the same.
    """
    if workers:
        yield from _from_processes(load, starts, workers)
    else:
        yield from _from_thread(load, starts)


def _from_thread(load: Callable[[int], Batch], starts: Iterable[int]) -> Iterator[Batch]:
    ahead: deque[Future[Batch]] = deque()
    with ThreadPoolExecutor(max_workers=1) as pool:
        for start in starts:
            ahead.append(pool.submit(load, start))
            if len(ahead) > 1:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _from_processes(load: Callable[[int], Batch], starts: Sequence[int], workers: int) -> Iterator[Batch]:
    batches = iter(
        DataLoader(
            _Batches(load),
            batch_size=None,
            sampler=starts,
            num_workers=workers,
            collate_fn=_as_it_is,
            worker_init_fn=_start,
            # Forked: masters are in memory once, however many draw from them.
            multiprocessing_context="fork",
        )
    )
    try:
        yield from batches
    except Exception as error:
        # Its traceback keeps the iterator alive. Collected with other garbage, the iterator finds its queues
        # closed, cannot tell the processes to end, and waits five seconds for each.
        del batches
        raise error.with_traceback(None) from None


class _Batches(Dataset[Batch], Generic[Batch]):
    def __init__(self, load: Callable[[int], Batch]) -> None:
        self._load = load

    def __getitem__(self, start: int) -> Batch:
        return self._load(start)


def _as_it_is(batch: Batch) -> Batch:
    return batch


def _start(worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends the work
