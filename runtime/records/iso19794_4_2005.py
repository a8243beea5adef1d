"""ISO/IEC 19794-4:2005 finger image records (version "010"). All numbers are big-endian and unsigned."""

from __future__ import annotations

import struct

from ..errors import BadInput
from ..images import Pixels
from ..minutiae.formats.octets import Octets, open_record
from .compression import JP2, JP2_LOSSLESS, NONE, PNG, WSQ, decode_pixels, raw_pixels
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

IDENTIFIER, KIND = b"FIR\0", "finger image"
VERSION = b"010\0"
HEADER, FINGER_HEADER = 32, 14  # bytes
CODES = {NONE.name: 0, WSQ.name: 2, JP2.name: 4, JP2_LOSSLESS.name: 4, PNG.name: 5}
_PACKED = 1
_NOT_KNOWN = 254
_LEVELS = {125: 10, 250: 20, 500: 31, 750: 35, 1000: 41}  # image acquisition levels by ppi


def decode(data: bytes, reading: Reading) -> Content:
    """A record → its images.

    Record header (clause 7.1):
    offset  length  field
    0       4       format identifier "FIR\\0"
    4       4       version number "010\\0"
    8       6       length of the record
    14      2       capture device
    16      2       image acquisition level
    18      1       number of fingers
    19      1       scale units: 1 pixels per inch, 2 per centimeter
    20      2, 2    scan resolution, x and y
    24      2, 2    image resolution, x and y
    28      1       bits of a pixel
    29      1       compression: 0 none, 1 packed bits, 2 WSQ, 3 JPEG, 4 JPEG 2000, 5 PNG
    30      2       reserved

    Finger image (clause 7.2), once for each view:
    0       4       its length, with this header
    4       1       finger position
    5       1, 1    number of views, number of this view
    7       1       quality
    8       1       impression type
    9       2, 2    width, height in pixels
    13      1       reserved
    14      …       image data
    """
    record = open_record(data, IDENTIFIER, KIND, VERSION)
    record.number(6, "record length")
    record.raw(4, "capture device and acquisition level")
    fingers = record.number(1, "number of fingers")
    unit = record.number(1, "scale units")
    record.raw(4, "scan resolution")
    across, down = record.number(2, "x resolution"), record.number(2, "y resolution")
    check_depth(record)
    code = record.number(1, "compression")
    record.raw(2, "reserved bytes")
    images: list[FingerImage] = []
    while record.left and len(images) < 15 * max(1, fingers):  # views of a finger are numbered 1 to 15
        length = record.number(4, "finger image length")
        position = record.number(1, "finger position")
        record.raw(3, "views and quality")
        impression = record.number(1, "impression type")
        width, height = record.number(2, "width"), record.number(2, "height")
        record.raw(1, "reserved byte")
        pixels = image_data(record.raw(max(0, length - FINGER_HEADER), "image data"), code, width, height)
        images.append(FingerImage(pixels, reading.resolution(across, down, unit), position, impression))
    if not images:
        raise BadInput("the record holds no image")
    return Content(tuple(images))


def encode(content: Content, details: Details) -> bytes:
    """Images → a record; all must have one resolution, for the record states one."""
    compression = compression_of(details, COMPRESSIONS)
    ppi = the_ppi(content.images)
    fingers: dict[int, int] = {}
    body = b""
    for image in content.images:
        position = check_code("finger position", image.position, POSITIONS)
        number = fingers[position] = fingers.get(position, 0) + 1
        views = sum(each.position == position for each in content.images)
        pixels = compression.encode(image)
        body += struct.pack(">I4B", FINGER_HEADER + len(pixels), position, views, number, _NOT_KNOWN)
        impression = check_code("impression type", image.impression_type, IMPRESSION_TYPES)
        body += struct.pack(">BHHB", impression, image.width, image.height, 0) + pixels
    header = IDENTIFIER + VERSION + (HEADER + len(body)).to_bytes(6, "big")
    header += struct.pack(">HHBB", 0, _LEVELS.get(ppi, 0), len(fingers), PER_INCH)
    header += struct.pack(">HHHHBBH", ppi, ppi, ppi, ppi, 8, CODES[compression.name], 0)
    return header + body


def check_depth(record: Octets) -> None:
    """BadInput for pixels of other than 8 bits."""
    if (depth := record.number(1, "bits of a pixel")) != 8:
        raise record.wrong(1, f"pixels have {depth} bits: 8 are read")


def image_data(data: bytes, code: int, width: int, height: int) -> Pixels:
    """The pixels of an image of a finger image record, compressed or not."""
    if code == NONE_CODE:
        return raw_pixels(data, width, height)
    if code == _PACKED:
        raise BadInput("compression 1 (packed bits) is not read, for pixels have 8 bits")
    return decode_pixels(data, (width, height))[0]


def the_ppi(images: tuple[FingerImage, ...]) -> int:
    """The one resolution of images in whole pixels per inch."""
    found = {field_ppi(image) for image in images}
    if len(found) != 1:
        raise BadInput(
            f"images of {' and '.join(map(str, sorted(found)))} ppi: a record states one resolution"
        )
    return found.pop()


NONE_CODE = CODES[NONE.name]
COMPRESSIONS = tuple(CODES)
FORMAT = Format(
    "iso19794-4-2005",
    "ISO/IEC 19794-4:2005 finger image record",
    (".fir2005",),
    decode,
    encode,
    COMPRESSIONS,
    several=True,
)
