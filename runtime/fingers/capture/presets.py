"""Presets: how far impressions of a finger differ; effects: what a caller fixes instead of drawing it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import NamedTuple

from ...errors import BadInput

Range = tuple[float, float]


class Preset(NamedTuple):
    """Distributions of what varies between impressions.

    Attributes:
        rotation: Standard deviation, degrees; cut off at 2.7 deviations.
        shift: Standard deviation along each axis, pixels.
        distortion: Standard deviation of the amplitudes of the skin's waves, pixels.
        contact: Uniform; the part of the fingertip that touches the sensor.
        pressure: Mean and standard deviation; -1 is a light touch, 1 a firm one.
        moisture: Mean and standard deviation; -1 is dry, 1 is wet.
        unevenness: Uniform; how far pressure varies over the contact.
        blotches: Uniform; spots where ink or moisture lacks or abounds.
        sharpness: Uniform; of the edges of ridges.
        scars: Probabilities of 0, 1, 2, … cuts in the skin.
        noise: Uniform; standard deviation of the sensor's noise, gray levels of 255.
        background: Uniform; standard deviation of a smooth background, gray levels of 255.
    """

    rotation: float
    shift: float
    distortion: float
    contact: Range
    pressure: Range
    moisture: Range
    unevenness: Range
    blotches: Range
    sharpness: Range
    scars: tuple[float, ...]
    noise: Range
    background: Range


PRESETS: Mapping[str, Preset] = {
    "easy": Preset(
        rotation=4.0,
        shift=8.0,
        distortion=1.2,
        contact=(0.9, 1.0),
        pressure=(0.08, 0.15),
        moisture=(-0.3, 0.12),
        unevenness=(0.08, 0.2),
        blotches=(0.02, 0.12),
        sharpness=(2.5, 5.0),
        scars=(1.0,),
        noise=(1.5, 4.5),
        background=(0.0, 1.0),
    ),
    "medium": Preset(
        rotation=8.0,
        shift=14.0,
        distortion=2.0,
        contact=(0.8, 1.0),
        pressure=(0.08, 0.36),
        moisture=(-0.1, 0.25),
        unevenness=(0.1, 0.3),
        blotches=(0.03, 0.2),
        sharpness=(2.5, 5.0),
        scars=(0.85, 0.12, 0.03),
        noise=(1.5, 6.5),
        background=(0.0, 3.0),
    ),
    # It shows as much of the fingertip as the others, and as many minutiae, so that different fingers score
    # alike in all presets. What makes it hard is moist, smudged skin, which NFIQ 2 rates low, and distortion.
    "hard": Preset(
        rotation=15.0,
        shift=14.0,
        distortion=2.5,
        contact=(0.8, 1.0),
        pressure=(0.3, 0.2),
        moisture=(0.35, 0.15),
        unevenness=(0.1, 0.3),
        blotches=(0.03, 0.2),
        sharpness=(1.4, 2.4),
        scars=(0.6, 0.25, 0.1, 0.05),
        noise=(1.5, 6.5),
        background=(0.0, 3.0),
    ),
    "partial": Preset(
        rotation=15.0,
        shift=24.0,
        distortion=3.2,
        contact=(0.3, 0.8),
        pressure=(0.05, 0.6),
        moisture=(-0.1, 0.5),
        unevenness=(0.2, 0.5),
        blotches=(0.1, 0.4),
        sharpness=(2.5, 5.0),
        scars=(0.6, 0.25, 0.1, 0.05),
        noise=(4.0, 14.0),
        background=(2.0, 12.0),
    ),
}

MOISTURE = {"dry": -0.7, "normal": 0.0, "wet": 0.7}
"""Names of values of `Effects.moisture`."""

LIMITS: Mapping[str, Range] = {
    "rotation": (-180.0, 180.0),
    "distortion": (0.0, 4.0),
    "contact": (0.1, 1.0),
    "pressure": (-1.0, 1.0),
    "moisture": (-1.0, 1.0),
    "scars": (0, 8),
    "noise": (0.0, 60.0),
    "background": (0.0, 60.0),
}
"""Smallest and largest value of each effect."""


@dataclass(frozen=True)
class Effects:
    """What is fixed for an impression; None is drawn from the preset.

    A fixed effect leaves the others as they would have been.

    Attributes:
        rotation: Degrees counter-clockwise as seen, -180 to 180.
        distortion: Strength of the skin's distortion, 0 to 4; 1 is the mean of `medium`.
        contact: The part of the fingertip that touches the sensor, 0.1 to 1.
        pressure: -1 (light) to 1 (firm).
        moisture: -1 (dry) to 1 (wet), or one of MOISTURE.
        scars: Number of cuts in the skin, 0 to 8.
        noise: Standard deviation of the sensor's noise, gray levels of 255, 0 to 60.
        background: Standard deviation of the smooth background, gray levels of 255, 0 to 60.
        rolled: Whether the finger is rolled from nail to nail, which shows more of its sides.

    Raises:
        BadInput: If a value is out of its range.
    """

    rotation: float | None = None
    distortion: float | None = None
    contact: float | None = None
    pressure: float | None = None
    moisture: float | str | None = None
    scars: int | None = None
    noise: float | None = None
    background: float | None = None
    rolled: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None or field.name == "rolled":
                continue
            if field.name == "moisture" and value in MOISTURE:
                value = MOISTURE[value]
                object.__setattr__(self, "moisture", value)
            low, high = LIMITS[field.name]
            if not isinstance(value, int | float) or not low <= value <= high:
                names = f" or {', '.join(MOISTURE)}" if field.name == "moisture" else ""
                raise BadInput(f"{field.name} {value!r}: give {low:g} to {high:g}{names}")


def find_preset(name: str) -> Preset:
    """A preset by its name.

    Args:
        name: A name in PRESETS.

    Returns:
        The preset.

    Raises:
        BadInput: If there is none of this name.
    """
    if name not in PRESETS:
        raise BadInput(f"preset {name!r}: choose {', '.join(PRESETS)}")
    return PRESETS[name]
