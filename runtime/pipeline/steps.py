"""How images are made in three steps, so that the steps of different batches can run at the same time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

from ..backends import Backend
from ..images import Pixels

Item = TypeVar("Item")
Job = TypeVar("Job", contravariant=True)
Numbers = TypeVar("Numbers")


class Steps(Protocol[Job, Numbers]):
    """The steps from jobs, such as seeds, to images; each may be called on any thread.

    `draw` and `finish` compute on the CPU, `compute` keeps the backend busy.
    """

    @property
    def backend(self) -> Backend: ...

    def draw(self, jobs: Sequence[Job], /) -> Numbers:
        """Random numbers of a batch."""

    def compute(self, drawn: Numbers, /) -> Pixels:
        """The networks: uint8 (N, C, R, R)."""

    def finish(self, levels: Pixels, /) -> Pixels:
        """One of the network's images (C, R, R) as it is written: (size, size), or (size, size, 3)."""


def batches(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    """Consecutive parts of `size`; the last may be shorter."""
    while batch := list(itertools.islice(items, size)):
        yield batch
