"""`fg-train synthesize-data`: a dataset of procedural fingers, with ground truth, on disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import click
from tqdm import tqdm

from fingergen.runtime.backends import usable_cores
from fingergen.runtime.cli.kit import RenamedOption
from fingergen.runtime.errors import BadInput, say
from fingergen.runtime.files import locked, write_atomically
from fingergen.runtime.fingers import (
    LARGEST,
    PPI,
    SMALLEST,
    make_finger,
    sample_pattern,
    take_impression,
)
from fingergen.runtime.images import encode_image
from fingergen.runtime.minutiae import FORMATS, WRITABLE, minutiae_map, write_template
from fingergen.runtime.seeds import check_seed

from ..config import ConfigurableCommand
from ..data.metadata import INDEX, keep_metadata
from ..data.pool import in_processes
from ..data.storage import is_intact
from ..options import Window

FOLDERS = ("images", "templates", "maps")


@dataclass(frozen=True)
class DataSet:
    """Where a dataset lies and what makes it; finger k is the finger of seed `seed` + k."""

    folder: Path
    seed: int
    window: tuple[int, int]  # (width, height) in pixels
    template_format: str  # a name in FORMATS

    def files(self, finger: int, impression: int) -> tuple[Path, Path, Path]:
        """Image, template and map of an impression."""
        name = f"{self.seed + finger:08d}_{impression + 1}"
        extensions = (".png", FORMATS[self.template_format].extensions[0], ".png")
        image, template, drawn = (
            self.folder / folder / f"{name}{extension}"
            for folder, extension in zip(FOLDERS, extensions, strict=True)
        )
        return image, template, drawn

    def row(self, finger: int, impression: int) -> dict[str, str | int]:
        """The line of an impression in the index."""
        image, template, drawn = (
            path.relative_to(self.folder).as_posix() for path in self.files(finger, impression)
        )
        seed = self.seed + finger
        return {
            "image": image,
            "template": template,
            "map": drawn,
            "finger": finger,
            "impression": impression + 1,
            "seed": seed,
            "class": sample_pattern(seed).kind.value,
        }

    def prepare(self) -> None:
        """Make the folders and keep the metadata; BadInput where a dataset of other metadata lies."""
        metadata = {
            "format": "fingergen-data-set",
            "format_version": 2,
            "seed": self.seed,
            "window": list(self.window),
            "ppi": PPI,
            "templates": self.template_format,
        }
        keep_metadata(self.folder, metadata, FOLDERS)


def write_finger(data: DataSet, finger: int, count: int) -> int:
    """Write the first `count` impressions of a finger but those that are whole; returns how many it wrote."""
    missing = [number for number in range(count) if not all(map(is_intact, data.files(finger, number)))]
    if not missing:
        return 0
    made = make_finger(data.seed + finger, data.window)
    for number in missing:
        taken = take_impression(made, number)
        image_path, template_path, map_path = data.files(finger, number)
        note = {
            "fingergen": version("fingergen"),
            "synthetic": "procedural",
            "seed": str(made.seed),
            "impression": str(number + 1),
        }
        write_template(template_path, taken.template, data.template_format)
        write_atomically(map_path, encode_image(minutiae_map(taken.template), ".png", PPI, note))
        write_atomically(image_path, encode_image(taken.pixels, ".png", PPI, note))
    return len(missing)


def write_data_set(data: DataSet, fingers: int, count: int, processes: int = 1) -> Iterator[tuple[int, int]]:
    """Write `count` impressions of each of `fingers` fingers; yields (finger, impressions written) by and by.

    What is there already is kept, so the same call goes on where it was interrupted. The index is written
    at the end and when interrupted, and then names finished fingers only.
    """
    with locked(data.folder):
        data.prepare()
        rows = _read_index(data.folder / INDEX)
        write = partial(write_finger, data, count=count)
        try:
            with closing(in_processes(write, range(fingers), processes)) as finished:
                for finger, written in finished:
                    for number in range(count):
                        rows[finger, number + 1] = data.row(finger, number)
                    yield finger, written
        finally:
            lines = (json.dumps(rows[key]) + "\n" for key in sorted(rows))
            write_atomically(data.folder / INDEX, "".join(lines).encode())


def _read_index(path: Path) -> dict[tuple[int, int], dict[str, str | int]]:
    if not path.exists():
        return {}
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return {(int(row["finger"]), int(row["impression"])): row for row in rows}
    except (ValueError, RecursionError, OverflowError, KeyError, TypeError) as error:
        raise BadInput(f"{path}: not an index of impressions ({error}); delete it and run again") from error


@click.command("synthesize-data", cls=ConfigurableCommand)
@click.option("--fingers", type=click.IntRange(min=1), required=True, help="Number of fingers.")
@click.option(
    "--impressions",
    "count",
    type=click.IntRange(min=1),
    required=True,
    help="Number of impressions per finger.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of the dataset; resumes the one in it.",
)
@click.option(
    "--window",
    type=Window(SMALLEST, LARGEST),
    default="512",
    show_default=True,
    help="Side, or WIDTHxHEIGHT, of an image in pixels: 512 is a full print, 256 a small sensor.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Seed of the first finger; the next ones count up."
)
@click.option(
    "--format",
    "template_format",
    type=click.Choice(WRITABLE),
    default="json",
    show_default=True,
    help="Format of the templates.",
)
@click.option(
    "--processes",
    "--workers",
    "processes",
    cls=RenamedOption,
    type=click.IntRange(min=1),
    default=usable_cores(),
    show_default="usable CPU cores",
    help="Worker processes.",
)
def synthesize_data(
    fingers: int,
    count: int,
    out: Path,
    window: tuple[int, int],
    seed: int,
    template_format: str,
    processes: int,
) -> None:
    """Write impressions of procedural fingers, with their ground truth.

    This is what fg-train learns from: OUT gets images/, templates/ and maps/ with one file per impression
    (00000123_4 is impression 4 of the finger of seed 123), and metadata.jsonl, which lists the seed and the
    pattern class of each. The images are those of fg-run dataset --renderer sensor, which writes sets to test
    matchers with: other layouts, presets, no maps. They have 500 ppi. The command can be interrupted at any
    time; run it again to resume.

    \b
    Examples: full prints; a small sensor with NBIS templates
      fg-train synthesize-data --fingers 1000 --impressions 8 --out prints
      fg-train synthesize-data --fingers 100 --impressions 4 --out small --window 256 --format xyt
    """
    check_seed(seed)
    check_seed(seed + fingers - 1)
    data = DataSet(out, seed, window, template_format)
    written = 0
    with tqdm(total=fingers, unit="finger", delay=0.5) as bar:
        for _, more in write_data_set(data, fingers, count, min(processes, fingers)):
            written += more
            bar.update()
    kept = fingers * count - written
    say(f"{out}: {written} impressions written, {kept} kept, of {fingers} fingers")
