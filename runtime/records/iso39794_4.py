"""ISO/IEC 39794-4:2019 finger image data blocks in the tagged binary encoding (ASN.1, distinguished rules).

What is read and written, by the tags of the standard's module (implicit tagging; in brackets the tag):

    FingerImageDataBlock ::= [APPLICATION 4] SEQUENCE {
        versionBlock [0], representationBlocks [1] SEQUENCE OF RepresentationBlock }
    VersionBlock ::= SEQUENCE { generation [0] INTEGER, year [1] INTEGER }
    RepresentationBlock ::= SEQUENCE {
        position [0], impression [1], imageDataFormat [2]     each a CHOICE: code [0], or an extension [1]
        imageData [3] OCTET STRING
        captureDateTimeBlock [4] SEQUENCE { year [0], month [1], day [2], hour [3], minute [4], second [5] }
        spatialSamplingRateBlock [7] SEQUENCE { samplesPerUnit [0] INTEGER, unitDimension [1] 0 inch, 1 cm }
        imageHasBeenLossilyCompressed [11] BOOLEAN
        … }

Other optional blocks are skipped.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import BadInput
from ..minutiae.formats.octets import Octets
from .compression import JP2, JP2_LOSSLESS, NONE, PNG, WSQ, Compression, decode_pixels
from .format import Format, compression_of
from .image import (
    INK_PLAIN,
    INK_ROLLED,
    LIVE_PLAIN,
    LIVE_ROLLED,
    PER_CM,
    PER_INCH,
    POSITIONS,
    Content,
    Details,
    FingerImage,
    Reading,
    check_code,
    field_ppi,
)
from .image_files import pgm

GENERATION, YEAR = 3, 2019
DATA_BLOCK = 0x64  # application 4, constructed
_CONSTRUCTED, _CONTEXT = 0x20, 0x80
_SEQUENCE = 0x30
CODES = {NONE.name: 0, WSQ.name: 1, JP2.name: 2, JP2_LOSSLESS.name: 3, PNG.name: 4}  # imageDataFormat
_PLAIN_CONTACT, _ROLLED_CONTACT, _UNKNOWN_IMPRESSION = 0, 1, 29
_IMPRESSIONS = (0, 1, 4, 8, 24, 25, 28, 29, 41, 42)
_FROM_INK = {INK_PLAIN: _PLAIN_CONTACT, INK_ROLLED: _ROLLED_CONTACT}
_TO_IMPRESSION_TYPE = {_PLAIN_CONTACT: LIVE_PLAIN, _ROLLED_CONTACT: LIVE_ROLLED, 41: 24, 42: 25}


def decode(data: bytes, reading: Reading) -> Content:
    """A data block → its images."""
    tag, block = _element(Octets(data), "data block")
    if tag != DATA_BLOCK:
        raise BadInput(
            f"offset 0: tag {tag:#04x} is not {DATA_BLOCK:#04x}: the file is not a finger image data block"
        )
    fields = _fields(block)
    if 1 not in fields:
        raise BadInput("the data block has no representations")
    images = tuple(_representation(_fields(each), reading) for each in _sequences(fields[1]))
    if not images:
        raise BadInput("the data block holds no image")
    return Content(images)


def encode(content: Content, details: Details) -> bytes:
    """Images → a data block."""
    compression = compression_of(details, COMPRESSIONS)
    blocks = b"".join(
        _tlv(_SEQUENCE, _representation_block(image, compression, details)) for image in content.images
    )
    version = _integer(0, GENERATION) + _integer(1, YEAR)
    return _tlv(DATA_BLOCK, _block(0, version) + _block(1, blocks))


def _representation_block(image: FingerImage, compression: Compression, details: Details) -> bytes:
    position = check_code("finger position", image.position, POSITIONS)
    impression = _FROM_INK.get(image.impression_type, image.impression_type)
    if impression not in _IMPRESSIONS:
        impression = _UNKNOWN_IMPRESSION
    # Pixels that are not compressed are a PGM file here, not bare bytes.
    pixels = pgm(image) if compression is NONE else compression.encode(image)
    when = details.captured
    time = (when.year, when.month, when.day, when.hour, when.minute, when.second)
    return b"".join(
        [
            _block(0, _integer(0, position)),
            _block(1, _integer(0, impression)),
            _block(2, _integer(0, CODES[compression.name])),
            _tlv(_CONTEXT | 3, pixels),
            _block(4, b"".join(_integer(tag, part) for tag, part in enumerate(time))),
            _block(7, _integer(0, field_ppi(image)) + _integer(1, 0)),
            _tlv(_CONTEXT | 11, b"\0" if compression.lossless else b"\xff"),
        ]
    )


def _representation(fields: dict[int, Octets], reading: Reading) -> FingerImage:
    for tag, name in ((0, "position"), (1, "impression"), (2, "image data format"), (3, "image data")):
        if tag not in fields:
            raise BadInput(f"a representation has no {name} (tag {tag})")
    position, impression = _code(fields[0], "position"), _code(fields[1], "impression")
    content = fields[3].raw(fields[3].left, "image data")
    pixels, stated = decode_pixels(content)
    across, unit = stated or 0.0, PER_INCH
    if 7 in fields:
        rate = _fields(fields[7])
        across = float(_number(rate[0], "samples per unit")) if 0 in rate else 0.0
        unit = PER_CM if 1 in rate and _number(rate[1], "unit") == 1 else PER_INCH
    kind = _TO_IMPRESSION_TYPE.get(impression, impression)
    return FingerImage(pixels, reading.resolution(across, across, unit), position, kind)


def _element(octets: Octets, name: str) -> tuple[int, Octets]:
    """The next element: its tag, which has one byte in this standard, and its content."""
    tag = octets.number(1, f"tag of {name}")
    length = octets.number(1, f"length of {name}")
    if length == 0x80:
        raise octets.wrong(1, f"length of {name} is indefinite: encode it by distinguished rules (DER)")
    if length > 0x84:
        raise octets.wrong(1, f"length of {name} has {length & 0x7F} bytes: up to 4 are read")
    if length > 0x80:
        length = octets.number(length & 0x7F, f"length of {name}")
    return tag, octets.part(length, name)


def _fields(octets: Octets) -> dict[int, Octets]:
    """The elements of a sequence by their context tags; the first of each."""
    found: dict[int, Octets] = {}
    while octets.left:
        tag, content = _element(octets, "element")
        found.setdefault(tag & 0x1F, content)
    return found


def _sequences(octets: Octets) -> Iterator[Octets]:
    while octets.left:
        yield _element(octets, "representation")[1]


def _code(octets: Octets, name: str) -> int:
    """The code of a CHOICE of a code and an extension; the fallback of an extension."""
    fields = _fields(octets)
    if 0 in fields:
        return _number(fields[0], name)
    if 1 in fields and 0 in (extension := _fields(fields[1])):
        return _number(extension[0], name)
    raise BadInput(f"{name} has no code")


def _number(octets: Octets, name: str) -> int:
    if not 1 <= octets.left <= 4:
        raise BadInput(f"{name} at offset {octets.offset} has {octets.left} bytes, not 1 to 4")
    return octets.number(octets.left, name)


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def _block(tag: int, content: bytes) -> bytes:
    return _tlv(_CONTEXT | _CONSTRUCTED | tag, content)


def _integer(tag: int, value: int) -> bytes:
    return _tlv(
        _CONTEXT | tag, value.to_bytes(value.bit_length() // 8 + 1, "big")
    )  # the first bit is the sign


COMPRESSIONS = tuple(CODES)
FORMAT = Format(
    "iso39794-4",
    "ISO/IEC 39794-4:2019 finger image data block",
    (".fid",),
    decode,
    encode,
    COMPRESSIONS,
    several=True,
)
