"""ANSI/INCITS 378-2004 finger minutiae records.

Version " 20" as in ISO/IEC 19794-2:2005, which descends from it, but a longer header and angles of 2° a code.
"""

from __future__ import annotations

import struct

from ..template import Point, Template
from .finger_view import (
    IDENTIFIER,
    MAX_COORDINATE,
    AngleCode,
    QualityCode,
    checked_length,
    coordinates,
    encode_minutiae,
    encode_ppi,
    encode_singular,
    encode_size,
    mean_quality,
    open_record,
    read_ppi,
    read_size,
    read_view,
)
from .format import Defaults, Format
from .octets import Octets

VERSION = b" 20\0"
HEADER = 26  # bytes, with the short record length

_ANGLE = AngleCode(2.0, 180)
_QUALITY = QualityCode(lowest=1, not_reported=0)
_HAS_ANGLES = 0b01 << 6
_VENDOR_UNKNOWN = 0x0103  # CBEFF product owner that IBIA registers for "vendor unknown"


def decode(data: bytes, defaults: Defaults) -> tuple[Template, ...]:
    """A record → a Template a finger view.

    Record header (6.4):
    offset  length  field
    0       4       format identifier "FMR\\0"
    4       4       version number " 20\\0"
    8       2 or 6  length of the record: 2 bytes, or 2 zero bytes and 4 bytes
    10      2, 2    CBEFF product owner, product type (4 later after the long length, as all else)
    14      2       4 bits capture equipment compliance, 12 bits capture equipment
    16      2, 2    image width, height in pixels
    20      2, 2    x, y resolution in pixels per centimetre
    24      1       number of finger views
    25      1       reserved

    Finger view (6.5, 6.6):
    0       1       finger position
    1       1       4 bits view number, 4 bits impression type
    2       1       finger quality, 0 to 100
    3       1       number of minutiae
    4       6 each  minutiae; quality 0: not reported
    …               extended data
    """
    octets = open_record(data, VERSION)
    length, field_length = octets.number(2, "record length"), 2
    if not length:
        length, field_length = octets.number(4, "long record length"), 4
    record = checked_length(octets, length, field_length)
    record.raw(6, "product and capture equipment")
    width, height = read_size(record, "width", defaults.width), read_size(record, "height", defaults.height)
    size = width, height, read_ppi(record, defaults.ppi)
    views = record.number(1, "number of finger views")
    record.raw(1, "reserved byte")
    return tuple(_view(record, size) for _ in range(views))


def _view(record: Octets, size: tuple[int, int, float]) -> Template:
    record.raw(3, "finger view header")
    return read_view(record, size, record.number(1, "number of minutiae"), _ANGLE, _QUALITY, _read_singular)


def encode(template: Template) -> bytes:
    """Template → a record of one finger view (product and finger not known, live-scan plain impression).

    The cores' angles are written if every core has one, for the format tells it once for all; so are the
    deltas'.
    """
    view = struct.pack(">BBB", 0, 0, mean_quality(template))
    view += encode_minutiae(template, _ANGLE, _QUALITY) + _encode_extended(template)
    # One view is at most 1,731 bytes, so that the short record length always does.
    header = IDENTIFIER + VERSION + struct.pack(">HHHH", HEADER + len(view), _VENDOR_UNKNOWN, 0, 0)
    return header + encode_size(template) + encode_ppi(template) + struct.pack(">BB", 1, 0) + view


def looks_like(data: bytes) -> bool:
    """Whether a record of version " 20" is of this format and not of ISO/IEC 19794-2:2005.

    The record length tells: 26 or more in 2 bytes would be 1.7 MB or more in the 4 bytes of ISO. 2 zero bytes
    begin the long length here, or are the upper half of ISO's, whose lower half is then 24 or more.
    """
    upper, lower = (int.from_bytes(data[start : start + 2], "big") for start in (8, 10))
    return upper >= HEADER or (upper == 0 and lower < 24)


def _read_singular(area: Octets) -> tuple[list[Point], list[Point]]:
    """Cores and deltas (6.6).

    offset  length  field
    0       1       2 bits (01: cores with angles), 2 bits reserved, 4 bits number of cores
    1       …       each core:  2 bits reserved, 14 bits x; 2 bits reserved, 14 bits y; angle
    …       1       2 bits (01: deltas with angles), 2 bits reserved, 4 bits number of deltas
    …       …       each delta: 2 bits reserved, 14 bits x; 2 bits reserved, 14 bits y; 3 angles
    """

    def points(name: str, angles: int) -> list[Point]:
        flag_and_count = area.number(1, f"number of {name}s")
        told = angles if flag_and_count & _HAS_ANGLES else 0
        return [point(f"{name} {n}", told) for n in range(1, 1 + (flag_and_count & 0xF))]

    def point(name: str, told: int) -> Point:
        x, y = (area.number(2, f"{name} {axis}") & MAX_COORDINATE for axis in "xy")
        return Point(x, y, tuple(_ANGLE.read(area, f"{name} angle") for _ in range(told)))

    return points("core", 1), points("delta", 3)


def _encode_extended(template: Template) -> bytes:
    def points(name: str, places: tuple[Point, ...]) -> bytes:
        with_angles = bool(places) and all(place.angles for place in places)
        block = bytearray(((_HAS_ANGLES if with_angles else 0) | len(places),))
        for number, place in enumerate(places, 1):
            block += struct.pack(">HH", *coordinates(template, place, f"{name} {number}"))
            block += bytes(_ANGLE.code(angle) for angle in place.angles if with_angles)
        return bytes(block)

    return encode_singular(template, points)


FORMAT = Format(
    "ansi378-2004", "ANSI/INCITS 378-2004 finger minutiae record", (".ansi", ".an378"), decode, encode
)
