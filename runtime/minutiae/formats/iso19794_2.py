"""ISO/IEC 19794-2 finger minutiae records of 2005 (version " 20") and of 2011 (version "030").

Angles are bytes of 360/256 = 1.40625°. The on-card formats of the standard, which have no header, are not
read.
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

VERSION_2005, VERSION_2011 = b" 20\0", b"030\0"
HEADER_2005, HEADER_2011 = 24, 15  # bytes

_ANGLE = AngleCode(360 / 256, 256)
_QUALITY_2005 = QualityCode(lowest=1, not_reported=0)
# 254: not reported; 255: an attempt to compute it failed.
_QUALITY_2011 = QualityCode(lowest=0, not_reported=254, also_not_reported=(255,))
_HAS_ANGLES = 0b01 << 14
_SHORTEST_MINUTIA = 5


def decode_2005(data: bytes, defaults: Defaults) -> tuple[Template, ...]:
    """A 2005 record → a Template a finger view.

    Record header (7.3):
    offset  length  field
    0       4       format identifier "FMR\\0"
    4       4       version number " 20\\0"
    8       4       length of the record
    12      2       4 bits capture equipment certification, 12 bits capture device type
    14      2, 2    image width, height in pixels
    18      2, 2    x, y resolution in pixels per centimetre
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
    octets = open_record(data, VERSION_2005)
    record = checked_length(octets, octets.number(4, "record length"), 4)
    record.raw(2, "capture device")
    width, height = read_size(record, "width", defaults.width), read_size(record, "height", defaults.height)
    size = width, height, read_ppi(record, defaults.ppi)
    views = record.number(1, "number of finger views")
    record.raw(1, "reserved byte")
    return tuple(_view_2005(record, size) for _ in range(views))


def _view_2005(record: Octets, size: tuple[int, int, float]) -> Template:
    record.raw(3, "finger view header")
    return read_view(
        record, size, record.number(1, "number of minutiae"), _ANGLE, _QUALITY_2005, _read_singular
    )


def encode_2005(template: Template) -> bytes:
    """Template → a 2005 record of one finger view (finger not known, live-scan plain impression)."""
    view = struct.pack(">BBB", 0, 0, mean_quality(template))
    view += encode_minutiae(template, _ANGLE, _QUALITY_2005) + _encode_extended(template)
    length = HEADER_2005 + len(view)
    header = IDENTIFIER + VERSION_2005 + struct.pack(">IH", length, 0)
    return header + encode_size(template) + encode_ppi(template) + struct.pack(">BB", 1, 0) + view


def decode_2011(data: bytes, defaults: Defaults) -> tuple[Template, ...]:
    """A 2011 record → a Template a finger view ("representation").

    General header (clause 8):
    offset  length  field
    0       4       format identifier "FMR\\0"
    4       4       version number "030\\0"
    8       4       length of the record
    12      2       number of representations
    14      1       certification flag: 1 if every representation has a block of certifications

    Representation (clause 8):
    0       4       its length, with these 4 bytes
    4       9       capture date and time
    13      1       capture device technology
    14      2, 2    capture device vendor, type
    18      1       number of quality blocks
    19      5 each  quality, vendor (2), algorithm (2)
    then    1       number of certifications, only if flagged
            3 each  authority (2), scheme
            1       finger position
            1       representation number
            2, 2    x, y resolution in pixels per centimetre
            1       impression type
            2, 2    image width, height in pixels
            1       4 bits length of a minutia (5: without quality, or 6), 4 bits ridge ending type
            1       number of minutiae
            …       minutiae; quality 254: not reported, 255: computing it failed
            …       extended data
    """
    octets = open_record(data, VERSION_2011)
    record = checked_length(octets, octets.number(4, "record length"), 4)
    views = record.number(2, "number of representations")
    certified = record.number(1, "certification flag")
    return tuple(_view_2011(record, bool(certified), defaults) for _ in range(views))


