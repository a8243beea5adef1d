"""Image files: PNG, TIFF, BMP, PGM, JPEG 2000, WSQ and raw pixels."""

from __future__ import annotations

import io
from collections.abc import Callable

from PIL import Image

from ..errors import BadInput
from ..images import encode_image, read_text
from .compression import JP2, JP2_LOSSLESS, WSQ, Compression, decode_pixels, raw_pixels
from .format import Format, the_image
from .image import Content, Details, FingerImage, Reading


def _decode(data: bytes, reading: Reading) -> Content:
    pixels, ppi = decode_pixels(data)
    stated = ppi or 0.0
    return Content((FingerImage(pixels, reading.resolution(stated, stated), provenance=read_text(data)),))


def _decode_raw(data: bytes, reading: Reading) -> Content:
    if reading.size is None:
        raise BadInput("raw pixels do not say their size: give it with --image-size WIDTH HEIGHT")
    return Content((FingerImage(raw_pixels(data, *reading.size), reading.resolution(0, 0)),))


def _written_as(suffix: str) -> Callable[[Content, Details], bytes]:
    def encode(content: Content, details: Details) -> bytes:
        image = the_image(content)
        return encode_image(image.pixels, suffix, image.ppi, image.provenance)

    return encode


def _compressed_by(compression: Compression) -> Callable[[Content, Details], bytes]:
    return lambda content, details: compression.encode(the_image(content))


def _encode_pgm(content: Content, details: Details) -> bytes:
    return pgm(the_image(content))


def _encode_raw(content: Content, details: Details) -> bytes:
    return the_image(content).pixels.tobytes()


def pgm(image: FingerImage) -> bytes:
    """A binary PGM file (Netpbm, P5)."""
    stream = io.BytesIO()
    Image.fromarray(image.pixels).save(stream, "PPM")
    return stream.getvalue()


PNG_FILE = Format("png", "PNG", (".png",), _decode, _written_as(".png"), states_provenance=True)
TIFF_FILE = Format("tiff", "TIFF", (".tiff", ".tif"), _decode, _written_as(".tiff"), states_provenance=True)
BMP_FILE = Format("bmp", "BMP", (".bmp",), _decode, _written_as(".bmp"))
PGM_FILE = Format("pgm", "PGM", (".pgm",), _decode, _encode_pgm, states_resolution=False)
RAW_FILE = Format("raw", "raw pixels", (".raw",), _decode_raw, _encode_raw, states_resolution=False)
JP2_FILE = Format("jp2", "JPEG 2000 at 15:1", (".jp2",), _decode, _compressed_by(JP2))
JP2_LOSSLESS_FILE = Format(
    "jp2-lossless", "JPEG 2000 without loss", (".jp2",), _decode, _compressed_by(JP2_LOSSLESS)
)
WSQ_FILE = Format("wsq", "WSQ at 15:1", (".wsq",), _decode, _compressed_by(WSQ))
