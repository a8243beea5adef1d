"""Options of a sensor's area: what is seen of a finger, in pixels and resolution."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import click

from ..fingers import PPI, SENSORS, SensorArea
from ..model import Model
from .kit import Number, as_one


@dataclass(frozen=True)
class AreaChoice:
    """The options; None: not given."""

    sensor: str | None
    width: int | None
    height: int | None
    ppi: float | None

    def __post_init__(self) -> None:
        if self.sensor is None and (self.width is None) != (self.height is None):
            raise click.UsageError("--width and --height: give both, or neither")

    def chosen(self, ppi: float = float(PPI), size: tuple[int, int] | None = None) -> SensorArea | None:
        """The area; None where no option is given.

        Args:
            ppi: Resolution where none is given.
            size: (width, height) at it, where none is given.
        """
        given: dict[str, Any] = {key: value for key, value in asdict(self).items() if value is not None}
        if not given:
            return None
        if given.pop("sensor", None) is not None:
            return replace(SENSORS[str(self.sensor)], **given)
        if self.width is None or self.height is None:
            if size is None:
                raise click.UsageError("--ppi: give --width and --height with it, or --sensor")
            width, height = (round(side * given.get("ppi", ppi) / ppi) for side in size)
            given |= {"width": width, "height": height}
        return SensorArea(**{"ppi": ppi, **given})

    def of_bundle(self, model: Model, size: int | None) -> SensorArea | None:
        """As `chosen`, for the images of a bundle.

        Raises:
            BadInput: If the bundle's images have another resolution.
        """
        side = model.bundle.manifest.image.output_size
        area = self.chosen(model.ppi(), (side, side))
        if area is not None:
            if size is not None:
                raise click.UsageError("--size rescales, and a sensor's area crops or pads: give one of them")
            area.check_ppi(model.ppi())
        return area


def described(area: SensorArea | None) -> str | None:
    """An area as text for the provenance of images; None for none."""
    return None if area is None else str(area)


area = as_one(
    "area",
    AreaChoice,
    click.option(
        "--sensor",
        type=click.Choice(list(SENSORS)),
        help="Kind of sensor: images are cropped or padded about their middle to its area, not rescaled.",
    ),
    click.option(
        "--width",
        type=click.IntRange(16, 4096),
        help="Width of the images in pixels, in place of the sensor's.",
    ),
    click.option("--height", type=click.IntRange(16, 4096), help="Height of the images in pixels, likewise."),
    click.option(
        "--ppi",
        type=Number(100, 2000),
        help="Resolution of the sensor; a bundle has one only.  [default: 500, or the bundle's]",
    ),
)
