"""A dataset in Python: impressions that are made when they are asked for, one by one or at full speed."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

from ..backends import usable_cores
from ..errors import BadInput
from ..images import Pixels
from ..minutiae import Template
from ..pipeline.networks import Networks
from .impressions import Made
from .plan import Entry, Plan
from .production import Outcome, Production
from .request import DatasetRequest, OpenDataset
from .table import Row
from .writer import Silent


@dataclass(frozen=True, eq=False)
class Sample:
    """An impression.

    Attributes:
        pixels: uint8 (H, W) or (H, W, 3).
        template: Its true minutiae, in its pixels; None where nobody knows them.
        finger: Index of its finger in the set, from 0.
        impression: From 1.
        seed: That names the finger.
        columns: How it was made, as the manifest has it.
    """

    pixels: Pixels
    template: Template | None
    finger: int
    impression: int
    seed: int
    columns: Row


class MatedDataset:
    """Fingers with mated impressions: a sequence of `Sample`, those of a finger in a row.

    Iterating makes them on many threads, a few ahead of whoever takes them. It may be pickled, or used in a
    forked process: each process then loads its own model.
    """

    def __init__(
        self,
        request: DatasetRequest,
        load: Callable[[], Networks] | None = None,
        model: Networks | None = None,
        workers: int | None = None,
        batch: int | None = None,
    ) -> None:
        """
        Args:
            request: What the set is.
            load: Loads the model in another process.
            model: That is loaded in this one.
            workers: Threads; None: one per core.
            batch: Images per call of the backend; None: its best.

        Raises:
            BadInput: If the model cannot make such a set.
        """
        self.request = request
        self._load = load
        self._workers = workers
        self._batch = batch
        self._process = os.getpid()
        self._opened: OpenDataset | None = request.open(model, workers or usable_cores(), batch)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_opened": None}

    def __len__(self) -> int:
        return self.request.fingers * self.request.impressions

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        """Sample `index`, or those of a slice; their fingers are grown for them alone, which iterating does
        once for all of a finger."""
        if isinstance(index, slice):
            return self._at(range(*index.indices(len(self))))
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(f"{index} of {len(self)} samples")
        (sample,) = self._at([place])
        return sample

    def _at(self, places: Iterable[int]) -> list[Sample]:
        plan = self._plan()
        numbered = (divmod(place, plan.impressions) for place in places)
        entries = (plan.entry(finger, before + 1) for finger, before in numbered)
        with closing(self._samples(entries)) as samples:
            return list(samples)

    def __iter__(self) -> Iterator[Sample]:
        return self.share()

    def share(self, number: int = 0, of: int = 1) -> Generator[Sample]:
        """The samples of every `of`-th finger, in order, at full speed.

        Args:
            number: The finger to begin with, in [0, of).
            of: How many shares there are.

        Returns:
            An iterator; close it (`contextlib.closing`) to end early.

        Raises:
            BadInput: There is no such share.
        """
        if not 0 <= number < of:
            raise BadInput(f"share {number} of {of}: count shares from 0")
        plan = self._plan()
        fingers = range(number, plan.fingers, of)
        impressions = range(1, plan.impressions + 1)
        return self._samples(plan.entry(finger, k) for finger in fingers for k in impressions)

    def write(
        self,
        out: str | Path,
        shard: tuple[int, int] = (1, 1),
        resume: bool = False,
        overwrite: bool = False,
    ) -> Outcome:
        """Write the set into a folder, as `fg-run dataset` does.

        Args:
            out: The folder.
            shard: (i, n), from 1: the i-th of n shares.
            resume: Whether a set in the folder is continued.
            overwrite: Whether it is replaced.

        Returns:
            What was written.

        Raises:
            BadInput: If the folder holds something else.
        """
        workers = self._workers or usable_cores()
        return Production(
            self.request,
            self._open(),
            Path(out),
            shard,
            workers,
            lambda what, total: Silent(),
            overwrite=overwrite,
            resume=resume,
        ).run()

    def _plan(self) -> Plan:
        if self.request.distinct is not None:
            raise BadInput("distinct: fingers are chosen in a folder; write the set, and read it from there")
        return self.request.plan()

    def _open(self) -> OpenDataset:
        """What makes the images, in this process."""
        if self._opened is None or self._process != os.getpid():
            model = None if self._load is None else self._load()
            self._opened = self.request.open(model, self._workers or usable_cores(), self._batch)
            self._process = os.getpid()
        return self._opened

    def _samples(self, entries: Iterable[Entry]) -> Generator[Sample]:
        """In the order of `entries`; those that are ready early wait, and no more are begun than that."""
        order: deque[Entry] = deque()
        ready: dict[Entry, Made] = {}

        def asked() -> Iterator[Entry]:
            for entry in entries:
                order.append(entry)
                yield entry

        with closing(self._open().maker.images(asked(), lambda entry, made: (entry, made))) as images:
            for entry, made in images:
                ready[entry] = made
                while order and order[0] in ready:
                    first = order.popleft()
                    yield _sample(first, ready.pop(first))


def _sample(entry: Entry, made: Made) -> Sample:
    return Sample(made.pixels, made.template, entry.finger, entry.impression, entry.seed, made.columns)
