"""Options of grown fingers and their impressions: what is drawn how, and what is fixed."""

from __future__ import annotations

from dataclasses import dataclass

import click

from ..fingers import (
    FULL_PRINT,
    LARGEST,
    LIMITS,
    MOISTURE,
    PRESETS,
    SMALLEST,
    Effects,
    FingerPosition,
    PatternClass,
)
from .kit import Decorator, Number, TemplateFormat, as_one


@dataclass(frozen=True)
class Prints:
    """What fingers are grown, and how their impressions are taken; None is drawn."""

    preset: str | None
    pattern: str | None
    finger: str | None
    window: tuple[int, int]
    templates: tuple[str, ...]
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
        """What is fixed for all impressions instead of sampled; see `Effects`."""
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


class Moisture(click.ParamType):
    """A name, or a number."""

    name = "|".join(MOISTURE) + "|NUMBER"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in MOISTURE:
            try:
                float(value)
            except ValueError:
                self.fail(f"{value!r}: give {', '.join(MOISTURE)} or a number.", param, ctx)
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
        help="Grown fingers: how far impressions differ in place and look."
        "  [default: medium; with a bundle the first is that of synth]",
    ),
    click.option(
        "--pattern",
        type=click.Choice([kind.value.replace(" ", "-") for kind in PatternClass]),
        help="Grown fingers: class of all.  [default: natural frequencies]",
    ),
    click.option(
        "--finger",
        type=click.Choice([position.value for position in FingerPosition]),
        help="Grown fingers: draw classes at the frequencies of this finger.",
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
        "templates",
        type=TemplateFormat(),
        multiple=True,
        default=("json",),
        show_default=True,
        help="Grown fingers: of the true template beside each image; may be given several times.",
    ),
    _effect("rotation", "Grown fingers, fixed: degrees counter-clockwise."),
    _effect("distortion", "Grown fingers, fixed: of the skin; 1 is the mean of medium."),
    _effect("contact", "Grown fingers, fixed: part of the fingertip that touches, up to 1."),
    _effect("pressure", "Grown fingers, fixed: -1 (light) to 1 (firm)."),
    click.option("--moisture", type=Moisture(), help="Grown fingers, fixed: a name, or -1 (dry) to 1 (wet)."),
    click.option("--scars", type=click.IntRange(0, 8), help="Grown fingers, fixed: number of cuts."),
    _effect("noise", "Grown fingers, fixed: deviation of the sensor's noise, gray levels.", "sensor-noise"),
    _effect("background", "Grown fingers, fixed: deviation of a smooth background, gray levels."),
)
