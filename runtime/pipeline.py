"""From images to files: they are encoded and written on threads while the next ones are computed."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from .images import Pixels, Provenance, save_image


@dataclass(frozen=True, eq=False)
class Impression:
    """An image with its place, its resolution and where it comes from."""

    path: Path
    image: Pixels
    ppi: float
    provenance: Provenance


def write_impressions(impressions: Iterable[Impression], workers: int) -> Iterator[Impression]:
    """Write impressions as they come and hand each on; the files are all there when the iteration has ended.

    Few are held at a time. Raises the first error of a write.
    """
    with ImageWriter(workers) as writer:
        for impression in impressions:
            writer.write(impression)
            yield impression


class ImageWriter:
    """Writes image files on `workers` threads; `write` waits while many images are still to be written.

    Leaving the `with` block waits for them all and raises the first error of a write; where the block raised,
    images that no thread has begun are not written.
    """

    def __init__(self, workers: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="image-writer")
        self._room = threading.BoundedSemaphore(4 * workers)
        self._failure: BaseException | None = None

    def write(self, impression: Impression) -> None:
        """Have an impression written as `images.save_image` does; raises the error of an earlier write."""
        self._room.acquire()
        self._raise_failure()
        future = self._pool.submit(
            save_image, impression.path, impression.image, impression.ppi, impression.provenance
        )
        future.add_done_callback(self._done)

    def __enter__(self) -> ImageWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=kind is not None)
        if kind is None:
            self._raise_failure()

    def _done(self, future: Future[None]) -> None:
        self._room.release()
        if not future.cancelled() and self._failure is None:
            self._failure = future.exception()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
