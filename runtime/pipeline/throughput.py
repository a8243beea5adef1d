"""Synthesis at the highest rate: preparing, computing, resizing, encoding and writing at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import takewhile
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from ..backends import CALLS_IN_FLIGHT, Backend, usable_cores
from ..images import Pixels
from .stages import Pipeline, Stage
from .steps import Steps, batches
from .tables import align

Item = TypeVar("Item")
Inputs = TypeVar("Inputs")

PERCENTILES = (50, 95, 99)


class StageReport(NamedTuple):
    """Where a stage's threads spent the run, in shares of it."""

    name: str
    threads: int
    working: float
    waiting_for_input: float
    waiting_for_room: float


class Report(NamedTuple):
    """What a run of the pipeline took.

    `device_seconds`: when at least one call of the backend was under way. `batch_latency_ms`: percentiles of
    a call's duration, with `CALLS_IN_FLIGHT` calls under way. `destination`: `disk`, or `discarded`.
    """

    backend: str
    batch: int
    images: int
    seconds: float
    device_seconds: float
    batch_latency_ms: dict[str, float]
    stages: tuple[StageReport, ...]
    destination: str

    @property
    def device_rate(self) -> float:
        """Images/s of the backend while it worked."""
        return self.images / self.device_seconds if self.device_seconds else 0.0

    @property
    def rate(self) -> float:
        """Images/s from the first seed to the last file, start and end of the run included."""
        return self.images / self.seconds if self.seconds else 0.0

    def to_json(self) -> dict[str, Any]:
        """The figures as plain values, for `json.dumps`; times in seconds, latencies in milliseconds."""
        return {
            "backend": self.backend,
            "batch": self.batch,
            "images": self.images,
            "seconds": self.seconds,
            "device_seconds": self.device_seconds,
            "images_per_second": {"device": self.device_rate, self.destination: self.rate},
            "batch_latency_ms": self.batch_latency_ms,
            "stages": [stage._asdict() for stage in self.stages],
        }

    def table(self) -> str:
        """The figures as a table of text for a terminal, of several lines."""
        latency = ", ".join(f"{name} {value:.1f}" for name, value in self.batch_latency_ms.items())
        busy = self.device_seconds / self.seconds if self.seconds else 0.0
        summary = [
            ("images", f"{self.images} in {self.seconds:.1f} s, batches of {self.batch}"),
            ("images/s on device", f"{self.device_rate:.1f}, at work {busy:.0%} of the time"),
            ("images/s to disk" if self.destination == "disk" else "images/s discarded", f"{self.rate:.1f}"),
            ("batch latency, ms", latency),
        ]
        rows: list[tuple[str, ...]] = [
            ("stage", "threads", "working", "waiting for input", "waiting for room")
        ]
        for stage in self.stages:
            shares = (stage.working, stage.waiting_for_input, stage.waiting_for_room)
            rows.append((stage.name, str(stage.threads), *(f"{share:.0%}" for share in shares)))
        return "\n".join([self.backend, "", *align(summary, left=2), "", *align(rows)])


