"""ISO/IEC 19794-2:2005 finger minutiae records (version " 20"). Angles are bytes of 360/256 = 1.40625°."""

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
HEADER = 24  # bytes
ANGLE = AngleCode(360 / 256, 256)
_HAS_ANGLES = 0b01 << 14


def decode(data: bytes, reading: Reading) -> tuple[Template, ...]:
    """A record → one Template for each finger view.

    Record header (7.3):
    offset  length  field
    0       4       format identifier "FMR\\0"
    4       4       version number " 20\\0"
    8       4       length of the record
    12      2       4 bits capture equipment certification, 12 bits capture device type
    14      2, 2    image width, height in pixels
    18      2, 2    x, y resolution in pixels per centimeter
    22      1       number of finger views
    23      1       reserved

    Finger view (7.4, 7.5):
    0       1       finger position
    1       1       4 bits view number, 4 bits impression type
    2       1       finger quality, 0 to 100
    3       1       number of minutiae
    4       6 each  minutiae; quality 0: not reported
    …               extended data
    """
    record = open_record(data, IDENTIFIER, KIND, VERSION)
    length = record.number(4, "record length")
    record.raw(2, "capture device")
    return read_plain_record(record, reading, data, length, LAYOUT)


def encode(template: Template) -> bytes:
    """Template → a record of one finger view (finger not known, live-scan plain impression)."""
    view = encode_plain_view(template, LAYOUT, encode_extended(template))
    header = IDENTIFIER + VERSION + struct.pack(">IH", HEADER + len(view), 0)
    return encode_plain_record(header, template, view)


def fits(data: bytes) -> bool:
    """Whether the finger views of a record in this layout end where the file or the record ends."""
    return plain_record_fits(data, HEADER, 8, 4)


def read_singular(area: Octets) -> Singular:
    """Cores and deltas (7.5.3; the same in 19794-2:2011).

    offset  length  field
    0       1       4 bits reserved, 4 bits number of cores
    1       …       each core:  2 bits (01: with angle), 14 bits x; 2 bits reserved, 14 bits y; angle
    …       1       4 bits reserved, 4 bits number of deltas
    …       …       each delta: 2 bits (01: with angles), 14 bits x; 2 bits reserved, 14 bits y; 3 angles
    """

    def points(name: str, angles: int) -> list[Point]:
        count = area.number(1, f"number of {name}s") & 0xF
        return [point(f"{name} {n}", angles) for n in range(1, 1 + count)]

    def point(name: str, angles: int) -> Point:
        flag_and_x = area.number(2, f"{name} x")
        y = area.number(2, f"{name} y") & MAX_COORDINATE
        present = angles if flag_and_x & _HAS_ANGLES else 0
        return Point(flag_and_x & MAX_COORDINATE, y, read_angles(area, ANGLE, present, name))

    return points("core", 1), points("delta", 3)


def encode_extended(template: Template) -> bytes:
    """The extended data of a template: its cores and deltas (the same in 19794-2:2011)."""

    def points(name: str, places: tuple[Point, ...]) -> bytes:
        block = bytearray((len(places),))
        for number, place in enumerate(places, 1):
            x, y = coordinates(template, place, f"{name} {number}")
            block += struct.pack(">HH", (_HAS_ANGLES if place.angles else 0) | x, y)
            block += bytes(ANGLE.code(angle) for angle in place.angles)
        return bytes(block)

    return encode_singular(template, points)


LAYOUT = Layout(ANGLE, QualityCode(lowest=1, not_reported=(0,)), read_singular)
FORMAT = Format(
    "iso19794-2-2005",
    "ISO/IEC 19794-2:2005 finger minutiae record",
    (".fmr", ".iso", ".ist"),
    decode,
    encode,
)
