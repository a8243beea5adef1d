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

PPI = 500  # of fingerprint databases, and what MINDTCT and NFIQ 2 are defined at
LOWEST_PPI, HIGHEST_PPI = 1.0, 100_000.0
"""Bounds of a template's resolution: beyond them no image is meant, and rescaling would overflow."""

_Place = TypeVar("_Place", "Minutia", "Point")


class MinutiaType(Enum):
    """Kind of minutia; OTHER also stands for a kind that the format does not tell."""

    ENDING = "ending"
    BIFURCATION = "bifurcation"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Minutia:
    """One minutia; see the module for the conventions of x, y, angle and quality.

    Any angle is taken and brought into [0, 360). Raises BadInput for a value that is not a finite number, a
    quality outside 0 to 100 or a type that is no MinutiaType.
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

    `angles`: a core has none or one (its opening), a delta none or three (its arms), as in ISO/IEC 19794-2.
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

    width, height: image size in pixels; ppi: pixels per inch from 1 to 100,000, the same along both axes.
    Everything lies in the image, 0 <= x < width and 0 <= y < height. Raises BadInput otherwise.
    """

    width: int
    height: int
    ppi: float = 500.0
    minutiae: tuple[Minutia, ...] = ()
    cores: tuple[Point, ...] = ()
    deltas: tuple[Point, ...] = ()

    def __post_init__(self) -> None:
        for name, kind in (("minutiae", Minutia), ("cores", Point), ("deltas", Point)):
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
        for name, points, count in (("core", self.cores, 1), ("delta", self.deltas, 3)):
            self._check_inside(name, points)
            for number, point in enumerate(points, 1):
                if len(point.angles) not in (0, count):
                    raise BadInput(f"{name} {number} has {len(point.angles)} angles: give {count}, or none")

    def pixel(self, place: Minutia | Point) -> tuple[int, int]:
        """(x, y) of the pixel of the image nearest to a place in it."""
        return min(round(place.x), self.width - 1), min(round(place.y), self.height - 1)

    def translate(self, dx: float, dy: float) -> Template:
        """Moved by (dx, dy) pixels, right and down, in the same image size; what leaves it is dropped."""
        return self._moved(lambda x, y: (x + dx, y + dy))

    def rotate(self, degrees: float, center: tuple[float, float] | None = None) -> Template:
        """Turned counterclockwise by `degrees` about `center` (x, y; None: the image's middle).

        The image keeps its size; what leaves it is dropped.
        """
        cx, cy = center if center is not None else ((self.width - 1) / 2, (self.height - 1) / 2)
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))

        def turn(x: float, y: float) -> tuple[float, float]:
            # Counter-clockwise on the screen, with y down.
            return cx + (x - cx) * cos + (y - cy) * sin, cy - (x - cx) * sin + (y - cy) * cos

        return self._moved(turn, degrees)

    def rescale(self, ppi: float) -> Template:
        """The same finger at another resolution: image size and coordinates scaled by ppi / self.ppi."""
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
        """The window of width x height pixels from pixel (left, top); what lies outside it is dropped."""
        return self._moved(lambda x, y: (x - left, y - top), width=width, height=height)

    def filter_quality(self, minimum: float, keep_unknown: bool = True) -> Template:
        """Only the minutiae of quality `minimum` or better; those of quality None stay if `keep_unknown`."""
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
            canvas, minutiae=moved(self.minutiae), cores=moved(self.cores), deltas=moved(self.deltas)
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
