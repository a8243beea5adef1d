"""Stages of work on threads of their own, with short queues between them: all work at the same time."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..backends import Interruption


class Stage(NamedTuple):
    """`run` makes of an item those for the next stage; `threads` call it at once.

    `room`: finished items that may wait for the next stage; a thread with more waits for it.
    """

    name: str
    run: Callable[[Any], Iterable[Any]]
    threads: int
    room: int


@dataclass
class Spent:
    """Seconds of a stage's threads, added up: in `run`, waiting for an item, and waiting for room behind."""

    working: float = 0.0
    starved: float = 0.0
    blocked: float = 0.0


class Pipeline:
    """Items of `source` through `stages`; iterating over it gives what the last stage makes, as it is ready.

    Few items are held at a time. Nothing keeps their order but a pipeline whose stages have one thread each.
    `source` is iterated on a thread too. The first error of `source` or of a stage ends everything and is
    raised; so does closing the iteration (`contextlib.closing`), as must be done on Ctrl-C. What a thread is
    doing then, it finishes first, but for a backend's call, which is ended.
    """

    def __init__(self, source: Iterable[Any], stages: Sequence[Stage]) -> None:
        self.spent = {stage.name: Spent() for stage in stages}
        self._source = source
        self._stages = stages
        self._queues = [_Queue(stages[0].threads), *(_Queue(stage.room) for stage in stages)]
        self._failure: BaseException | None = None
        self._interruption = Interruption()
        self._lock = threading.Lock()

    def __iter__(self) -> Generator[Any]:
        threads = [self._thread("source", self._feed)]
        for stage, inlet, outlet in zip(self._stages, self._queues, self._queues[1:], strict=False):
            outlet.putters = stage.threads
            threads += [
                self._thread(stage.name, self._work, stage, inlet, outlet) for _ in range(stage.threads)
            ]
        try:
            for thread in threads:
                thread.start()
            while True:
                yield self._queues[-1].get()
        except _EndOfQueue:
            pass
        finally:
            self._stop()
            for thread in threads:
                if thread.ident is not None:  # started
                    thread.join()
        if self._failure is not None:
            raise self._failure

    def _thread(self, name: str, run: Callable[..., None], *arguments: Any) -> threading.Thread:
        def guarded() -> None:
            try:
                with self._interruption.heeded():
                    run(*arguments)
            except _EndOfQueue:
                pass
            except BaseException as error:
                self._fail(error)

        return threading.Thread(target=guarded, name=name)

    def _feed(self) -> None:
        for item in self._source:
            self._queues[0].put(item)
        self._queues[0].close()

    def _work(self, stage: Stage, inlet: _Queue, outlet: _Queue) -> None:
        spent = Spent()
        clock = time.perf_counter
        try:
            while True:
                begin = clock()
                item = inlet.get()
                got = clock()
                spent.starved += got - begin
                results = list(stage.run(item))
                done = clock()
                spent.working += done - got
                for result in results:
                    outlet.put(result)
                spent.blocked += clock() - done
        finally:
            with self._lock:
                total = self.spent[stage.name]
                total.working += spent.working
                total.starved += spent.starved
                total.blocked += spent.blocked
            outlet.close()

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            if self._failure is None:
                self._failure = error
        self._stop()

    def _stop(self) -> None:
        for queue in self._queues:
            queue.stop()
        self._interruption.set()


class _EndOfQueue(Exception):
    """No more items will come, or nobody wants any more."""


class _Queue:
    """A bounded queue that ends: when all who put have closed it, or at once when it is stopped."""

    def __init__(self, room: int, putters: int = 1) -> None:
        self.putters = putters
        self._room = room
        self._items: deque[Any] = deque()
        self._stopped = False
        lock = threading.Lock()
        self._has_item, self._has_room = threading.Condition(lock), threading.Condition(lock)

    def put(self, item: Any) -> None:
        with self._has_room:
            self._has_room.wait_for(lambda: self._stopped or len(self._items) < self._room)
            if self._stopped:
                raise _EndOfQueue
            self._items.append(item)
            self._has_item.notify()

    def get(self) -> Any:
        with self._has_item:
            self._has_item.wait_for(lambda: self._stopped or self._items or not self.putters)
            if self._stopped or not self._items:
                raise _EndOfQueue
            self._has_room.notify()
            return self._items.popleft()

    def close(self) -> None:
        with self._has_item:
            self.putters -= 1
            if not self.putters:
                self._has_item.notify_all()

    def stop(self) -> None:
        with self._has_item:
            self._stopped = True
            self._items.clear()
            self._has_item.notify_all()
            self._has_room.notify_all()
