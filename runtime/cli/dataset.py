"""`fg-run dataset`: fingers with mated impressions, and a table of what every file is."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Generator, Mapping, Sequence, Set
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from ..backends import usable_cores
from ..datasets.mated import Mate, MatedSynthesis, check_directions, mates
from ..errors import BadInput
from ..files import write_atomically
from ..images import Pixels
from ..model import Model, NoiseMode
from ..pipeline.throughput import FullSpeed
from ..pipeline.writer import Impression
from .kit import LAYERS, SEED, Number, Ranges, Running, Writing, noise, running, size, truncation, writing
from .output import Output, Planned
from .sensor import Prints, prints, write_sensor_set

TABLE, SETTINGS = "impressions.csv", "dataset.json"
COLUMNS = ("file", "seed", "impression", "direction", "degree")
IMAGE_NAME = re.compile(r"\d{8,20}_\d+\.(png|tiff|bmp)")  # see `_planned`
MAY_DIFFER = {"fingers", "impressions", "fingergen"}  # of the settings of a set that is continued
MOST_DIRECTIONS = 16  # of the default: those that change images most


@click.command()
@click.option("--fingers", type=click.IntRange(1, 10**8), required=True, help="Number of fingers.")
@click.option(
    "--impressions", type=click.IntRange(1, 1000), default=2, show_default=True, help="Images of each finger."
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the first finger.")
@click.option(
    "--directions",
    type=Ranges("directions"),
    help=f"SeFa directions to draw from, such as 0-3,7.  [default: the first {MOST_DIRECTIONS}; with ridge"
    " noise none]",
)
@click.option(
    "--degree",
    type=Number(0, 1000),
    default=5.0,
    show_default=True,
    help="The farthest that an impression goes along its direction, either way.",
)
@click.option(
    "--layers",
    type=LAYERS,
    help="Style inputs that are edited, such as 0-3.  [default: what the bundle recommends]",
)
@click.option(
    "--renderer",
    type=click.Choice(["model", "sensor"]),
    default="model",
    show_default=True,
    help="What makes images: the bundle, from edits of a seed's latent; or a sensor that grown fingers "
    "touch, with true templates. The options of the other have no effect.",
)
@prints
@truncation
@noise
@size
@writing
@click.option("--batch", type=click.IntRange(1), help="Images a call of the backend.  [default: its best]")
@running
def dataset(
    fingers: int,
    impressions: int,
    seed: int,
    directions: Sequence[int] | None,
    degree: float,
    layers: Sequence[int] | None,
    renderer: str,
    prints: Prints,
    truncation: float | None,
    noise: NoiseMode | None,
    size: int | None,
    writing: Writing,
    batch: int | None,
    running: Running,
) -> None:
    """Write a data set of mated impressions: FINGER_IMPRESSION images of fingers that seeds name.

    Impression 1 is the finger as synth makes it; each further one is moved along a SeFa direction, direction
    and degree drawn by the seed. With ridge noise each has its own placement, distortion, contact and look
    instead, and is edited only along --directions that are given. So the same command writes the same images,
    and more fingers or more impressions leave those as they are: after an interruption, or to make the set
    larger, add --resume.
    impressions.csv, written last, has a line an image; dataset.json says how all were made.

    With --renderer sensor fingers are grown from the seeds instead, without a bundle: each impression has a
    placement, distortion, contact and skin of its own, and its true template beside it.

    \b
    Examples:
      fg-run dataset --fingers 1000 --impressions 4 --out prints
      fg-run dataset --fingers 100000 --truncation 0.7 --degree 3 --directions 0-7 --out pairs
      fg-run dataset --fingers 100000 --truncation 0.7 --degree 3 --directions 0-7 --out pairs --resume
      fg-run dataset --fingers 8 --impressions 6 --grid mates.png
      fg-run dataset --renderer sensor --preset easy --fingers 1000 --impressions 4 --out prints
      fg-run dataset --renderer sensor --pattern whorl --moisture dry --fingers 8 --grid whorls.png
    """
    if seed + fingers > 2**64:
        raise click.UsageError("--fingers: the last seed would be above 2**64 - 1")
    if renderer == "sensor":
        return write_sensor_set(prints, range(seed, seed + fingers), impressions, writing, running.workers)
    with running.load() as model:
        truncation, noise = model.settings(truncation, noise)
        usual: Sequence[int] = () if noise == "ridges" else _first_directions(model)
        chosen = check_directions(model, directions) if directions else usual
        layers = model.edit_layers(layers)
        steps = MatedSynthesis(model, truncation, noise, layers, size)
        settings = {"layers": layers, "truncation": truncation, "noise": noise, "size": size}
        shared = model.provenance("dataset", **settings)
        output = Output(writing, shared, model.ppi(size), running.workers)
        jobs = [
            mate for finger in range(fingers) for mate in mates(seed + finger, impressions, chosen, degree)
        ]
        planned = [_planned(mate) for mate in jobs]
        about = {
            "fingers": fingers,
            "impressions": impressions,
            "first_seed": seed,
            "directions": list(chosen),
            "degree": degree,
            "ppi": model.ppi(size),
            **shared,
        }
        out = writing.out
        if out is not None:
            _refuse_another_set(out, {output.path(plan).name for plan in planned}, about, writing)
        missing = [mate for mate, plan in zip(jobs, planned, strict=True) if output.is_missing(plan)]
        if out is not None:
            output.begin(map(_planned, missing))
            for name in (SETTINGS, TABLE) if missing else ():  # they describe a set that is whole
                (out / name).unlink(missing_ok=True)

        def write(mate: Mate, image: Pixels) -> None:
            output.impression(_planned(mate), image).write()

        def made() -> Generator[Impression]:
            workers = running.workers or usable_cores()
            run = FullSpeed(steps, batch or model.backend.batch, workers, write if out else None)
            with closing(run.images(missing)) as images:
                for mate, image in images:
                    yield output.impression(_planned(mate), image)

        output.collect(planned, made(), len(missing), sheet_columns=impressions)
        if out is not None:
            write_atomically(out / SETTINGS, (json.dumps(about, indent=2) + "\n").encode())
            write_atomically(out / TABLE, _table(jobs, [output.path(plan) for plan in planned]))
        output.report(planned, len(missing))


def _refuse_another_set(out: Path, files: Set[str], about: Mapping[str, Any], writing: Writing) -> None:
    """`BadInput` if `out` holds images, settings or a table of a set that this one does not continue.

    files: names of all images of this set. about: its settings. With --resume the set in `out` may be smaller
    and made by an older FingerGen; with --overwrite it may have other settings. Images of other fingers would
    be in no table.
    """
    if not out.is_dir():
        return
    for path in sorted(out.iterdir()):
        if IMAGE_NAME.fullmatch(path.name) and path.name not in files:
            raise BadInput(f"{path}: an image that this data set does not have; give another --out")
    for name in (SETTINGS, TABLE):
        if (out / name).exists() and not (writing.overwrite or writing.resume):
            raise BadInput(f"{out / name}: exists already (--overwrite replaces, --resume continues the set)")
    if not writing.resume or not (out / SETTINGS).exists():
        return
    try:
        found = json.loads((out / SETTINGS).read_text(encoding="utf-8"))
        ours = dict(found).get("operation") == about["operation"]
    except (OSError, ValueError, TypeError, RecursionError):
        ours = False
    if not ours:
        raise BadInput(f"{out / SETTINGS}: not the settings of a data set of fg-run; give another --out")
    for key in sorted((found.keys() | about.keys()) - MAY_DIFFER):
        if found.get(key) != about.get(key):
            raise BadInput(
                f"{out / SETTINGS}: its {key} is {found.get(key)}, here it is {about.get(key)}: --resume"
                " continues only the same data set; give another --out, or --overwrite"
            )


def _first_directions(model: Model) -> Sequence[int]:
    return range(min(MOST_DIRECTIONS, len(model.bundle.latents.sefa_directions)))


def _planned(mate: Mate) -> Planned:
    own = {"seed": str(mate.seed), "impression": str(mate.impression)}
    label = f"{mate.seed} {mate.impression}"
    if mate.direction is not None:
        own |= {"direction": str(mate.direction), "degree": str(mate.degree)}
        label = f"{label}: {mate.direction} {mate.degree:+g}"
    return Planned(f"{mate.seed:08d}_{mate.impression}", label, own)


def _table(made: Sequence[Mate], paths: Sequence[Path]) -> bytes:
    """The lines of `TABLE`; no direction and degree 0 for the finger as it is."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    for mate, path in zip(made, paths, strict=True):
        direction = "" if mate.direction is None else mate.direction
        lines.writerow((path.name, mate.seed, mate.impression, direction, mate.degree))
    return text.getvalue().encode()
