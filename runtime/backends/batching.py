"""Batches that fit: into GPU memory, and into what an engine was built for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..errors import FingerGenError

T = TypeVar("T")


class OutOfMemory(FingerGenError):
    """The GPU has no memory left for a batch."""


class BatchLimit:
    """The largest batch that fits into memory: `largest` until one did not, then smaller and smaller.

    `owner` is for the message. May be used from many threads.
    """

    def __init__(self, owner: str, largest: int, smallest: int = 1) -> None:
        self.images = largest
        self._owner = owner
        self._smallest = smallest
        self._lock = threading.Lock()

    def fit(self, images: int, attempt: Callable[[int], T]) -> T:
        """`attempt(limit)` for `images` images, again with half the limit whenever it raises `OutOfMemory`.

        Raises that error when the smallest batch does not fit either. Each halving is logged as a warning.
        """
        while True:
            limit = self.images
            try:
                return attempt(limit)
            except OutOfMemory as error:
                self._lower(min(limit, images), error)

    def _lower(self, tried: int, error: OutOfMemory) -> None:
        with self._lock:
            if tried <= self._smallest:
                raise error
            smaller = max(tried // 2, self._smallest)
            if smaller < self.images:  # another thread may have lowered it meanwhile
                self.images = smaller
                logging.getLogger(__name__).warning(
                    "%s: no GPU memory for a batch of %d; batches of %d from now on",
                    self._owner,
                    tried,
                    smaller,
                )


@dataclass(frozen=True)
class Profile:
    """Batch sizes that an engine was built for, and best at one of them. `index`: the engine's number."""

    index: int
    smallest: int
    best: int
    largest: int


@dataclass(frozen=True)
class Chunk:
    """Images start … start + count - 1 of a call, run as a batch of `size` (>= count) under a profile."""

    start: int
    count: int
    size: int
    profile: int


def plan(images: int, profiles: Sequence[Profile], limit: int) -> list[Chunk]:
    """A call of `images` as batches of at most `limit`: the largest that a profile takes, then the rest.

    A batch smaller than every profile's smallest is padded; then, and only then, `limit` may be exceeded.
    """
    widest = max(profile.largest for profile in profiles)
    step = max(1, min(limit, widest))
    chunks = []
    for start in range(0, images, step):
        count = min(step, images - start)
        fitting = [profile for profile in profiles if count <= profile.largest]

        def cost(profile: Profile, count: int = count) -> tuple[int, int]:
            size = max(count, profile.smallest)
            return size, abs(size - profile.best)

        chosen = min(fitting, key=cost)
        chunks.append(Chunk(start, count, max(count, chosen.smallest), chosen.index))
    return chunks
