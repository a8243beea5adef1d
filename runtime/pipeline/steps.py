"""How images are made in three steps, so that the steps of different batches can run at the same time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol, TypeVar

from ..arguments import Floats
from ..backends import Backend
from ..images import Pixels

Item = TypeVar("Item")
Item_contra = TypeVar("Item_contra", contravariant=True)
Inputs = TypeVar("Inputs")


class Steps(Protocol[Item_contra, Inputs]):
    """The steps from items, such as seeds, to images; each may be called on any thread.

    `prepare` and `finish` compute on the CPU, `compute` keeps the backend busy.
    """

    @property
    def backend(self) -> Backend: ...

    def prepare(self, items: Sequence[Item_contra], /) -> Inputs:
        """The networks' inputs of a batch, from its random numbers."""

    def compute(self, inputs: Inputs, /) -> Pixels:
        """The networks: uint8 (N, C, R, R)."""

    def finish(self, levels: Pixels, /) -> Pixels:
        """One of the network's images (C, R, R) as it is written: (size, size), or (size, size, 3)."""


def batches(items: Iterator[Item], size: int, first: int | None = None) -> Iterator[list[Item]]:
    """Consecutive parts of `size`; the last may be shorter, and the first has `first` items if given."""
    if first is not None and (batch := list(itertools.islice(items, first))):
        yield batch
    while batch := list(itertools.islice(items, size)):
        yield batch


class SynthesisInputs(NamedTuple):
    """What a batch of seeds stands for: z (N, style_dim), the z that are mixed in, and noise buffers."""

    z: Floats
    other_z: Floats | None
    noise: Sequence[Floats]
