"""ISO/IEC 19794-2:2011 finger minutiae records (version "030"). Angles are bytes of 360/256 = 1.40625°."""

from __future__ import annotations

import struct

from ..template import Template
from .finger_view import (
    IDENTIFIER,
    KIND,
    Layout,
    QualityCode,
    check_length,
    encode_minutiae,
    encode_ppi,
    encode_size,
    read_ppi,
    read_size,
    read_view,
    read_views,
)
from .format import Format, Reading
from .iso19794_2_2005 import ANGLE, encode_extended, read_singular
from .octets import Octets, open_record, open_representation

VERSION = b"030\0"
HEADER = 15  # bytes
_SHORTEST_VIEW = 34  # bytes: no quality blocks, no certifications, no minutiae, no extended data
_SHORTEST_MINUTIA = 5
_AT_RIDGE_ENDS = 1


def decode(data: bytes, reading: Reading) -> tuple[Template, ...]:
    """A record → one Template for each finger view ("representation").

    General header (clause 8):
    offset  length  field
    0       4       format identifier "FMR\\0"
    4       4       version number "030\\0"
    8       4       length of the record
    12      2       number of representations
    14      1       certification flag: 1 if every representation has a block of certifications

    Representation (clause 8), after what `open_representation` reads:
            1       finger position
            1       representation number
            2, 2    x, y resolution in pixels per centimeter
            1       impression type
            2, 2    image width, height in pixels
            1       4 bits length of a minutia (5: without quality, or 6), 4 bits ridge ending type
            1       number of minutiae
            …       minutiae; quality 254: not reported, 255: computing it failed
            …       extended data
    """
    record = open_record(data, IDENTIFIER, KIND, VERSION)
    length = record.number(4, "record length")
    count = record.number(2, "number of representations")
    certified = record.number(1, "certification flag")
    views = read_views(reading, count, lambda: _view(record, bool(certified), reading))
    check_length(reading, data, length, record.offset)
    return views


def encode(template: Template) -> bytes:
    """Template → a record of one representation (finger not known, live-scan plain impression).

    The ridge ending type is 1: our endings lie at the ends of ridges, not where the valley's skeleton forks.
    """
    view = b"\xff" * 9 + struct.pack(">BHHB", 0, 0, 0, 0)  # no time, no device, no quality blocks
    view += struct.pack(">BB", 0, 0) + encode_ppi(template) + struct.pack(">B", 0) + encode_size(template)
    view += struct.pack(">B", (_SHORTEST_MINUTIA + 1) << 4 | _AT_RIDGE_ENDS)
    view += encode_minutiae(template, LAYOUT) + encode_extended(template)
    length = HEADER + 4 + len(view)
    return IDENTIFIER + VERSION + struct.pack(">IHBI", length, 1, 0, 4 + len(view)) + view


def fits(data: bytes) -> bool:
    """Whether the representations of a record in this layout end where the file or the record ends."""
    at = HEADER
    for _ in range(int.from_bytes(data[12:14], "big")):
        length = int.from_bytes(data[at : at + 4], "big")
        if length < _SHORTEST_VIEW or at + length > len(data):
            return False
        at += length
    return at in (len(data), int.from_bytes(data[8:12], "big"))


def looks_like(data: bytes) -> bool:
    """Whether the first representation's length is possible; ANSI/INCITS 378-2009 has other fields there."""
    return _SHORTEST_VIEW <= int.from_bytes(data[HEADER : HEADER + 4], "big") <= len(data) + 255


def _view(record: Octets, certified: bool, reading: Reading) -> Template:
    start = record.offset
    length = open_representation(record, certified)
    record.raw(2, "finger position and representation number")
    ppi = read_ppi(record)
    record.raw(1, "impression type")
    size = read_size(record)
    minutia_length = record.number(1, "minutia length and ridge ending type") >> 4
    if minutia_length not in (_SHORTEST_MINUTIA, _SHORTEST_MINUTIA + 1):
        raise record.wrong(1, f"minutia length is {minutia_length}: 5 (without quality) and 6 are known")
    template = read_view(record, reading, size, ppi, LAYOUT, minutia_length)
    read = record.offset - start
    if 0 <= length - read <= record.left:
        record.raw(length - read, "end of the representation")
    else:
        reading.warn(f"representation length is {length}, its content takes {read}: the length is ignored")
    return template


LAYOUT = Layout(ANGLE, QualityCode(lowest=0, not_reported=(254, 255)), read_singular)
FORMAT = Format(
    "iso19794-2-2011",
    "ISO/IEC 19794-2:2011 finger minutiae record",
    (".fmr2011",),
    decode,
    encode,
)