class ImagePipeline(Generic[Item, Inputs]):
    """One run of `steps` in batches of `batch`, with `workers` threads a step beside those of the backend.

    `write(item, image)` is called for each image, on any thread; None: images are not written. `seconds`: the
    backend is given no batch later.
    """

    def __init__(
        self,
        steps: Steps[Item, Inputs],
        batch: int,
        workers: int,
        write: Callable[[Item, Pixels], None] | None = None,
        seconds: float = float("inf"),
    ) -> None:
        self._steps = steps
        self._batch = batch
        self._seconds = seconds
        self._deadline = float("inf")  # of `time.perf_counter`, when the run has begun
        self._write_image = write
        self._calls = _Calls()
        self._stages = [
            Stage("prepare inputs", self._prepare, workers, room=CALLS_IN_FLIGHT),
            Stage("compute", self._compute, CALLS_IN_FLIGHT, room=2 * batch),
            Stage("make pixels", self._finish, workers, room=2 * workers),
        ]
        if write is not None:
            self._stages.append(Stage("encode and write", self._write, workers, room=2 * workers))

    def images(self, items: Iterable[Item]) -> Generator[tuple[Item, Pixels]]:
        """Make the image of each item and yield it with its item when it is written, in any order.

        `items` may have no end if there is one in time.

        The first error of a step is raised. Close it (`contextlib.closing`) to end before all are made.
        """
        in_time = takewhile(lambda _: self._has_time, items)
        # One image first: a batch may take seconds, and something that is wrong shows at once.
        pipeline = Pipeline(batches(in_time, self._batch, first=1), self._stages)
        results = iter(pipeline)
        images = 0
        began = time.perf_counter()
        self._deadline = began + self._seconds
        try:
            for result in results:
                images += 1
                yield result
        finally:
            results.close()
        self._ran = pipeline, images, time.perf_counter() - began

    @property
    def _has_time(self) -> bool:
        return time.perf_counter() < self._deadline

    @property
    def report(self) -> Report:
        """Of the run, when `images` has ended."""
        return self._make_report(*self._ran)

    def _make_report(self, pipeline: Pipeline, images: int, seconds: float) -> Report:
        stages = []
        for stage in self._stages:
            spent, whole = pipeline.spent[stage.name], stage.threads * seconds
            shares = (spent.working / whole, spent.starved / whole, spent.blocked / whole)
            stages.append(StageReport(stage.name, stage.threads, *shares))
        return Report(
            backend=self._steps.backend.description,
            batch=self._batch,
            images=images,
            seconds=seconds,
            device_seconds=self._calls.under_way,
            batch_latency_ms=self._calls.latency_ms(self._batch),
            stages=tuple(stages),
            destination="discarded" if self._write_image is None else "disk",
        )

    def _prepare(self, items: list[Item]) -> Iterable[tuple[list[Item], Inputs]]:
        return [(items, self._steps.prepare(items))]

    def _compute(self, batch: tuple[list[Item], Inputs]) -> Iterable[tuple[Item, Pixels]]:
        items, inputs = batch
        if not self._has_time:  # prepared in time, but not begun
            return ()
        with self._calls.one(len(items)):
            levels = self._steps.compute(inputs)
        return zip(items, levels, strict=True)

    def _finish(self, computed: tuple[Item, Pixels]) -> Iterable[tuple[Item, Pixels]]:
        item, levels = computed
        return [(item, self._steps.finish(levels))]

    def _write(self, finished: tuple[Item, Pixels]) -> Iterable[tuple[Item, Pixels]]:
        assert self._write_image is not None
        self._write_image(*finished)
        return [finished]


def make_images(steps: Steps[Item, Inputs], items: Iterable[Item], workers: int | None) -> list[Pixels]:
    """The images of items, in their order.

    Args:
        steps: From items to images.
        items: What images are made of.
        workers: Threads a step; None: one per core.

    Returns:
        An image per item.

    Raises:
        BadInput: An item is wrong.
    """
    run = ImagePipeline(_Numbered(steps), steps.backend.batch, workers or usable_cores())
    with closing(run.images(enumerate(items))) as images:
        made = {number: image for (number, _), image in images}
    return [made[number] for number in range(len(made))]


class _Numbered(Generic[Item, Inputs]):
    """Steps of items with their numbers."""

    def __init__(self, steps: Steps[Item, Inputs]) -> None:
        self.steps = steps

    @property
    def backend(self) -> Backend:
        return self.steps.backend

    def prepare(self, items: Sequence[tuple[int, Item]]) -> Inputs:
        return self.steps.prepare([item for _, item in items])

    def compute(self, inputs: Inputs) -> Pixels:
        return self.steps.compute(inputs)

    def finish(self, levels: Pixels) -> Pixels:
        return self.steps.finish(levels)


class _Calls:
    """Durations of the backend's calls, and the time in which at least one was under way."""

    def __init__(self) -> None:
        self.under_way = 0.0
        self._now = 0  # calls under way
        self._since = 0.0  # when the first of them began
        self._durations: list[tuple[int, float]] = []  # images, seconds
        self._lock = threading.Lock()

    @contextmanager
    def one(self, images: int) -> Iterator[None]:
        with self._lock:
            began = time.perf_counter()
            if self._now == 0:
                self._since = began
            self._now += 1
        try:
            yield
        finally:
            with self._lock:
                ended = time.perf_counter()
                self._now -= 1
                if self._now == 0:
                    self.under_way += ended - self._since
                self._durations.append((images, ended - began))

    def latency_ms(self, batch: int) -> dict[str, float]:
        """Percentiles over the calls with a full batch, or over all if none had; empty without calls."""
        full = [seconds for images, seconds in self._durations if images == batch]
        chosen = full or [seconds for _, seconds in self._durations]
        if not chosen:
            return {}
        values = 1000 * np.percentile(chosen, PERCENTILES)
        return {f"p{percent}": float(value) for percent, value in zip(PERCENTILES, values, strict=True)}
