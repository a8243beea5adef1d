"""ISO/IEC 19794-4:2011 finger image records (version "020"). All numbers are big-endian and unsigned."""

from __future__ import annotations

import struct

from ..errors import BadInput
from ..minutiae.formats.octets import Octets, open_record, open_representation
from .compression import JP2, JP2_LOSSLESS, NONE, PNG, WSQ
from .format import Format, compression_of
from .image import (
    IMPRESSION_TYPES,
    PER_INCH,
    POSITIONS,
    Content,
    Details,
    FingerImage,
    Reading,
    check_code,
    field_ppi,
)
from .iso19794_4_2005 import IDENTIFIER, KIND, check_depth, image_data

VERSION = b"020\0"
HEADER = 16  # bytes
CODES = {NONE.name: 0, WSQ.name: 2, JP2.name: 4, JP2_LOSSLESS.name: 5, PNG.name: 6}


def decode(data: bytes, reading: Reading) -> Content:
    """A record → its images.

    General header (clause 8.2):
    offset  length  field
    0       4       format identifier "FIR\\0"
    4       4       version number "020\\0"
    8       4       length of the record
    12      2       number of representations
    14      1       certification flag: 1 if every representation has a block of certifications
    15      1       number of finger positions

    Representation (clause 8.3), after what `open_representation` reads:
            1       finger position
            1       representation number
            1       scale units: 1 pixels per inch, 2 per centimeter
            2, 2    capture device sampling rate, x and y
            2, 2    image sampling rate, x and y
            1       bits of a pixel
            1       compression: 0 none, 1 packed bits, 2 WSQ, 3 JPEG, 4, 5 JPEG 2000 (5: lossless), 6 PNG
            1       impression type
            2, 2    width, height in pixels
            4       length of the image data
            …       image data
    """
    record = open_record(data, IDENTIFIER, KIND, VERSION)
    record.number(4, "record length")
    count = record.number(2, "number of representations")
    certified = record.number(1, "certification flag")
    record.raw(1, "number of positions")
    images = tuple(_representation(record, bool(certified), reading) for _ in range(count))
    if not images:
        raise BadInput("the record holds no image")
    return Content(images)


def encode(content: Content, details: Details) -> bytes:
    """Images → a record (device and quality not known)."""
    compression = compression_of(details, COMPRESSIONS)
    when = details.captured
    time = struct.pack(">H5B", when.year, when.month, when.day, when.hour, when.minute, when.second)
    time += struct.pack(">H", when.microsecond // 1000)
    body = b""
    for number, image in enumerate(content.images):
        position = check_code("finger position", image.position, POSITIONS)
        impression = check_code("impression type", image.impression_type, IMPRESSION_TYPES)
        ppi, pixels = field_ppi(image), compression.encode(image)
        fields = time + struct.pack(">BHHB", 0, 0, 0, 0)  # no device, no quality blocks
        fields += struct.pack(">BBB4H", position, min(number, 0xFF), PER_INCH, ppi, ppi, ppi, ppi)
        fields += struct.pack(">BBB", 8, CODES[compression.name], impression)
        fields += struct.pack(">HHI", image.width, image.height, len(pixels))
        body += struct.pack(">I", 4 + len(fields) + len(pixels)) + fields + pixels
    positions = len({image.position for image in content.images})
    header = struct.pack(">IHBB", HEADER + len(body), len(content.images), 0, positions)
    return IDENTIFIER + VERSION + header + body


def _representation(record: Octets, certified: bool, reading: Reading) -> FingerImage:
    start = record.offset
    length = open_representation(record, certified)
    position = record.number(1, "finger position")
    record.raw(1, "representation number")
    unit = record.number(1, "scale units")
    record.raw(4, "capture device sampling rate")
    across, down = record.number(2, "x sampling rate"), record.number(2, "y sampling rate")
    check_depth(record)
    code = record.number(1, "compression")
    impression = record.number(1, "impression type")
    width, height = record.number(2, "width"), record.number(2, "height")
    pixels = image_data(record.raw(record.number(4, "image data length"), "image data"), code, width, height)
    extended = length - (record.offset - start)
    if 0 < extended <= record.left:
        record.raw(extended, "extended data")
    return FingerImage(pixels, reading.resolution(across, down, unit), position, impression)


COMPRESSIONS = tuple(CODES)
FORMAT = Format(
    "iso19794-4-2011",
    "ISO/IEC 19794-4:2011 finger image record",
    (".fir",),
    decode,
    encode,
    COMPRESSIONS,
    several=True,
)
