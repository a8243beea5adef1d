"""Where a command's images go: a folder, a contact sheet, or both."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from ..backends import usable_cores
from ..errors import BadInput
from ..files import remove_partial
from ..images import (
    FORMATS,
    Pixels,
    Provenance,
    contact_sheet,
    is_whole,
    read_image,
    read_provenance,
    save_image,
)
from ..pipeline.writer import Impression, write_impressions
from .kit import Writing

MOST_ON_A_SHEET = 1024
VERSIONS = {"fingergen", "Software"}  # of provenance: a newer FingerGen may go on where an older one stopped

Item = TypeVar("Item")


@dataclass(frozen=True)
class Planned:
    """An image to be made: its file name without extension, its label on a sheet, its own provenance."""

    name: str
    label: str
    provenance: Provenance

    @staticmethod
    def of_seed(seed: int) -> Planned:
        """The image of a seed."""
        return Planned(f"{seed:08d}", str(seed), {"seed": str(seed)})


def named_after(paths: Sequence[Path]) -> dict[str, Path]:
    """Files by the name, without extension, that their images get; `BadInput` if two have the same."""
    named: dict[str, Path] = {}
    for path in paths:
        if path.stem in named:
            raise BadInput(f"{path}: its image would be named as that of {named[path.stem]}; rename one")
        named[path.stem] = path
    return named


def batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Consecutive parts of `size` items; the last may be shorter."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _progress(items: Iterable[Item], count: int) -> AbstractContextManager[Iterable[Item]]:
    """A progress bar where somebody sees it."""
    if not sys.stderr.isatty():
        return nullcontext(items)
    return click.progressbar(items, length=count, label="images", show_pos=True, file=sys.stderr)


class Output:
    """Writes the images of one command, all of `ppi` and with the provenance `shared`.

    Images that exist are an error, or replaced (--overwrite), or kept (--resume) if their provenance is what
    they would get now.
    """

    def __init__(self, writing: Writing, shared: Provenance, ppi: float, workers: int | None) -> None:
        self._writing = writing
        self._shared = shared
        self._ppi = ppi
        self._workers = workers or usable_cores()

    def is_missing(self, planned: Planned) -> bool:
        """Whether an image is to be made: it is absent, damaged or to be replaced.

        Raises:
            BadInput: it exists and may neither be replaced nor kept.
        """
        path = self.path(planned)
        if self._writing.out is None or self._writing.overwrite or not path.exists():
            return True
        if not self._writing.resume:
            raise BadInput(f"{path}: exists already (--overwrite replaces, --resume keeps what is there)")
        if not is_whole(path):  # as a full disk or a power failure may leave it
            return True
        found = read_provenance(path)
        wanted = self._provenance(planned)
        for key in sorted((found.keys() | wanted.keys()) - VERSIONS):
            if found.get(key) != wanted.get(key):
                raise BadInput(
                    f"{path}: its {key} is {found.get(key)}, here it is {wanted.get(key)}: --resume keeps"
                    " only images that the same command made; give another --out, or --overwrite"
                )
        return False

    def refuse_inputs(self, planned: Iterable[Planned], inputs: Iterable[Path]) -> None:
        """`BadInput` if a file that is to be written is one of those that are read."""
        read = {path.resolve() for path in inputs}
        written = [self._writing.grid] if self._writing.grid else []
        for path in map(self.path, planned) if self._writing.out else ():
            written += [path, path.with_name(f"{path.name}.json")] if path.suffix == ".bmp" else [path]
        for path in written:
            if path.resolve() in read:
                raise BadInput(f"{path}: is read and would be replaced; give another --out or --grid")

    def begin(self, missing: Iterable[Planned]) -> None:
        """Make the folder, without what a killed run left of the images that are to be made."""
        out = self._writing.out
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            names = {self.path(plan).name for plan in missing}
            remove_partial(out, names | {f"{name}.json" for name in names})  # BMP has its text beside it

    def write(
        self,
        planned: Sequence[Planned],
        missing: Sequence[Planned],
        images: Iterable[tuple[Planned, Pixels]],
        sheet_columns: int | None = None,
    ) -> None:
        """Write `images`, which are the `missing` of those `planned`, then the sheet of all, and report."""
        self.begin(missing)
        impressions = (self.impression(plan, image) for plan, image in images)
        if self._writing.out is not None:
            impressions = write_impressions(impressions, self._workers)
        self.collect(planned, impressions, len(missing), sheet_columns)
        self.report(planned, len(missing))

    def collect(
        self,
        planned: Sequence[Planned],
        impressions: Generator[Impression],
        count: int,
        sheet_columns: int | None = None,
    ) -> None:
        """Show the progress of `impressions`, `count` of those `planned`, each written already if it is to be
        written; then write the sheet of all that are planned.
        """
        grid = self._writing.grid
        if grid is not None and len(planned) > MOST_ON_A_SHEET:
            raise BadInput(f"--grid: {len(planned)} images, but a sheet holds at most {MOST_ON_A_SHEET}")
        shown: dict[Path, Pixels] = {}
        with closing(impressions), _progress(impressions, count) as bar:
            for impression in bar:
                if grid is not None:
                    shown[impression.path] = impression.image
        if grid is not None:
            tiles = [shown[path] if path in shown else read_image(path) for path in map(self.path, planned)]
            sheet = contact_sheet(tiles, sheet_columns, labels=[plan.label for plan in planned])
            grid.parent.mkdir(parents=True, exist_ok=True)
            save_image(grid, sheet, self._ppi, self._provenance_of_all(planned))

    def impression(self, planned: Planned, image: Pixels) -> Impression:
        """A planned image with its place and all that its file says."""
        return Impression(self.path(planned), image, self._ppi, self._provenance(planned))

    def path(self, planned: Planned) -> Path:
        """The file of a planned image."""
        return (self._writing.out or Path()) / f"{planned.name}{FORMATS[self._writing.image_format]}"

    def _provenance(self, planned: Planned) -> Provenance:
        return {**self._shared, **planned.provenance}

    def _provenance_of_all(self, planned: Sequence[Planned]) -> Provenance:
        """Of a sheet: what its images share, and a list of what is each one's own."""
        own = {
            key: ",".join(plan.provenance.get(key, "") for plan in planned)
            for key in dict.fromkeys(key for plan in planned for key in plan.provenance)
        }
        return {**self._shared, **own}

    def report(self, planned: Sequence[Planned], count: int) -> None:
        """Say what was written: `count` of the images `planned`; the others were kept."""
        out, grid = self._writing.out, self._writing.grid
        kept = len(planned) - count
        if self._writing.as_json:
            images = [
                {"file": str(self.path(plan)) if out else None, **self._provenance(plan)} for plan in planned
            ]
            report = {"images": images, "written": count if out else 0, "kept": kept, "ppi": self._ppi}
            click.echo(json.dumps(report | {"grid": str(grid) if grid else None}, indent=2))
            return
        if out:
            click.echo(f"{out}: {count} images of {self._ppi:g} ppi" + (f", {kept} kept" if kept else ""))
        if grid:
            click.echo(f"{grid}: sheet of {len(planned)} images")
