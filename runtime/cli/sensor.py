"""`fg-run dataset --renderer sensor`: impressions of grown fingers with their true templates; no bundle."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import click

from ..backends import usable_cores
from ..files import write_atomically
from ..fingers import (
    FULL_PRINT,
    LARGEST,
    LIMITS,
    MOISTURE,
    PPI,
    PRESETS,
    SMALLEST,
    Effects,
    FingerPosition,
    PatternClass,
    draw_pattern,
    make_finger,
    take_impression,
)
from ..fingers import Impression as Taken
from ..minutiae import FORMATS, WRITABLE, write_template
from ..pipeline.stages import Pipeline, Stage
from ..pipeline.writer import Impression
from .kit import Decorator, Number, Writing, as_one
from .output import Output, Planned

TABLE, SETTINGS = "impressions.csv", "dataset.json"
COLUMNS = ("file", "template", "seed", "impression", "class")


@dataclass(frozen=True)
class Prints:
    """What fingers are grown, and how their impressions are taken; None is drawn."""

    preset: str
    pattern: str | None
    finger: str | None
    window: tuple[int, int]
    template_format: str
    rotation: float | None
    distortion: float | None
    contact: float | None
    pressure: float | None
    moisture: str | None
    scars: int | None
    sensor_noise: float | None
    background: float | None

    @property
    def effects(self) -> Effects:
        """What is fixed."""
        moisture = self.moisture
        return Effects(
            rotation=self.rotation,
            distortion=self.distortion,
            contact=self.contact,
            pressure=self.pressure,
            moisture=moisture if moisture is None or moisture in MOISTURE else float(moisture),
            scars=self.scars,
            noise=self.sensor_noise,
            background=self.background,
        )

    @property
    def kind(self) -> PatternClass | None:
        """The class of all fingers."""
        return None if self.pattern is None else PatternClass(self.pattern.replace("-", " "))

    @property
    def position(self) -> FingerPosition | None:
        """Which of the ten fingers all are."""
        return None if self.finger is None else FingerPosition(self.finger)

    def provenance(self) -> dict[str, str]:
        """What all images of a set share."""
        given = {key: value for key, value in asdict(self).items() if value is not None}
        text = {key: json.dumps(value) if key == "window" else str(value) for key, value in given.items()}
        return {
            "synthetic": "yes",
            "operation": "dataset",
            "renderer": "sensor",
            **text,
            "fingergen": version("fingergen"),
        }


class Moisture(click.ParamType):
    """A name, or a number."""

    name = "|".join(MOISTURE) + "|NUMBER"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in MOISTURE:
            Number(*LIMITS["moisture"]).convert(value, param, ctx)
        return value


def _effect(name: str, text: str, option: str | None = None) -> Decorator:
    return click.option(f"--{option or name}", type=Number(*LIMITS[name]), help=text)


prints = as_one(
    "prints",
    Prints,
    click.option(
        "--preset",
        type=click.Choice(list(PRESETS)),
        default="medium",
        show_default=True,
        help="Sensor: how far impressions of a finger differ.",
    ),
    click.option(
        "--pattern",
        type=click.Choice([kind.value.replace(" ", "-") for kind in PatternClass]),
        help="Sensor: class of all fingers.  [default: natural frequencies]",
    ),
    click.option(
        "--finger",
        type=click.Choice([position.value for position in FingerPosition]),
        help="Sensor: draw classes at the frequencies of this finger.",
    ),
    click.option(
        "--window",
        type=(click.IntRange(SMALLEST, LARGEST), click.IntRange(SMALLEST, LARGEST)),
        metavar="WIDTH HEIGHT",
        default=FULL_PRINT,
        show_default=True,
        help="Sensor: pixels at 500 ppi; 256 256 is a small sensor.",
    ),
    click.option(
        "--template-format",
        type=click.Choice(list(WRITABLE)),
        default="json",
        show_default=True,
        help="Sensor: of the true template beside each image.",
    ),
    _effect("rotation", "Sensor, fixed: degrees counter-clockwise."),
    _effect("distortion", "Sensor, fixed: of the skin; 1 is the mean of medium."),
    _effect("contact", "Sensor, fixed: part of the fingertip that touches, up to 1."),
    _effect("pressure", "Sensor, fixed: -1 (light) to 1 (firm)."),
    click.option("--moisture", type=Moisture(), help="Sensor, fixed: a name, or -1 (dry) to 1 (wet)."),
    click.option("--scars", type=click.IntRange(0, 8), help="Sensor, fixed: number of cuts."),
    _effect("noise", "Sensor, fixed: deviation of its noise, gray levels.", "sensor-noise"),
    _effect("background", "Sensor, fixed: deviation of a smooth background, gray levels."),
)


def write_sensor_set(
    prints: Prints, seeds: range, impressions: int, writing: Writing, workers: int | None
) -> None:
    """Write impressions 1 to `impressions` of the fingers of `seeds`, each with its template beside it.

    Raises:
        BadInput: If an image exists and may neither be replaced nor kept.
    """
    workers = workers or usable_cores()
    effects = prints.effects
    output = Output(writing, prints.provenance(), PPI, workers)
    suffix = FORMATS[prints.template_format].extensions[0]

    def planned(seed: int) -> list[Planned]:
        kind = draw_pattern(seed, prints.kind, prints.position).kind.value
        return [
            Planned(
                f"{seed:08d}_{number}",
                f"{seed} {number}: {kind}",
                {"seed": str(seed), "impression": str(number), "class": kind},
            )
            for number in range(1, impressions + 1)
        ]

    def template_path(plan: Planned) -> Path:
        return output.path(plan).with_suffix(suffix)

    every = [plan for seed in seeds for plan in planned(seed)]
    out = writing.out
    missing = {
        plan.name for plan in every if output.is_missing(plan) or (out and not template_path(plan).exists())
    }
    output.begin(plan for plan in every if plan.name in missing)
    if out and missing:
        for name in (SETTINGS, TABLE):  # they describe a set that is whole
            (out / name).unlink(missing_ok=True)

    def make(seed: int) -> list[Impression]:
        wanted = [(i, plan) for i, plan in enumerate(planned(seed)) if plan.name in missing]
        if not wanted:
            return []
        finger = make_finger(seed, prints.window, prints.kind, prints.position)
        return [write(plan, take_impression(finger, i, prints.preset, effects)) for i, plan in wanted]

    def write(plan: Planned, taken: Taken) -> Impression:
        impression = output.impression(plan, taken.pixels)
        if out:
            # The template first: an image that is there has one.
            write_template(template_path(plan), taken.template, prints.template_format)
            impression.write()
        return impression

    def made() -> Generator[Impression]:
        with closing(iter(Pipeline(seeds, [Stage("fingers", make, workers, room=2 * workers)]))) as images:
            yield from images

    output.collect(every, made(), len(missing), sheet_columns=impressions)
    if out:
        about = {
            "fingers": len(seeds),
            "impressions": impressions,
            "first_seed": seeds.start,
            "ppi": PPI,
            **prints.provenance(),
        }
        write_atomically(out / SETTINGS, (json.dumps(about, indent=2) + "\n").encode())
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(COLUMNS)
        for plan in every:
            own = plan.provenance
            files = (output.path(plan).name, template_path(plan).name)
            lines.writerow((*files, own["seed"], own["impression"], own["class"]))
        write_atomically(out / TABLE, text.getvalue().encode())
    output.report(every, len(missing))
