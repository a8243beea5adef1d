"""What ISO/IEC 19794-2 and ANSI/INCITS 378 finger minutiae records have in common.

Both descend from one draft: the same 6-byte minutia, the same chain of extended data areas and nearly the
same block of cores and deltas. All numbers are big-endian and unsigned; coordinates are pixels from the top
left.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from ...errors import BadInput
from ..template import Minutia, MinutiaType, Point, Template
from .octets import Octets

IDENTIFIER = b"FMR\0"
MAX_COORDINATE = (1 << 14) - 1
MAX_MINUTIAE = 255
MAX_SINGULAR = 15
CORE_DELTA_AREA = 0x0002
_CM_PER_INCH = 2.54
# Resolutions of fingerprint scanners (ISO/IEC 19794-4, scan levels). Whole pixels per centimetre cannot say
# them exactly: 500 ppi is written 197 px/cm, which is 500.38 ppi.
_NOMINAL_PPI = (125.0, 250.0, 500.0, 750.0, 1000.0)

_TYPES = {0: MinutiaType.OTHER, 1: MinutiaType.ENDING, 2: MinutiaType.BIFURCATION}
_CODES = {kind: code for code, kind in _TYPES.items()}


@dataclass(frozen=True)
class AngleCode:
    """Angles in one byte: `count` codes of `step` degrees each, counter-clockwise from the right."""

    step: float
    count: int

    def read(self, octets: Octets, field: str) -> float:
        code = octets.number(1, field)
        if code >= self.count:
            raise octets.wrong(1, f"{field} has code {code}: codes are 0 to {self.count - 1}")
        return code * self.step

    def code(self, degrees: float) -> int:
        return round(degrees / self.step) % self.count


@dataclass(frozen=True)
class QualityCode:
    """Minutia qualities in one byte: `lowest` to 100, or `not_reported` (also read: `also_not_reported`)."""

    lowest: int
    not_reported: int
    also_not_reported: Collection[int] = ()

    def read(self, octets: Octets, field: str) -> float | None:
        code = octets.number(1, field)
        if code == self.not_reported or code in self.also_not_reported:
            return None
        if code > 100:
            raise octets.wrong(
                1, f"{field} is {code}: qualities are {self.lowest} to 100, or {self.not_reported}"
            )
        return float(code)

    def code(self, quality: float | None) -> int:
        return self.not_reported if quality is None else max(self.lowest, round(quality))


def read_size(octets: Octets, axis: str, default: int | None) -> int:
    """Image size along one axis, 2 bytes; 0 is taken as not told."""
    size = octets.number(2, f"image {axis}") or default
    if not size:
        raise octets.wrong(2, f"image {axis} is 0: give the {axis} of the image with {axis}=")
    return size


def read_ppi(octets: Octets, default: float | None) -> float:
    """x and y resolution, 2 bytes each in pixels per centimetre, as ppi; 0 is taken as not told."""
    across, down = octets.number(2, "x resolution"), octets.number(2, "y resolution")
    if across != down:
        raise octets.wrong(
            4, f"x and y resolution differ ({across}, {down} px/cm): resample the image to square pixels"
        )
    ppi = across * _CM_PER_INCH
    if not ppi:
        if not default:
            raise octets.wrong(4, "resolution is 0: give the resolution of the image with ppi=")
        return default
    return next((nominal for nominal in _NOMINAL_PPI if round(nominal / _CM_PER_INCH) == across), ppi)


def read_minutiae(
    octets: Octets, count: int, angle: AngleCode, quality: QualityCode | None
) -> tuple[Minutia, ...]:
    """`count` minutia records; `quality` None: records without that byte.

    offset  length  field
    0       2       2 bits type (00 other, 01 ridge ending, 10 ridge bifurcation), 14 bits x
    2       2       2 bits reserved, 14 bits y
    4       1       angle
    5       1       quality
    """
    minutiae = []
    for number in range(1, count + 1):
        field = f"minutia {number}"
        type_and_x = octets.number(2, f"{field} type and x")
        code = type_and_x >> 14
        if code not in _TYPES:
            raise octets.wrong(
                2, f"{field} has type {code}: 0 (other), 1 (ending), 2 (bifurcation) are known"
            )
        y = octets.number(2, f"{field} y") & MAX_COORDINATE
        degrees = angle.read(octets, f"{field} angle")
        grade = quality.read(octets, f"{field} quality") if quality else None
        minutiae.append(Minutia(type_and_x & MAX_COORDINATE, y, degrees, _TYPES[code], grade))
    return tuple(minutiae)


def read_areas(octets: Octets) -> Iterator[tuple[int, Octets]]:
    """(type, content) of each extended data area.

    offset  length  field
    0       2       length of all areas together
    2       2       area: type (0x0001 ridge counts, 0x0002 cores and deltas, 0x0003 zonal quality)
    4       2       area: length, with these 4 bytes
    6       …       area: content; then the next area
    """
    areas = octets.part(octets.number(2, "extended data length"), "extended data")
    while areas.left:
        kind, length = areas.number(2, "extended area type"), areas.number(2, "extended area length")
        if length < 4:
            raise areas.wrong(2, f"extended area length is {length}, with its own header it is 4 or more")
        yield kind, areas.part(length - 4, f"extended area 0x{kind:04x}")


def read_view(
    octets: Octets,
    size: tuple[int, int, float],
    count: int,
    angle: AngleCode,
    quality: QualityCode | None,
    read_singular: Callable[[Octets], tuple[list[Point], list[Point]]],
) -> Template:
    """A finger view of `size` (width, height, ppi); extended areas but cores and deltas are skipped."""
    minutiae = read_minutiae(octets, count, angle, quality)
    cores: list[Point] = []
    deltas: list[Point] = []
    for kind, area in read_areas(octets):
        if kind == CORE_DELTA_AREA:
            more_cores, more_deltas = read_singular(area)
            cores += more_cores
            deltas += more_deltas
    return Template(*size, minutiae, tuple(cores), tuple(deltas))


def open_record(data: bytes, version: bytes) -> Octets:
    """A record after its identifier and version number, both checked.

    offset  length  field
    0       4       format identifier "FMR\\0"
    4       4       version number, three characters and a NUL
    """
    octets = Octets(data)
    if octets.raw(4, "format identifier") != IDENTIFIER:
        raise octets.wrong(4, "the format identifier is not 'FMR': the file is no finger minutiae record")
    found = octets.raw(4, "version number")
    if found != version:
        raise octets.wrong(
            4, f"version number is {found!r}, not {version!r}: leave the format to be detected"
        )
    return octets


def checked_length(octets: Octets, length: int, field_length: int) -> Octets:
    """What is left of a record that tells its whole `length`; bytes after its end are left alone."""
    read = octets.offset
    if length < read or length > read + octets.left:
        raise octets.wrong(
            field_length,
            f"record length is {length}, the file has {read + octets.left} bytes: it is truncated or damaged",
        )
    return octets.part(length - read, "record")


def encode_size(template: Template) -> bytes:
    """Image width and height, 2 bytes each."""
    for name, size in (("width", template.width), ("height", template.height)):
        if size > 0xFFFF:
            raise BadInput(
                f"image {name} is {size}, a record carries up to 65535: crop or rescale the template"
            )
    return struct.pack(">HH", template.width, template.height)


def encode_ppi(template: Template) -> bytes:
    """x and y resolution in whole pixels per centimetre, 2 bytes each."""
    per_cm = round(template.ppi / _CM_PER_INCH)
    if not 1 <= per_cm <= 0xFFFF:
        raise BadInput(
            f"{template.ppi:g} ppi is no number of pixels per cm from 1 to 65535: rescale the template"
        )
    return struct.pack(">HH", per_cm, per_cm)


def encode_minutiae(template: Template, angle: AngleCode, quality: QualityCode) -> bytes:
    """Count (1 byte) and 6-byte records of the minutiae; coordinates, angles and qualities are rounded."""
    if len(template.minutiae) > MAX_MINUTIAE:
        raise BadInput(
            f"{len(template.minutiae)} minutiae, a record carries up to {MAX_MINUTIAE}: "
            "filter them by quality or crop the template"
        )
    records = bytearray((len(template.minutiae),))
    for number, minutia in enumerate(template.minutiae, 1):
        x, y = coordinates(template, minutia, f"minutia {number}")
        code = quality.code(minutia.quality)
        records += struct.pack(">HHBB", _CODES[minutia.type] << 14 | x, y, angle.code(minutia.angle), code)
    return bytes(records)


def coordinates(template: Template, place: Minutia | Point, name: str) -> tuple[int, int]:
    """Whole pixels in the image, checked to fit 14 bits."""
    x, y = template.pixel(place)
    if max(x, y) > MAX_COORDINATE:
        raise BadInput(
            f"{name} is at ({x}, {y}), a record carries up to {MAX_COORDINATE}: crop or rescale the template"
        )
    return x, y


def encode_singular(template: Template, encode_points: Callable[[str, tuple[Point, ...]], bytes]) -> bytes:
    """The extended data: no area, or one of cores and deltas, each a count and points by `encode_points`."""
    areas = b""
    if template.cores or template.deltas:
        content = b""
        for name, points in (("core", template.cores), ("delta", template.deltas)):
            if len(points) > MAX_SINGULAR:
                raise BadInput(
                    f"{len(points)} {name}s, a record carries up to {MAX_SINGULAR}: leave some out"
                )
            content += encode_points(name, points)
        areas = struct.pack(">HH", CORE_DELTA_AREA, 4 + len(content)) + content
    return struct.pack(">H", len(areas)) + areas


def mean_quality(template: Template) -> int:
    """The quality that a view must tell: the mean of the known minutia qualities; 0 if none is known."""
    known = [minutia.quality for minutia in template.minutiae if minutia.quality is not None]
    return round(sum(known) / len(known)) if known else 0
