"""ANSI/INCITS 378-2004 finger minutiae records.

Version " 20" as in ISO/IEC 19794-2:2005, which descends from it, but with a longer header and angles in steps
of 2°.
"""

from __future__ import annotations

import struct

from ..template import Point, Template
from .finger_view import (
    IDENTIFIER,
    KIND,
    MAX_COORDINATE,
    AngleCode,
    Layout,
    QualityCode,
    Singular,
    coordinates,
    encode_plain_record,
    encode_plain_view,
    encode_singular,
    plain_record_fits,
    read_angles,
    read_plain_record,
)
from .format import Format, Reading
from .octets import Octets, open_record

VERSION = b" 20\0"
HEADER = 26  # bytes, with the short record length
VENDOR_UNKNOWN = 0x0103  # CBEFF product owner that IBIA registers for "vendor unknown"
ANGLE = AngleCode(2.0, 180)
_HAS_ANGLES = 0b01 << 6


def decode(data: bytes, reading: Reading) -> tuple[Template, ...]:
    """A record → one Template for each finger view.

    Record header (6.4):
    offset  length  field
    0       4       format identifier "FMR\\0"
    4       4       version number " 20\\0"
    8       2 or 6  length of the record: 2 bytes, or 2 zero bytes and 4 bytes
    10      2, 2    CBEFF product owner, product type (4 later after the long length, as all else)
    14      2       4 bits capture equipment compliance, 12 bits capture equipment
    16      2, 2    image width, height in pixels
    20      2, 2    x, y resolution in pixels per centimeter
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
    record = open_record(data, IDENTIFIER, KIND, VERSION)
    length = record.number(2, "record length")
    if not length and not _short_header_fits(data):
        length = record.number(4, "long record length")
    record.raw(6, "product and capture equipment")
    return read_plain_record(record, reading, data, length, LAYOUT)


def encode(template: Template) -> bytes:
    """Template → a record of one finger view (product and finger not known, live-scan plain impression).

    The cores' angles are written if every core has one, for the format says once for all whether they have;
    so are the deltas'.
    """
    view = encode_plain_view(template, LAYOUT, encode_extended(template))
    # One view is at most 1,731 bytes, so that the short record length always does.
    header = IDENTIFIER + VERSION + struct.pack(">HHHH", HEADER + len(view), VENDOR_UNKNOWN, 0, 0)
    return encode_plain_record(header, template, view)


def fits(data: bytes) -> bool:
    """Whether the finger views of a record in this layout end where the file or the record ends."""
    return _short_header_fits(data) or plain_record_fits(data, HEADER + 4, 10, 4)


def looks_like(data: bytes) -> bool:
    """Whether a record's length field is more likely of this layout than of ISO/IEC 19794-2:2005.

    26 or more in 2 bytes would be 1.7 MB or more in the 4 bytes of ISO. 2 zero bytes begin the long length
    here, or are the upper half of ISO's, whose lower half is then 24 or more.
    """
    upper, lower = (int.from_bytes(data[start : start + 2], "big") for start in (8, 10))
    return upper >= HEADER or (upper == 0 and lower < 24)


def read_singular(area: Octets) -> Singular:
    """Cores and deltas (6.6; the same in 378-2009).

    offset  length  field
    0       1       2 bits (01: cores with angles), 2 bits reserved, 4 bits number of cores
    1       …       each core:  2 bits reserved, 14 bits x; 2 bits reserved, 14 bits y; angle
    …       1       2 bits (01: deltas with angles), 2 bits reserved, 4 bits number of deltas
    …       …       each delta: 2 bits reserved, 14 bits x; 2 bits reserved, 14 bits y; 3 angles
    """

    def points(name: str, angles: int) -> list[Point]:
        flag_and_count = area.number(1, f"number of {name}s")
        present = angles if flag_and_count & _HAS_ANGLES else 0
        return [point(f"{name} {n}", present) for n in range(1, 1 + (flag_and_count & 0xF))]

    def point(name: str, angles: int) -> Point:
        x, y = (area.number(2, f"{name} {axis}") & MAX_COORDINATE for axis in "xy")
        return Point(x, y, read_angles(area, ANGLE, angles, name))

    return points("core", 1), points("delta", 3)


def encode_extended(template: Template) -> bytes:
    """The extended data of a template: its cores and deltas (the same in 378-2009)."""

    def points(name: str, places: tuple[Point, ...]) -> bytes:
        with_angles = bool(places) and all(place.angles for place in places)
        block = bytearray(((_HAS_ANGLES if with_angles else 0) | len(places),))
        for number, place in enumerate(places, 1):
            block += struct.pack(">HH", *coordinates(template, place, f"{name} {number}"))
            block += bytes(ANGLE.code(angle) for angle in place.angles if with_angles)
        return bytes(block)

    return encode_singular(template, points)


def _short_header_fits(data: bytes) -> bool:
    return plain_record_fits(data, HEADER, 8, 2)


LAYOUT = Layout(ANGLE, QualityCode(lowest=1, not_reported=(0,)), read_singular)
FORMAT = Format(
    "ansi378-2004", "ANSI/INCITS 378-2004 finger minutiae record", (".ansi", ".an378"), decode, encode
)
