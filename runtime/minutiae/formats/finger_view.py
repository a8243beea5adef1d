"""What the finger minutiae records of ISO/IEC 19794-2 and ANSI/INCITS 378 have in common.

All descend from one draft: the same 6-byte minutia, the same chain of extended data areas and nearly the same
block of cores and deltas. All numbers are big-endian and unsigned; coordinates are pixels from the top left.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ...errors import BadInput
from ..template import Minutia, MinutiaType, Point, Template
from .format import Reading, assemble, known_quality
from .octets import Octets

IDENTIFIER, KIND = b"FMR\0", "finger minutiae"
MAX_COORDINATE = (1 << 14) - 1
MAX_MINUTIAE = 255
MAX_SINGULAR = 15
CORE_DELTA_AREA = 0x0002
_CM_PER_INCH = 2.54
# Resolutions of fingerprint scanners (ISO/IEC 19794-4, scan levels). Whole pixels per centimeter cannot say
# them exactly: 500 ppi is written 197 px/cm, which is 500.38 ppi.
_NOMINAL_PPI = (125.0, 250.0, 500.0, 750.0, 1000.0)

_TYPES = {0: MinutiaType.OTHER, 1: MinutiaType.ENDING, 2: MinutiaType.BIFURCATION}
_CODES = {kind: code for code, kind in _TYPES.items()}

Singular = tuple[list[Point], list[Point]]  # cores, deltas


@dataclass(frozen=True)
class AngleCode:
    """Angles in one byte: `count` codes of `step` degrees each, counterclockwise from the right."""

    step: float
    count: int

    def degrees(self, code: int) -> float | None:
        """The angle of a code; None for a code beyond the circle."""
        return code * self.step if code < self.count else None

    def code(self, degrees: float) -> int:
        """The nearest code of an angle in degrees."""
        return round(degrees / self.step) % self.count


@dataclass(frozen=True)
class QualityCode:
    """Minutia qualities in one byte: `lowest` to 100, or one of `not_reported`; its first is written."""

    lowest: int
    not_reported: tuple[int, ...]

    def code(self, quality: float | None) -> int:
        """The code of a quality from 0 to 100, or of None."""
        return self.not_reported[0] if quality is None else max(self.lowest, round(quality))


@dataclass(frozen=True)
class Layout:
    """What differs between the finger views of the standards."""

    angle: AngleCode
    quality: QualityCode
    read_singular: Callable[[Octets], Singular]


def check_length(reading: Reading, data: bytes, length: int, end: int) -> None:
    """Warn where a record's length field is not where its content ends; bytes after a record are allowed."""
    if length > len(data):
        problem = f"the file has {len(data)} bytes: it is truncated, or the length is wrong"
    elif length < end:
        problem = f"its content takes {end}: the length is ignored"
    else:
        return
    reading.warn(f"record length is {length}, {problem}")


def read_views(reading: Reading, count: int, read_one: Callable[[], Template]) -> tuple[Template, ...]:
    """`count` finger views, each by `read_one`.

    A view that cannot be read is an error if it is the first, else a warning: the views before it are kept.
    """
    views: list[Template] = []
    for number in range(count):
        try:
            views.append(read_one())
        except BadInput as error:
            if not views:
                raise
            reading.warn(f"finger view {number} and what follows it cannot be read ({error})")
            break
    return tuple(views)


def read_plain_record(
    record: Octets, reading: Reading, data: bytes, length: int, layout: Layout
) -> tuple[Template, ...]:
    """A record of ANSI/INCITS 378-2004 or ISO/IEC 19794-2:2005, from the image's size to its end.

    Args:
        record: At the image's width.
        reading: How the file is read.
        data: The whole file.
        length: What the record's header gives as its length in bytes.
        layout: Of the standard.

    Returns:
        One Template per finger view.

    Raises:
        BadInput: If the first finger view cannot be read.
    """
    size, ppi = read_size(record), read_ppi(record)
    count = record.number(1, "number of finger views")
    record.raw(1, "reserved byte")

    def view() -> Template:
        record.raw(3, "finger view header")
        return read_view(record, reading, size, ppi, layout)

    views = read_views(reading, count, view)
    check_length(reading, data, length, record.offset)
    return views


def plain_record_fits(data: bytes, header: int, length_at: int, length_size: int) -> bool:
    """Whether the finger views behind `header` bytes end where the file or the record ends.

    Args:
        data: The whole file.
        header: Bytes of the record's header; the last but one is the number of finger views.
        length_at: Offset of the record's length.
        length_size: Bytes of the record's length.
    """
    if len(data) < header:
        return False
    length = int.from_bytes(data[length_at : length_at + length_size], "big")
    return walk_views(data, header, data[header - 2], 4) in (len(data), length)


