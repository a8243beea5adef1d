"""The pixels of sensors: how much of a finger one sees, at which resolution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...arguments import check_finite, check_whole
from ...errors import BadInput
from ...images import Pixels, crop_or_pad, middle_corner
from ...minutiae import PPI
from ..window import LARGEST, SMALLEST

if TYPE_CHECKING:
    from ...minutiae import Template

SIDES, RESOLUTIONS = (16, 4096), (100.0, 2000.0)  # pixels; pixels per inch
_SAME_PPI = 0.5


@dataclass(frozen=True)
class SensorArea:
    """The pixels of a sensor.

    Attributes:
        width: Pixels in a row.
        height: Rows.
        ppi: Pixels per inch, along both axes.
    """

    width: int
    height: int
    ppi: float = float(PPI)

    def __post_init__(self) -> None:
        for name, side in (("width", self.width), ("height", self.height)):
            check_whole(f"sensor {name}", side, *SIDES)
        check_finite("sensor ppi", self.ppi)
        if not RESOLUTIONS[0] <= self.ppi <= RESOLUTIONS[1]:
            raise BadInput(f"sensor ppi: {self.ppi:g}; must be {RESOLUTIONS[0]:g} to {RESOLUTIONS[1]:g}")

    def __str__(self) -> str:
        return f"{self.width} x {self.height} at {self.ppi:g} ppi"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the image, in its pixels."""
        return self.width, self.height

    @property
    def window(self) -> tuple[int, int]:
        """(width, height) in pixels at 500 ppi of the window that fingers are placed in to be seen by it.

        Nothing of a finger lies beyond the largest window, where a larger sensor shows background.
        """
        across, down = (2 * math.ceil(side * PPI / self.ppi / 2) for side in self.size)
        return min(max(across, SMALLEST), LARGEST), min(max(down, SMALLEST), LARGEST)

    def check_ppi(self, ppi: float) -> None:
        """Check that images are at the sensor's resolution: nothing is rescaled.

        Args:
            ppi: Of the images.

        Raises:
            BadInput: It is another one.
        """
        if abs(ppi - self.ppi) > _SAME_PPI:
            raise BadInput(
                f"--ppi {self.ppi:g}: the bundle's images have {ppi:g} ppi and are not rescaled; "
                "fg-run dataset --renderer sensor makes any resolution"
            )

    def of_image(self, image: Pixels, ppi: float) -> Pixels:
        """What the sensor shows of an image, about its middle; background where the sensor is larger.

        Args:
            image: uint8 (H, W) or (H, W, 3).
            ppi: Of the image.

        Returns:
            uint8 (height, width) or (height, width, 3).

        Raises:
            BadInput: If the image has another resolution.
        """
        self.check_ppi(ppi)
        return crop_or_pad(image, *self.size)

    def of_template(self, template: Template) -> Template:
        """The template of an image as `of_image` shows it.

        Args:
            template: Of the whole image.

        Returns:
            The template with what the sensor shows, in the sensor's pixels.
        """
        left, top = middle_corner((template.width, template.height), self.size)
        return template.crop(left, top, *self.size)


SENSORS = {
    "fap10": SensorArea(250, 325),
    "fap20": SensorArea(300, 400),
    "fap30": SensorArea(400, 500),
    "fap30-1000ppi": SensorArea(800, 1000, 1000.0),
    "fvc2002-db1": SensorArea(388, 374),
    "fvc2002-db2": SensorArea(296, 560, 569.0),
    "fvc2002-db3": SensorArea(300, 300),
    "fvc2004-db1": SensorArea(640, 480),
    "fvc2004-db2": SensorArea(328, 364),
    "fvc2004-db3": SensorArea(300, 480, 512.0),
}
"""Areas of known kinds of sensors, by name: fingerprint acquisition profiles of NIST SP 500-280 (0.5 x 0.65,
0.6 x 0.8 and 0.8 x 1.0 inches), and the databases of the Fingerprint Verification Competitions (Maio et al.,
ICPR 2002 and ICBA 2004)."""
