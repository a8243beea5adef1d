"""Batches that fit: into GPU memory, and into what an engine was built for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from ..errors import FingerGenError

T = TypeVar("T")


class BatchFailed(FingerGenError):
    """A batch did not run; as a rule for want of memory, so that a smaller one may."""


class BatchLimit:
    """The largest batch that runs: `largest` until one failed, then what ran instead. For many threads.

    Libraries say in words alone, which change, that memory is full. So whatever the failure, a batch is tried
    again at half its size; a failure with another reason comes back from the smallest batch too.
    """

    def __init__(self, owner: str, largest: int, smallest: int = 1) -> None:
        """`owner` is for the message."""
        self.images = largest
        self._owner = owner
        self._smallest = smallest
        self._lock = threading.Lock()

    def fit(self, images: int, attempt: Callable[[int], T]) -> T:
        """Run a call, in smaller batches where larger ones fail.

        Args:
            images: of the call.
            attempt: runs the call in batches of at most so many images, or raises `BatchFailed`.

        Returns:
            What `attempt` returned. If smaller batches were needed they are the limit from now on, which is
            logged as a warning.

        Raises:
            BatchFailed: the smallest batch does not run either.
        """
        limit, failed = self.images, 0
        while True:
            try:
                result = attempt(limit)
            except BatchFailed as error:
                tried = min(limit, images)
                if tried <= self._smallest:
                    raise
                failed, reason = failed or tried, str(error)
                limit = max(tried // 2, self._smallest)
                continue
            if failed:
                self._lower(limit, failed, reason)
            return result

    def _lower(self, limit: int, failed: int, reason: str) -> None:
        with self._lock:
            if limit < self.images:  # another thread may have lowered it meanwhile
                self.images = limit
                logging.getLogger(__name__).warning(
                    "%s: no batch of %d here; batches of %d from now on (%s)",
                    self._owner,
                    failed,
                    limit,
                    reason,
                )


class Profile(NamedTuple):
    """Batch sizes that an engine was built for, and best at one of them. `number`: the engine's."""

    number: int
    smallest: int
    best: int
    largest: int


class Chunk(NamedTuple):
    """Images start … start + images - 1 of a call, run as a batch of `size` (>= images) under a profile."""

    start: int
    images: int
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
        chunks.append(Chunk(start, count, max(count, chosen.smallest), chosen.number))
    return chunks