def encode_plain_view(template: Template, layout: Layout, extended: bytes) -> bytes:
    """A finger view of the same standards (finger not known, live-scan plain impression)."""
    view = struct.pack(">BBB", 0, 0, mean_quality(template))
    return view + encode_minutiae(template, layout) + extended


def encode_plain_record(header: bytes, template: Template, view: bytes) -> bytes:
    """A record of one finger view; `header` is what comes before the image's width."""
    return header + encode_size(template) + encode_ppi(template) + struct.pack(">BB", 1, 0) + view


def read_size(octets: Octets) -> tuple[int, int]:
    """Image width and height, 2 bytes each; 0: not said."""
    return octets.number(2, "image width"), octets.number(2, "image height")


def read_ppi(octets: Octets) -> tuple[float, float]:
    """x and y resolution in ppi of 2 bytes each in pixels per centimeter; 0: not said."""
    across, down = (_ppi(octets.number(2, f"{axis} resolution")) for axis in "xy")
    return across, down


def read_view(
    octets: Octets,
    reading: Reading,
    size: tuple[int, int],
    ppi: tuple[float, float],
    layout: Layout,
    minutia_length: int = 6,
) -> Template:
    """A finger view from its number of minutiae on: minutiae, then extended data.

    Args:
        octets: At the number of minutiae (1 byte).
        reading: How the file is read.
        size: Image width and height in pixels; 0: not said.
        ppi: x and y resolution; 0: not said.
        layout: Of the standard.
        minutia_length: Bytes of each minutia: 6, or 5 without quality.
    """
    corrected = reading.ppi is not None and reading.override
    if not corrected and ppi[0] == ppi[1] and ppi[0] in (500 * _CM_PER_INCH, 1000 * _CM_PER_INCH):
        reading.warnings.append(
            f"resolution is {ppi[0] / _CM_PER_INCH:.0f} pixels per cm, which is {ppi[0]:.0f} ppi: "
            "if ppi were written into that field, correct it with --template-ppi"
        )
    count = octets.number(1, "number of minutiae")
    minutiae = _read_minutiae(octets, reading, count, layout, minutia_length)
    cores, deltas = _read_extended(octets, reading, layout)
    return assemble(reading, size, ppi, minutiae, cores, deltas)


def walk_views(data: bytes, start: int, count: int, header: int) -> int | None:
    """Where `count` finger views end, or None if they do not fit into the file.

    Each view is taken to be `header` bytes, the last the number of minutiae; 6 bytes for each minutia; the
    length of the extended data (2 bytes) and as much extended data.
    """
    for _ in range(count):
        if start + header > len(data):
            return None
        start += header + 6 * data[start + header - 1]
        if start + 2 > len(data):
            return None
        start += 2 + int.from_bytes(data[start : start + 2], "big")
    return start if start <= len(data) else None


def encode_size(template: Template) -> bytes:
    """Image width and height, 2 bytes each."""
    for name, size in (("width", template.width), ("height", template.height)):
        if size > 0xFFFF:
            raise BadInput(
                f"image {name} is {size}, a record carries up to 65535: crop or rescale the template"
            )
    return struct.pack(">HH", template.width, template.height)


def encode_ppi(template: Template) -> bytes:
    """x and y resolution in whole pixels per centimeter, 2 bytes each."""
    per_cm = round(template.ppi / _CM_PER_INCH)
    if not 1 <= per_cm <= 0xFFFF:
        raise BadInput(
            f"{template.ppi:g} ppi is not a number of pixels per cm from 1 to 65535: rescale the template"
        )
    return struct.pack(">HH", per_cm, per_cm)


def encode_minutiae(template: Template, layout: Layout) -> bytes:
    """Count (1 byte) and 6-byte records of the minutiae; coordinates, angles and qualities are rounded."""
    check_count(template)
    records = bytearray((len(template.minutiae),))
    for number, minutia in enumerate(template.minutiae, 1):
        x, y = coordinates(template, minutia, f"minutia {number}")
        type_and_x = type_code(minutia) << 14 | x
        codes = layout.angle.code(minutia.angle), layout.quality.code(minutia.quality)
        records += struct.pack(">HHBB", type_and_x, y, *codes)
    return bytes(records)


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


def check_count(template: Template) -> None:
    """BadInput for more minutiae than a record carries."""
    if len(template.minutiae) > MAX_MINUTIAE:
        raise BadInput(
            f"{len(template.minutiae)} minutiae, a record carries up to {MAX_MINUTIAE}: "
            "filter them by quality or crop the template"
        )


