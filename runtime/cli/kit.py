"""Options that several `fg-run` commands have; each group reaches the command as one object."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
from functools import cached_property
from glob import glob
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from ..backends import BACKENDS, PRECISIONS, Precision
from ..bundle.manifest import NOISE_MODES
from ..errors import BadInput, Incomplete, printable, say
from ..images import FORMATS, MOST_ON_A_SHEET
from ..model import Model, load
from ..seeds import parse_ranges

Function = Callable[..., Any]
Decorator = Callable[[Function], Function]

MAP_SUFFIXES = (".png", ".bmp", ".tif", ".tiff")


class Ranges(click.ParamType):
    """Numbers such as `7`, `0-99` or `0-9,20`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Sequence[int]:
        if not isinstance(value, str):
            return value
        try:
            return parse_ranges(value, self.name)
        except BadInput as error:
            self.fail(str(error), param, ctx)


class Number(click.FloatRange):
    """A number in bounds. Click's own type lets nan through, which is neither below nor above a bound."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class TemplateFormat(click.ParamType):
    """A format that templates can be written in. Which there are is asked only where one is given, or by the
    help: a start should not wait for it."""

    name = "template format"

    @cached_property
    def _choice(self) -> click.Choice[str]:
        from ..minutiae import WRITABLE

        return click.Choice(list(WRITABLE))

    def get_metavar(self, *asked: Any, **named: Any) -> str | None:
        return self._choice.get_metavar(*asked, **named)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return self._choice.convert(value, param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return self._choice.shell_complete(ctx, param, incomplete)


class RenamedOption(click.Option):
    """An option with former names after its present one: they are taken, and the help does not show them."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        names, self.opts = self.opts, self.opts[:1]
        try:
            return super().get_help_record(ctx)
        finally:
            self.opts = names


SEED = click.IntRange(0, 2**64 - 1)
SEEDS = Ranges("seeds")
LAYERS = Ranges("layers")
FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)


@dataclass(frozen=True)
class Running:
    """Which bundle is run, by which backend, on which device and with how many threads."""

    bundle: Path | None
    backend: str
    workers: int | None
    device: int
    precision: Precision | None

    def load(self) -> Model:
        return load(self.bundle, self.backend, self.workers, self.device, self.precision)


@dataclass(frozen=True)
class Writing:
    """Where images go; what cannot work is reported before any work."""

    out: Path | None
    grid: Path | None
    image_format: str
    overwrite: bool
    resume: bool
    as_json: bool

    def __post_init__(self) -> None:
        if self.out is None and self.grid is None:
            raise click.UsageError("give --out DIR, --grid FILE or both")
        if self.overwrite and self.resume:
            raise click.UsageError("--overwrite and --resume: give one of them")
        if self.grid is not None:
            if self.grid.suffix.lower() not in MAP_SUFFIXES:
                raise click.UsageError(f"--grid {self.grid}: write .png, .tiff or .bmp")
            if self.grid.exists() and not (self.overwrite or self.resume):
                raise BadInput(f"{self.grid}: exists already (--overwrite replaces it)")

    def check_sheet(self, images: Sized) -> None:
        """`BadInput` if a sheet is wanted and cannot hold so many images."""
        # Without a sheet there may be more of them than `len` can say.
        if self.grid is not None and len(images) > MOST_ON_A_SHEET:
            raise BadInput(f"--grid: {len(images)} images, but a sheet holds at most {MOST_ON_A_SHEET}")


def expanded(ctx: click.Context, param: click.Parameter, given: Sequence[Path]) -> list[Path]:
    """The files of an argument, each once, and in place of a quoted pattern such as 'set/*.fmr' those that it
    stands for: a shell cannot pass very many."""
    paths: dict[Path, None] = {}
    for path in given:
        found = [] if os.path.exists(path) else sorted(glob(str(path)))
        paths |= dict.fromkeys(map(Path, found) if found else [path])
    return list(paths)


def warn(message: object) -> None:
    """Print a warning of one line to standard error."""
    say(f"warning: {printable(str(message))}", err=True)


def list_bad(bad: Sequence[str], of: int) -> None:
    """End a bulk run in which files were bad: print a line for each; nothing where there are none.

    Raises:
        Incomplete: there are bad files.
    """
    for line in bad:
        say(f"skipped: {printable(line)}", err=True)
    if bad:
        raise Incomplete(f"{len(bad)} of {of} files could not be used; the images of the others are written")


def as_one(name: str, kind: Callable[..., Any], *options: Decorator) -> Decorator:
    """The options of the fields of dataclass `kind`, given to the command as one argument `name`."""
    fields = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def command(**arguments: Any) -> Any:
            group = kind(**{field: arguments.pop(field) for field in fields})
            return function(**{name: group}, **arguments)

        decorated: Function = command
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate


running = as_one(
    "running",
    Running,
    click.option("--bundle", type=FOLDER, help="Bundle directory.  [default: the packaged demo bundle]"),
    click.option(
        "--backend",
        type=click.Choice(["auto", *BACKENDS]),
        default="auto",
        show_default=True,
        help="What runs the networks.",
    ),
    click.option(
        "--threads",
        "--workers",
        "workers",
        cls=RenamedOption,
        type=click.IntRange(1, 1024),
        help="CPU threads.  [default: one for each usable core]",
    ),
    click.option("--device", type=click.IntRange(0), default=0, show_default=True, help="Index of the GPU."),
    click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        help="Precision of the networks.  [default: on a GPU fp16 if the bundle has it, on a CPU fp32]",
    ),
)

WRITING = (
    click.option("--out", type=FOLDER, help="Directory for the images; made if it is not there."),
    click.option("--grid", type=FILE, help="Contact sheet of all images: .png, .tiff or .bmp."),
    click.option(
        "--format",
        "image_format",
        type=click.Choice(list(FORMATS)),
        default="png",
        show_default=True,
        help="Format of the images in --out. BMP cannot hold text: its provenance is in a .json beside it.",
    ),
    click.option("--overwrite", is_flag=True, help="Replace files that exist."),
    click.option("--resume", is_flag=True, help="Keep images that exist and make the others."),
    click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON."),
)
writing = as_one("writing", Writing, *WRITING)

truncation = click.option(
    "--truncation",
    type=Number(-10, 10),
    help="Truncation. 1: as trained; the closer to 0, the closer to the average finger.  "
    "[default: what the bundle recommends; 1 for looks that a preset or a reconstruction gives]",
)
noise = click.option(
    "--noise",
    type=click.Choice(NOISE_MODES),
    help="Noise inputs: the stored noise, random noise of the seed, zeros, or the ridges of the seed's "
    "finger.  [default: what the bundle recommends]",
)
noise_seed = click.option(
    "--noise-seed",
    type=SEED,
    default=0,
    show_default=True,
    help="Images from templates: seed of --noise random or, with a bundle of ridge noise, of their look.",
)
size = click.option(
    "--size", type=click.IntRange(8, 8192), help="Side of the images in pixels.  [default: the bundle's]"
)
