"""From images to files: they are encoded and written on threads while the next ones are computed."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path

from ..images import Pixels, Provenance, save_image
from .stages import Pipeline, Stage


@dataclass(frozen=True, eq=False)
class Impression:
    """An image with its place, its resolution and where it comes from."""

    path: Path
    image: Pixels
    ppi: float
    provenance: Provenance

    def write(self) -> None:
        """As `images.save_image` does."""
        save_image(self.path, self.image, self.ppi, self.provenance)


def write_impressions(impressions: Iterable[Impression], workers: int) -> Generator[Impression]:
    """Write impressions as they come, on `workers` threads, and hand each on when it is written.

    Few are held at a time; their order is not kept. Raises the first error of a write or of `impressions`.
    Close it (`contextlib.closing`): that ends its threads where the iteration is left early.
    """

    def write(impression: Impression) -> list[Impression]:
        impression.write()
        return [impression]

    yield from Pipeline(impressions, [Stage("write", write, workers, room=4 * workers)])
