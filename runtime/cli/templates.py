"""How `fg-run` reads files of templates; not in `kit`, for most commands read none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from ..errors import BadInput
from ..images import read_image
from ..minutiae import FORMATS, Template, read_template
from ..model import Model, NoiseMode
from ..pipeline.reconstruction import ReconstructionInput, not_a_map
from .kit import MAP_SUFFIXES, Number, as_one, warn

FIRST_BYTES = 64  # which show whether a file is a transaction
FIRST_FIELD = b"1."  # of a transaction
FEW_MINUTIAE = 5  # fewer leave most of a finger undetermined


@dataclass(frozen=True)
class TemplateReading:
    """How template files are read."""

    template_format: str | None
    template_size: tuple[int, int] | None
    template_ppi: float | None
    view: int | None
    strict: bool
    min_minutiae: int

    def read_all(self, paths: Mapping[str, Path]) -> tuple[dict[str, Template | Path], list[str]]:
        """Read the templates of a bulk run.

        Args:
            paths: the files by name.

        Returns:
            The good ones by name, images of maps as their paths, to be read when they are needed; and a line
            for each of the others.

        Raises:
            BadInput: there is one file only, and it is bad.
        """
        good: dict[str, Template | Path] = {}
        bad = []
        for name, path in paths.items():
            try:
                given = self.read(path)
            except BadInput as error:
                if len(paths) == 1:
                    raise
                bad.append(str(error))
            else:
                good[name] = given if isinstance(given, Template) else path
        return good, bad

    def read_again(self, read: Iterable[Template | Path]) -> list[ReconstructionInput]:
        """What `read_all` gave, with the maps themselves in place of their paths."""
        return [self.read(given) if isinstance(given, Path) else given for given in read]

    def read(self, path: Path) -> ReconstructionInput:
        """The template in a file, or the minutiae map uint8 (H, W, 3) in an image file."""
        if self.template_format is None and path.suffix.lower() in MAP_SUFFIXES:
            if not path.is_file():
                raise BadInput(f"{path}: no such file")
            drawn = read_image(path)
            if drawn.ndim != 3:
                raise BadInput(f"{path}: a gray image; a minutiae map has three channels")
            if reason := not_a_map(drawn):
                raise BadInput(f"{path}: not a minutiae map: {reason}; give a map or a template")
            return drawn
        template = self._of_transaction(path) if self._finds_transaction(path) else self._of_file(path)
        if not template.minutiae:
            raise BadInput(f"{path}: holds no minutiae; there is nothing to reconstruct a finger from")
        count = len(template.minutiae)
        if count < self.min_minutiae:
            raise BadInput(f"{path}: holds {count} minutiae, fewer than --min-minutiae {self.min_minutiae}")
        if count < FEW_MINUTIAE:
            minutiae = "minutia" if count == 1 else "minutiae"
            warn(f"{path}: holds only {count} {minutiae}; ridges far from them will be gray")
        return template

    def _of_file(self, path: Path) -> Template:
        width, height = self.template_size or (None, None)
        return read_template(
            path,
            self.template_format,
            width=width,
            height=height,
            ppi=self.template_ppi,
            view=self.view,
            strict=self.strict,
            on_warning=warn,
        )

    def _finds_transaction(self, path: Path) -> bool:
        if self.template_format is not None or not path.is_file():
            return False
        try:
            with path.open("rb") as file:
                first = file.read(FIRST_BYTES)
        except OSError:  # which `read_template` reports
            return False
        if not first.startswith(FIRST_FIELD):
            return False
        from ..records.io import is_transaction  # slow to import, and few files are transactions

        return is_transaction(first)

    def _of_transaction(self, path: Path) -> Template:
        """The minutiae of a finger of an ANSI/NIST-ITL transaction."""
        from ..records import read_record

        fingers, number = read_record(path).templates, self.view or 0
        held = f"{path}: holds the minutiae of {len(fingers)} fingers"
        if number >= len(fingers):
            raise BadInput(f"{held} (Type-9 records), so there is no finger view {number}")
        if self.view is None and len(fingers) > 1:
            warn(f"{held}: the first is read, --view 1 reads the second")
        return fingers[number]


def noise_of_templates(model: Model, noise: NoiseMode | None, seed: int) -> tuple[NoiseMode, int | None]:
    """The noise of images from templates.

    Returns:
        The mode, and the seed; None where nothing is drawn with it.

    Raises:
        BadInput: the mode has no effect, for the noise carries the ridges of the templates.
    """
    _, mode = model.settings(None, noise)
    if model.bundle.manifest.graphs.fields is None:
        return mode, seed if mode == "random" else None
    if noise not in (None, "ridges"):
        raise BadInput(f"--noise {noise}: this bundle's noise carries the ridges of templates; leave it out")
    return "ridges", seed


template_reading = as_one(
    "reading",
    TemplateReading,
    click.option(
        "--template-format",
        type=click.Choice(list(FORMATS)),
        help="Format of the templates.  [default: by content and extension]",
    ),
    click.option(
        "--template-size",
        type=(click.IntRange(1), click.IntRange(1)),
        metavar="WIDTH HEIGHT",
        help="Image size of the templates, in place of what they state; needed where they state none (.xyt, "
        "SynFing text, card formats).  [default: 512 512]",
    ),
    click.option(
        "--template-ppi",
        type=Number(1, 10000),
        help="Resolution of the templates, in place of what they state; needed where they state none.  "
        "[default: 500]",
    ),
    click.option(
        "--view",
        type=click.IntRange(0, 65535),
        help="Finger view to read from a record of several, from 0.  [default: the first, with a warning]",
    ),
    click.option(
        "--strict",
        is_flag=True,
        help="Refuse templates with a field that their standard does not allow, instead of a warning.",
    ),
    click.option(
        "--min-minutiae",
        type=click.IntRange(1, 10000),
        default=1,
        show_default=True,
        help="Refuse templates with fewer minutiae.",
    ),
)