def coordinates(template: Template, place: Minutia | Point, name: str) -> tuple[int, int]:
    """Whole pixels in the image, checked to fit 14 bits."""
    x, y = template.pixel(place)
    if max(x, y) > MAX_COORDINATE:
        raise BadInput(
            f"{name} is at ({x}, {y}), a record carries up to {MAX_COORDINATE}: crop or rescale the template"
        )
    return x, y


def type_code(minutia: Minutia) -> int:
    """The 2-bit code of a minutia's type."""
    return _CODES[minutia.type]


def minutia_type(code: int, number: int, problems: dict[str, list[int]]) -> MinutiaType:
    """The type of a 2-bit code; code 3, which is reserved, is read as OTHER with a note in `problems`."""
    if code not in _TYPES:
        problems.setdefault(f"type {code} is reserved, taken as other", []).append(number)
    return _TYPES.get(code, MinutiaType.OTHER)


def mean_quality(template: Template) -> int:
    """The quality that a view must state: the mean of the known minutia qualities; 0 if none is known."""
    known = [minutia.quality for minutia in template.minutiae if minutia.quality is not None]
    return round(sum(known) / len(known)) if known else 0


def _ppi(per_cm: int) -> float:
    exact = per_cm * _CM_PER_INCH
    return next((nominal for nominal in _NOMINAL_PPI if round(nominal / _CM_PER_INCH) == per_cm), exact)


def _read_minutiae(
    octets: Octets, reading: Reading, count: int, layout: Layout, length: int
) -> Sequence[Minutia]:
    """`count` minutia records.

    offset  length  field
    0       2       2 bits type (00 other, 01 ridge ending, 10 ridge bifurcation), 14 bits x
    2       2       2 bits reserved, 14 bits y
    4       1       angle
    5       1       quality, if `length` is 6
    """
    minutiae = []
    problems: dict[str, list[int]] = {}
    for number in range(1, count + 1):
        record = octets.raw(length, f"minutia {number}")
        type_and_x, y, code = struct.unpack_from(">HHB", record)
        degrees = layout.angle.degrees(code)
        if degrees is None:
            last = layout.angle.count - 1
            problems.setdefault(f"angle code {code} is not in 0 to {last}, dropped", []).append(number)
            continue
        kind = minutia_type(type_and_x >> 14, number, problems)
        quality = None
        if length > 5 and record[5] not in layout.quality.not_reported:
            quality = known_quality(record[5], number, problems)
        minutiae.append(Minutia(type_and_x & MAX_COORDINATE, y & MAX_COORDINATE, degrees, kind, quality))
    reading.warn_of("minutia", problems)
    return minutiae


def _read_extended(octets: Octets, reading: Reading, layout: Layout) -> Singular:
    """Cores and deltas of the extended data; other areas are skipped. What is damaged gives a warning."""
    cores: list[Point] = []
    deltas: list[Point] = []
    if not octets.left:
        reading.warn("the length of the extended data is missing: no cores and deltas are read")
        return cores, deltas
    length = octets.number(min(2, octets.left), "extended data length")
    if length > octets.left:
        reading.warn(
            f"extended data at offset {octets.offset} needs {length} bytes but {octets.left} are left: "
            "the file is truncated or damaged, only the minutiae are read"
        )
        octets.raw(octets.left, "extended data")
        return cores, deltas
    try:
        for kind, area in _areas(octets.part(length, "extended data")):
            if kind == CORE_DELTA_AREA:
                more_cores, more_deltas = layout.read_singular(area)
                cores += more_cores
                deltas += more_deltas
    except BadInput as error:
        reading.warn(f"extended data is damaged ({error}): no cores and deltas are read")
        return [], []
    return cores, deltas


def _areas(areas: Octets) -> Iterator[tuple[int, Octets]]:
    """(type, content) of each extended data area.

    offset  length  field
    0       2       type (0x0001 ridge counts, 0x0002 cores and deltas, 0x0003 zonal quality)
    2       2       length, with these 4 bytes
    4       …       content; then the next area
    """
    while areas.left:
        kind, length = areas.number(2, "extended area type"), areas.number(2, "extended area length")
        if length < 4:
            raise areas.wrong(2, f"extended area length is {length}, with its own header it is 4 or more")
        yield kind, areas.part(length - 4, f"extended area 0x{kind:04x}")


def read_angles(octets: Octets, angle: AngleCode, count: int, name: str) -> tuple[float, ...]:
    """`count` angles of a core or delta; none if one of them is beyond the circle."""
    degrees = [angle.degrees(octets.number(1, f"{name} angle")) for _ in range(count)]
    return tuple(each for each in degrees if each is not None) if None not in degrees else ()
