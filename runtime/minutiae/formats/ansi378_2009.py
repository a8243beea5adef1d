"""ANSI/INCITS 378-2009 finger minutiae records, and those of its Amendment 1 (2010).

Both have the same layout. The standard's own version number "030" is also that of ISO/IEC 19794-2:2011; the
amendment changed it to "035" to tell them apart, and that is what is written.
"""

from __future__ import annotations

import struct

from ..template import Template
from .ansi378_2004 import ANGLE, VENDOR_UNKNOWN, encode_extended, read_singular
from .finger_view import (
    IDENTIFIER,
    KIND,
    Layout,
    QualityCode,
    check_length,
    encode_minutiae,
    encode_ppi,
    encode_size,
    mean_quality,
    read_ppi,
    read_size,
    read_view,
    read_views,
    walk_views,
)
from .format import Format, Reading
from .octets import open_record

VERSION, VERSION_AM1 = b"030\0", b"035\0"
HEADER = 21  # bytes
_VIEW_HEADER = 17  # bytes, with the number of minutiae


def decode(data: bytes, reading: Reading) -> tuple[Template, ...]:
    """A record → one Template for each finger view.

    Record header:
    offset  length  field
    0       4       format identifier "FMR\\0"
    4       4       version number "030\\0", or "035\\0" since Amendment 1
    8       4       length of the record
    12      2, 2    CBEFF product owner, product type
    16      1       capture equipment compliance
    17      2       capture equipment
    19      1       number of finger views
    20      1       reserved

    Finger view:
    0       1       finger position
    1       1       view number
    2       1       impression type
    3       1       finger quality, 0 to 100; 254 not reported, 255 computing it failed
    4       2, 2    quality algorithm: vendor, number
    8       2, 2    image width, height in pixels
    12      2, 2    x, y resolution in pixels per centimeter
    16      1       number of minutiae
    17      6 each  minutiae; qualities as the finger's
    …               extended data
    """
    record = open_record(data, IDENTIFIER, KIND, VERSION, VERSION_AM1)
    length = record.number(4, "record length")
    record.raw(7, "product and capture equipment")
    count = record.number(1, "number of finger views")
    record.raw(1, "reserved byte")

    def view() -> Template:
        record.raw(8, "finger view header")
        size, ppi = read_size(record), read_ppi(record)
        return read_view(record, reading, size, ppi, LAYOUT)

    views = read_views(reading, count, view)
    check_length(reading, data, length, record.offset)
    return views


def encode(template: Template) -> bytes:
    """Template → a record of Amendment 1 with one finger view (product, finger and quality algorithm not
    known, live-scan plain impression)."""
    quality = mean_quality(template) or 254
    view = struct.pack(">BBBBHH", 0, 0, 0, quality, VENDOR_UNKNOWN, 0)
    view += encode_size(template) + encode_ppi(template)
    view += encode_minutiae(template, LAYOUT) + encode_extended(template)
    header = struct.pack(">IHHBHBB", HEADER + len(view), VENDOR_UNKNOWN, 0, 0, 0, 1, 0)
    return IDENTIFIER + VERSION_AM1 + header + view


def fits(data: bytes) -> bool:
    """Whether the finger views of a record in this layout end where the file or the record ends."""
    if len(data) < HEADER:
        return False
    length = int.from_bytes(data[8:12], "big")
    return walk_views(data, HEADER, data[HEADER - 2], _VIEW_HEADER) in (len(data), length)


LAYOUT = Layout(ANGLE, QualityCode(lowest=0, not_reported=(254, 255)), read_singular)
FORMAT = Format(
    "ansi378-2009",
    "ANSI/INCITS 378-2009 finger minutiae record (read also without its Amendment 1)",
    (".ansi2009",),
    decode,
    encode,
)
