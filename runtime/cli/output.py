"""Where a command's images go: a folder, a contact sheet, or both."""

from __future__ import annotations

import json
import sys
from collections.abc import Container, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from ..backends import usable_cores
from ..errors import BadInput, say
from ..files import make_folder
from ..fingers import SensorArea
from ..images import Pixels, Provenance, contact_sheet, read_image, save_image
from ..pipeline.writer import FilesOfSeeds, Folder, Planned, PlannedImage, PlannedSeeds, write_images
from .kit import Writing

if TYPE_CHECKING:
    from ..minutiae import Template

Item = TypeVar("Item")


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


def progress(
    items: Iterable[Item], count: int | None, label: str = "images"
) -> AbstractContextManager[Iterable[Item]]:
    """The items, with a progress bar where somebody sees it."""
    if not sys.stderr.isatty():
        return nullcontext(items)
    return click.progressbar(items, length=count, label=label, show_pos=True, file=sys.stderr)


class Output:
    """Writes the images of one command, all of `ppi` and with the provenance `shared`, and reports."""

    def __init__(
        self,
        writing: Writing,
        shared: Provenance,
        ppi: float,
        workers: int | None,
        area: SensorArea | None = None,
        template_formats: Sequence[str] = (),
    ) -> None:
        """`area`: that images are cropped or padded to. `template_formats`: of the templates beside them."""
        self._writing = writing
        self.folder = Folder(
            writing.out,
            writing.image_format,
            ppi,
            shared,
            writing.overwrite,
            writing.resume,
            template_formats,
        )
        self.workers = workers or usable_cores()
        self._area = area

    def is_missing(self, planned: Planned) -> bool:
        """Whether the image of a name has to be made; see `Folder.is_missing`."""
        return self.folder.is_missing(planned)

    def refuse_inputs(self, planned: Iterable[Planned], inputs: Iterable[Path]) -> None:
        """`BadInput` if a file that is to be written is one of those that are read."""
        grid = self._writing.grid
        self.folder.refuse_inputs(planned, inputs, [grid] if grid else [])

    def begin(self, missing: Iterable[Planned]) -> None:
        """Make the folders, without what a killed run left of the images that are to be made."""
        names = {self.path(plan).name for plan in missing}
        self._make_folders(names | {f"{name}.json" for name in names})  # BMP has its text beside it

    def begin_seeds(self, planned: PlannedSeeds) -> None:
        """As `begin`, for the images of seeds; `BadInput` if they cannot be written."""
        self._writing.check_sheet(planned)
        self.folder.check(planned)
        self._make_folders(FilesOfSeeds(planned, self.folder))

    def _make_folders(self, names: Container[str]) -> None:
        self.folder.make(names)
        if self._writing.grid is not None:
            make_folder(self._writing.grid.parent, "--grid")

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
            impressions = write_images(impressions, self.workers)
        self.collect(planned, impressions, len(missing), sheet_columns)
        self.report(planned, len(missing))

    def collect(
        self,
        planned: Sequence[Planned],
        impressions: Generator[PlannedImage],
        count: int | None,
        sheet_columns: int | None = None,
    ) -> None:
        """Show the progress of `impressions`, `count` of those `planned`, each written already if it is to be
        written; then write the sheet of all that are planned.
        """
        grid = self._writing.grid
        self._writing.check_sheet(planned)
        shown: dict[Path, Pixels] = {}
        with closing(impressions), progress(impressions, count) as bar:
            for impression in bar:
                if grid is not None:
                    shown[impression.path] = impression.image
        if grid is not None:
            tiles = [shown[path] if path in shown else read_image(path) for path in map(self.path, planned)]
            sheet = contact_sheet(tiles, sheet_columns, labels=[plan.label for plan in planned])
            save_image(grid, sheet, self.folder.ppi, self._provenance_of_all(planned))

    def impression(self, planned: Planned, image: Pixels, template: Template | None = None) -> PlannedImage:
        """An image with its provenance, and its template, to be written; see `Folder.impression`."""
        if self._area is not None:
            image = self._area.of_image(image, self.folder.ppi)
            template = template and self._area.of_template(template)
        return self.folder.impression(planned, image, template)

    def path(self, planned: Planned) -> Path:
        """Path of the image of a name; see `Folder.file`."""
        return self.folder.file(planned)

    def _provenance_of_all(self, planned: Sequence[Planned]) -> Provenance:
        """Of a sheet: what its images share, and a list of what is each one's own."""
        own = {
            key: ",".join(plan.provenance.get(key, "") for plan in planned)
            for key in dict.fromkeys(key for plan in planned for key in plan.provenance)
        }
        return {**self.folder.shared, **own}

    def report(self, planned: Sequence[Planned], count: int) -> None:
        """Say what was written: `count` of the images `planned`; the others were kept."""
        out, grid, ppi = self._writing.out, self._writing.grid, self.folder.ppi
        kept = len(planned) - count
        if self._writing.as_json:
            end = {"written": count if out else 0, "kept": kept, "ppi": ppi}
            _print_report(map(self._report_of, planned), {**end, "grid": str(grid) if grid else None})
            return
        if out:
            text = f"{out}: {count} images of {ppi:g} ppi" + (f", {kept} kept" if kept else "")
            say(text)
        if grid:
            say(f"{grid}: sheet of {len(planned)} images")

    def _report_of(self, planned: Planned) -> Provenance | dict[str, str | None]:
        templates = self.folder.templates(planned).values()
        return {
            "file": str(self.path(planned)) if self._writing.out else None,
            **({"template": " ".join(map(str, templates))} if templates else {}),
            **self.folder.provenance(planned),
        }


def _print_report(images: Iterable[Mapping[str, str | None]], end: Mapping[str, object]) -> None:
    """Print `{"images": [...], **end}` as JSON, image by image: there may be more than fit into memory."""
    click.echo('{\n  "images": [', nl=False)
    for number, image in enumerate(images):
        text = json.dumps(image, indent=2).replace("\n", "\n    ")
        click.echo(f"{',' if number else ''}\n    {text}", nl=False)
    click.echo("\n  ],\n" + json.dumps(end, indent=2).removeprefix("{\n"))
