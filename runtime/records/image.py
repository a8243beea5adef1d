"""A fingerprint image with what records say about it, and how records are read and written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from ..arguments import check_finite, check_type
from ..errors import BadInput
from ..images import Pixels
from ..minutiae import Template
from ..minutiae.resolution import HIGHEST_PPI, LOWEST_PPI

MOST_PIXELS_A_SIDE = 0xFFFF  # of the records' fields
SAME_RESOLUTION = 0.01  # x and y resolutions that differ by less are roundings of one
_ROUNDING = 0.001  # by which pixels per meter or centimeter miss a whole number of pixels per inch
CM_PER_INCH = 2.54
PER_INCH, PER_CM = 1, 2  # codes of scale units, the same in ISO/IEC 19794-4 and ANSI/NIST-ITL
_PER_CM = {49: 125.0, 98: 250.0, 197: 500.0, 295: 750.0, 394: 1000.0}  # ISO/IEC 19794-4, scan levels

POSITIONS = range(11)
"""Finger positions, the same in all standards: 0 unknown, 1-5 right thumb to little finger, 6-10 left."""

LIVE_PLAIN, LIVE_ROLLED, INK_PLAIN, INK_ROLLED = range(4)
IMPRESSION_TYPES = range(30)
"""Impression types of ISO/IEC 19794-4:2011 (table 10), which are those of ANSI/NIST-ITL 1-2011 (table 7)."""


@dataclass(frozen=True, eq=False)
class FingerImage:
    """A gray image of one finger.

    Attributes:
        pixels: uint8 (H, W), 0 black, 255 white; ridges are dark.
        ppi: Pixels per inch along both axes.
        position: Which finger: a code of `POSITIONS`.
        impression_type: A code of `IMPRESSION_TYPES`.
        provenance: What its file says about where it comes from, by name; empty where it says nothing.
    """

    pixels: Pixels
    ppi: float
    position: int = 0
    impression_type: int = LIVE_PLAIN
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_type("pixels", self.pixels, np.ndarray, "uint8 (H, W)")
        check_finite("ppi", self.ppi)
        if self.pixels.ndim != 2 or self.pixels.dtype != np.uint8 or not self.pixels.size:
            raise BadInput(f"pixels: {self.pixels.dtype} {self.pixels.shape}; give uint8 (H, W)")
        if max(self.pixels.shape) > MOST_PIXELS_A_SIDE:
            size = f"{self.width} x {self.height}"
            raise BadInput(f"image of {size} pixels: a record carries up to {MOST_PIXELS_A_SIDE} per side")
        if not LOWEST_PPI <= self.ppi <= HIGHEST_PPI:
            raise BadInput(f"resolution {self.ppi:g} ppi: give one from {LOWEST_PPI:g} to {HIGHEST_PPI:g}")

    @property
    def width(self) -> int:
        """Width of the image in pixels."""
        return self.pixels.shape[1]

    @property
    def height(self) -> int:
        """Height of the image in pixels."""
        return self.pixels.shape[0]


@dataclass(frozen=True)
class Content:
    """What a record holds.

    Attributes:
        images: In the record's order.
        templates: Of its minutiae; none where it has images only.
    """

    images: tuple[FingerImage, ...] = ()
    templates: tuple[Template, ...] = ()


@dataclass(frozen=True)
class Reading:
    """What the caller says about images whose files do not say it.

    Attributes:
        size: (width, height) in pixels of raw images.
        ppi: Pixels per inch; wins over what a file states.
    """

    size: tuple[int, int] | None = None
    ppi: float | None = None

    def resolution(self, across: float, down: float, unit: int = PER_INCH) -> float:
        """The ppi to use where a file states `across` and `down` pixels per `unit`; 0: it does not state one.

        Raises:
            BadInput: If neither says it, or if x and y resolution differ.
        """
        if self.ppi is not None:
            return self.ppi
        if not across or not down:
            raise BadInput("the file does not state its resolution: give it with --image-ppi")
        if abs(across - down) > SAME_RESOLUTION * across:
            raise BadInput(
                f"x and y resolution differ ({across:g} and {down:g}): resample the image, or give the right "
                "one with --image-ppi"
            )
        if unit == PER_CM:
            return _PER_CM.get(round(across), across * CM_PER_INCH)
        return whole_ppi(across)


@dataclass(frozen=True)
class Details:
    """How records are written, where the images do not say it.

    Attributes:
        compression: A name in `COMPRESSIONS`; None: what the format takes by default.
        captured: When, in UTC; the moment of writing if not given.
        record_type: Of ANSI/NIST-ITL images: 14, or 4 for receivers of before 2000.
        agency: Originating and source agency of ANSI/NIST-ITL transactions.
    """

    compression: str | None = None
    captured: datetime = field(default_factory=lambda: datetime.now(UTC))
    record_type: int = 14
    agency: str = "FINGERGEN"


def whole_ppi(ppi: float) -> float:
    """The whole number that `ppi` misses by rounding only, such as 500 for 499.999; else `ppi`."""
    return float(round(ppi)) if abs(ppi - round(ppi)) <= _ROUNDING * ppi else ppi


def field_ppi(image: FingerImage) -> int:
    """Resolution as a field of 2 bytes; BadInput if it is no whole number of ppi in 1 to 65535."""
    if image.ppi != round(image.ppi) or image.ppi > 0xFFFF:
        raise BadInput(f"{image.ppi:g} ppi: a record carries whole numbers up to 65535; resample the image")
    return round(image.ppi)


def check_code(name: str, code: int, known: range) -> int:
    """`code` if the standard has it; BadInput names the field."""
    if code not in known:
        raise BadInput(f"{name} {code} is not in {known.start} to {known.stop - 1}")
    return code