def _view_2011(record: Octets, certified: bool, defaults: Defaults) -> Template:
    length = record.number(4, "representation length")
    if length < 4:
        raise record.wrong(
            4,
            f"representation length is {length}, with its own 4 bytes it is 4 or more: the file is damaged, "
            "or of ANSI/INCITS 378-2009, which has the same version number and is not read",
        )
    view = record.part(length - 4, "representation")
    view.raw(14, "capture time and device")
    view.raw(5 * view.number(1, "number of quality blocks"), "quality blocks")
    if certified:
        view.raw(3 * view.number(1, "number of certifications"), "certifications")
    view.raw(2, "finger position and representation number")
    ppi = read_ppi(view, defaults.ppi)
    view.raw(1, "impression type")
    width, height = read_size(view, "width", defaults.width), read_size(view, "height", defaults.height)
    minutia_length = view.number(1, "minutia length and ridge ending type") >> 4
    if minutia_length not in (_SHORTEST_MINUTIA, _SHORTEST_MINUTIA + 1):
        raise view.wrong(1, f"minutia length is {minutia_length}: 5 (without quality) and 6 are known")
    quality = _QUALITY_2011 if minutia_length > _SHORTEST_MINUTIA else None
    count = view.number(1, "number of minutiae")
    return read_view(view, (width, height, ppi), count, _ANGLE, quality, _read_singular)


def encode_2011(template: Template) -> bytes:
    """Template → a 2011 record of one representation (finger not known, live-scan plain impression).

    The ridge ending type is 0: endings lie where the valley's skeleton forks.
    """
    view = b"\xff" * 9 + struct.pack(">BHHB", 0, 0, 0, 0)  # no time, no device, no quality blocks
    view += struct.pack(">BB", 0, 0) + encode_ppi(template) + struct.pack(">B", 0) + encode_size(template)
    view += struct.pack(">B", (_SHORTEST_MINUTIA + 1) << 4)
    view += encode_minutiae(template, _ANGLE, _QUALITY_2011) + _encode_extended(template)
    length = HEADER_2011 + 4 + len(view)
    return IDENTIFIER + VERSION_2011 + struct.pack(">IHBI", length, 1, 0, 4 + len(view)) + view


def _read_singular(area: Octets) -> tuple[list[Point], list[Point]]:
    """Cores and deltas (2005: 7.5.3).

    offset  length  field
    0       1       4 bits reserved, 4 bits number of cores
    1       …       each core:  2 bits (01: with angle), 14 bits x; 2 bits reserved, 14 bits y; angle
    …       1       4 bits reserved, 4 bits number of deltas
    …       …       each delta: 2 bits (01: with angles), 14 bits x; 2 bits reserved, 14 bits y; 3 angles
    """

    def points(name: str, angles: int) -> list[Point]:
        return [
            point(f"{name} {n}", angles) for n in range(1, 1 + (area.number(1, f"number of {name}s") & 0xF))
        ]

    def point(name: str, angles: int) -> Point:
        flag_and_x = area.number(2, f"{name} x")
        y = area.number(2, f"{name} y") & MAX_COORDINATE
        told = angles if flag_and_x & _HAS_ANGLES else 0
        return Point(
            flag_and_x & MAX_COORDINATE, y, tuple(_ANGLE.read(area, f"{name} angle") for _ in range(told))
        )

    return points("core", 1), points("delta", 3)


def _encode_extended(template: Template) -> bytes:
    def points(name: str, places: tuple[Point, ...]) -> bytes:
        block = bytearray((len(places),))
        for number, place in enumerate(places, 1):
            x, y = coordinates(template, place, f"{name} {number}")
            block += struct.pack(">HH", (_HAS_ANGLES if place.angles else 0) | x, y)
            block += bytes(_ANGLE.code(angle) for angle in place.angles)
        return bytes(block)

    return encode_singular(template, points)


FORMAT_2005 = Format(
    "iso19794-2-2005",
    "ISO/IEC 19794-2:2005 finger minutiae record",
    (".fmr", ".iso", ".ist"),
    decode_2005,
    encode_2005,
)
FORMAT_2011 = Format(
    "iso19794-2-2011",
    "ISO/IEC 19794-2:2011 finger minutiae record",
    (".fmr2011",),
    decode_2011,
    encode_2011,
)
