"""Fingerprint images in ANSI/NIST-ITL transactions: Type 14 and, of before 2000, Type 4.

Source: ANSI/NIST-ITL 1-2011, 8.4 and 8.14.
"""

from __future__ import annotations

import struct

from ...errors import BadInput
from ...images import Pixels
from ..compression import JP2, JP2_LOSSLESS, NONE, PNG, WSQ, Compression, decode_pixels, raw_pixels
from ..image import (
    IMPRESSION_TYPES,
    PER_INCH,
    POSITIONS,
    Details,
    FingerImage,
    Reading,
    check_code,
    field_ppi,
)
from .transaction import Record

NAMES = {NONE.name: "NONE", WSQ.name: "WSQ20", JP2.name: "JP2", JP2_LOSSLESS.name: "JP2L", PNG.name: "PNG"}
CODES = {NONE.name: 0, WSQ.name: 1, JP2.name: 4, JP2_LOSSLESS.name: 5, PNG.name: 6}  # of binary records
BINARY_PPI = 500  # of every Type-4 image
_IMPRESSION, _SOURCE, _CAPTURED, _WIDTH, _HEIGHT, _UNIT = 3, 4, 5, 6, 7, 8
_ACROSS, _DOWN, _COMPRESSION, _DEPTH, _POSITION, _COMMENT = 9, 10, 11, 12, 13, 20
_LONGEST_COMMENT = 126
_BINARY = ">B6sBHHB"  # impression type, six positions, sampling rate, width, height, compression
_NO_POSITION = 255
_EXACTLY_500 = 0  # code of the sampling rate


def type14(image: FingerImage, compression: Compression, details: Details) -> Record:
    """An image as a Type-14 record."""
    ppi = str(field_ppi(image))
    fields = {
        _IMPRESSION: str(check_code("impression type", image.impression_type, IMPRESSION_TYPES)),
        _SOURCE: details.agency,
        _CAPTURED: f"{details.captured:%Y%m%d}",
        _WIDTH: str(image.width),
        _HEIGHT: str(image.height),
        _UNIT: str(PER_INCH),
        _ACROSS: ppi,
        _DOWN: ppi,
        _COMPRESSION: NAMES[compression.name],
        _DEPTH: "8",
        _POSITION: str(check_code("finger position", image.position, POSITIONS)),
    }
    if image.provenance:
        fields[_COMMENT] = _comment(image)
    return Record(14, {number: [(text,)] for number, text in fields.items()}, compression.encode(image))


def type4(image: FingerImage, compression: Compression, details: Details) -> Record:
    """An image as a Type-4 record; BadInput unless it has 500 ppi."""
    if field_ppi(image) != BINARY_PPI:
        raise BadInput(f"{image.ppi:g} ppi: Type-4 records have {BINARY_PPI} ppi, write Type-14")
    position = check_code("finger position", image.position, POSITIONS)
    header = struct.pack(
        _BINARY,
        check_code("impression type", image.impression_type, IMPRESSION_TYPES),
        bytes((position, *[_NO_POSITION] * 5)),
        _EXACTLY_500,
        image.width,
        image.height,
        CODES[compression.name],
    )
    return Record(4, {}, header + compression.encode(image))


def read_type14(record: Record, reading: Reading) -> FingerImage:
    """The image of a Type-14 record."""
    width, height = record.number(_WIDTH), record.number(_HEIGHT)
    ppi = reading.resolution(record.number(_ACROSS), record.number(_DOWN), record.number(_UNIT))
    if (depth := record.number(_DEPTH, 8)) != 8:
        raise BadInput(f"field 14.012 is {depth} bits of a pixel: 8 are read")
    named = record.text(_COMPRESSION)
    pixels = _pixels(record.data, named == NAMES[NONE.name], width, height)
    return FingerImage(pixels, ppi, record.number(_POSITION, 0), record.number(_IMPRESSION, 0))


def read_type4(record: Record, reading: Reading) -> FingerImage:
    """The image of a Type-4 record.

    offset  length  field, after length and designation character
    0       1       impression type
    1       1 each  six finger positions; 255: none
    7       1       sampling rate: 0 is 500 ppi, 1 that of field 1.011
    8       2, 2    width, height in pixels
    12      1       compression: 0 none, 1 WSQ, 2 and 3 JPEG, 4 JPEG 2000, 5 lossless JPEG 2000, 6 PNG
    13      …       image data
    """
    size = struct.calcsize(_BINARY)
    if len(record.data) < size:
        raise BadInput(f"Type-4 record has {len(record.data)} bytes after its header, {size} are needed")
    impression, positions, _, width, height, code = struct.unpack_from(_BINARY, record.data)
    pixels = _pixels(record.data[size:], code == CODES[NONE.name], width, height)
    position = positions[0] if positions[0] != _NO_POSITION else 0
    return FingerImage(pixels, reading.resolution(BINARY_PPI, BINARY_PPI), position, impression)


def _pixels(data: bytes, bare: bool, width: int, height: int) -> Pixels:
    return raw_pixels(data, width, height) if bare else decode_pixels(data, (width, height))[0]


def _comment(image: FingerImage) -> str:
    """What the image says of its making, as far as the field holds it."""
    text = "; ".join(f"{key} {value}" for key, value in image.provenance.items())
    return "".join(each if each.isprintable() else "?" for each in text)[:_LONGEST_COMMENT]
