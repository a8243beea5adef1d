"""Minutiae templates: what an extractor finds in one impression of a finger.

Conventions, the same for every format that is read or written:

- x, y: pixels from the top left corner, y down; pixel centers lie on whole numbers.
- angle: degrees counterclockwise as seen on the screen, 0 to the right, in [0, 360). The direction is that
  of ISO/IEC 19794-2 and ANSI/INCITS 378: from a ridge ending back along its ridge, from a bifurcation into
  the valley between its two branches. (NBIS points the other way; `formats.nbis_xyt` turns it.)
- quality: 0 (worst) to 100 (best), or None where it is not known.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeVar

from ..arguments import check_iterable, check_type
from ..errors import BadInput
from .resolution import HIGHEST_PPI, LOWEST_PPI

_Place = TypeVar("_Place", "Minutia", "Point")


class MinutiaType(Enum):
    """Kind of minutia; OTHER also stands for a kind that the format does not state."""

    ENDING = "ending"
    BIFURCATION = "bifurcation"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Minutia:
    """One minutia; see the module for the conventions of x, y, angle and quality.

    Attributes:
        x: Pixels from the left.
        y: Pixels from the top.
        angle: Degrees counterclockwise; any is taken and brought into [0, 360).
        type: Ending, bifurcation, or neither known.
        quality: 0 to 100; None where it is not known.

    Raises:
        BadInput: A value is not a finite number or out of range, or the type is no MinutiaType.
    """

    x: float
    y: float
    angle: float
    type: MinutiaType = MinutiaType.OTHER
    quality: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.type, MinutiaType):
            raise BadInput(f"type of a minutia is {self.type!r}: give a MinutiaType")
        _set(self, x=_finite("x", self.x), y=_finite("y", self.y), angle=_degrees(self.angle))
        if self.quality is not None:
            quality = _finite("quality", self.quality)
            if not 0 <= quality <= 100:
                raise BadInput(f"quality is {quality:g}: give a number from 0 to 100, or None if not known")
            _set(self, quality=quality)


@dataclass(frozen=True, slots=True)
class Point:
    """A singular point (core or delta) in the coordinates of Minutia.

    Attributes:
        x: Pixels from the left.
        y: Pixels from the top.
        angles: Degrees in [0, 360): a core has none or one (its opening), a delta none or three (its arms),
            as in ISO/IEC 19794-2.

    Raises:
        BadInput: A value is not a finite number.
    """

    x: float
    y: float
    angles: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        angles = tuple(_degrees(angle) for angle in self.angles)
        _set(self, x=_finite("x", self.x), y=_finite("y", self.y), angles=angles)


@dataclass(frozen=True, slots=True)
class Template:
    """The minutiae, cores and deltas of one impression.

    Attributes:
        width: Of the image, in pixels, 1 or more.
        height: Of the image, in pixels, 1 or more.
        ppi: Pixels per inch from 1 to 100,000, the same along both axes.
        minutiae: In the image, as everything here: 0 <= x < width and 0 <= y < height.
        cores: Of none or one angle each.
        deltas: Of none or three angles each.
        unclear: Of a template that is the truth, minutiae that the finger has at the edge of contact, in a
            crease, or within a ridge period of another, of a core or of a delta: an extractor may find them
            or not. FingerGen's JSON alone keeps them.

    Raises:
        BadInput: A value is out of range, or something lies outside the image.
    """

    width: int
    height: int
    ppi: float = 500.0
    minutiae: tuple[Minutia, ...] = ()
    cores: tuple[Point, ...] = ()
    deltas: tuple[Point, ...] = ()
    unclear: tuple[Minutia, ...] = ()

    def __post_init__(self) -> None:
        kinds = {"minutiae": Minutia, "cores": Point, "deltas": Point, "unclear": Minutia}
        for name, kind in kinds.items():
            given = getattr(self, name)
            check_iterable(name, given, f"a sequence of {kind.__name__}")
            places = tuple(given)
            for place in places:
                check_type(name, place, kind, f"a sequence of {kind.__name__}")
            _set(self, **{name: places})
        for name in ("width", "height"):
            size = _finite(name, getattr(self, name))
            if size < 1 or size != int(size):
                raise BadInput(f"{name} of the image is {size:g}: give a whole number of pixels, 1 or more")
            _set(self, **{name: int(size)})
        _set(self, ppi=_finite("ppi", self.ppi))
        _check_ppi(self.ppi)
        self._check_inside("minutia", self.minutiae)
        self._check_inside("unclear minutia", self.unclear)
        for name, points, count in (("core", self.cores, 1), ("delta", self.deltas, 3)):
            self._check_inside(name, points)
            for number, point in enumerate(points, 1):
                if len(point.angles) not in (0, count):
                    raise BadInput(f"{name} {number} has {len(point.angles)} angles: give {count}, or none")

    def pixel(self, place: Minutia | Point) -> tuple[int, int]:
        """The pixel nearest to a place in the image.

        Args:
            place: A minutia or point of the template.

        Returns:
            (x, y), in the image.
        """
        return min(round(place.x), self.width - 1), min(round(place.y), self.height - 1)

    def translate(self, dx: float, dy: float) -> Template:
        """The template moved, in the same image size; what leaves it is dropped.

        Args:
            dx: Pixels to the right.
            dy: Pixels down.

        Returns:
            Another template.
        """
        return self._moved(lambda x, y: (x + dx, y + dy))

    def rotate(self, degrees: float, center: tuple[float, float] | None = None) -> Template:
        """The template turned, in the same image size; what leaves it is dropped.

        Args:
            degrees: Counterclockwise.
            center: (x, y) in pixels; None: the image's middle.

        Returns:
            Another template.
        """
        cx, cy = center if center is not None else ((self.width - 1) / 2, (self.height - 1) / 2)
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))

        def turn(x: float, y: float) -> tuple[float, float]:
            # Counter-clockwise on the screen, with y down.
            return cx + (x - cx) * cos + (y - cy) * sin, cy - (x - cx) * sin + (y - cy) * cos

        return self._moved(turn, degrees)

    def rescale(self, ppi: float) -> Template:
        """The same finger at another resolution: image size and coordinates scaled alike.

        Args:
            ppi: Pixels per inch, from 1 to 100,000.

        Returns:
            Another template, of at least 1 x 1 pixels.

        Raises:
            BadInput: The resolution is out of range.
        """
        _check_ppi(_finite("ppi", ppi))
        scale = ppi / self.ppi
        width, height = max(1, round(self.width * scale)), max(1, round(self.height * scale))

        def stretch(x: float, y: float) -> tuple[float, float]:
            # Pixel centers lie on whole numbers: the image spans -0.5 to width - 0.5; its border stays
            # inside.
            x, y = (x + 0.5) * scale - 0.5, (y + 0.5) * scale - 0.5
            return min(max(x, 0.0), width - 0.5), min(max(y, 0.0), height - 0.5)

        return replace(self._moved(stretch, width=width, height=height), ppi=ppi)

    def crop(self, left: int, top: int, width: int, height: int) -> Template:
        """A window of the template; what lies outside it is dropped.

        Args:
            left: x of the window's first pixel; may be negative.
            top: y of the window's first pixel; may be negative.
            width: Pixels, 1 or more.
            height: Pixels, 1 or more.

        Returns:
            Another template, of the window's size.

        Raises:
            BadInput: The window has no pixels.
        """
        return self._moved(lambda x, y: (x - left, y - top), width=width, height=height)

    def filter_quality(self, minimum: float, keep_unknown: bool = True) -> Template:
        """The template with its better minutiae only.

        Args:
            minimum: The lowest quality that stays, 0 to 100.
            keep_unknown: Whether minutiae of quality None stay.

        Returns:
            Another template.
        """
        kept = (m for m in self.minutiae if (keep_unknown if m.quality is None else m.quality >= minimum))
        return replace(self, minutiae=tuple(kept))

    def _check_inside(self, name: str, places: Sequence[Minutia | Point]) -> None:
        for number, place in enumerate(places, 1):
            if not self._holds(place):
                raise BadInput(
                    f"{name} {number} at ({place.x:g}, {place.y:g}) lies outside the image of {self.width} x "
                    f"{self.height}: give the size of the image that it was found in"
                )

    def _holds(self, place: Minutia | Point) -> bool:
        return 0 <= place.x < self.width and 0 <= place.y < self.height

    def _moved(
        self,
        move: Callable[[float, float], tuple[float, float]],
        turn: float = 0.0,
        width: int | None = None,
        height: int | None = None,
    ) -> Template:
        """Every place moved by `move` and turned by `turn` degrees, in an image of the new size."""
        canvas = Template(
            self.width if width is None else width, self.height if height is None else height, self.ppi
        )

        def moved(places: tuple[_Place, ...]) -> tuple[_Place, ...]:
            all_moved = (_moved(place, move, turn) for place in places)
            return tuple(place for place in all_moved if canvas._holds(place))

        return replace(
            canvas,
            minutiae=moved(self.minutiae),
            cores=moved(self.cores),
            deltas=moved(self.deltas),
            unclear=moved(self.unclear),
        )


def _moved(place: _Place, move: Callable[[float, float], tuple[float, float]], turn: float) -> _Place:
    x, y = move(place.x, place.y)
    if isinstance(place, Minutia):
        return replace(place, x=x, y=y, angle=place.angle + turn)
    return replace(place, x=x, y=y, angles=tuple(angle + turn for angle in place.angles))


def _check_ppi(ppi: float) -> None:
    if not LOWEST_PPI <= ppi <= HIGHEST_PPI:
        bounds = f"from {LOWEST_PPI:g} to {HIGHEST_PPI:g}"
        raise BadInput(f"ppi is {ppi:g}: give a resolution {bounds} pixels per inch, such as 500")


def _finite(name: str, value: object) -> float:
    """`value` as a finite float; BadInput names the field."""
    try:
        number = float(value)  # type: ignore[arg-type]  # what float() refuses is the caller's bad input
    except (TypeError, ValueError, OverflowError):
        raise BadInput(f"{name} is {reprlib.repr(value)}: give a finite number") from None
    if not math.isfinite(number):
        raise BadInput(f"{name} is {number}: give a finite number")
    return number


def _degrees(value: object) -> float:
    """An angle brought into [0, 360)."""
    angle = _finite("angle", value) % 360.0
    return 0.0 if angle == 360.0 else angle  # a tiny negative angle rounds up to 360


def _set(instance: object, **fields: object) -> None:
    """Assign normalized fields of a frozen dataclass while it is being made."""
    for name, value in fields.items():
        object.__setattr__(instance, name, value)
