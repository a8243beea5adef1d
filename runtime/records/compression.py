"""How records compress pixels: not at all, PNG, JPEG 2000 (lossless, 15:1) or WSQ (15:1)."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..errors import BadInput
from ..images import MAX_PIXELS, Pixels, decode_image
from .image import FingerImage
from .wsq import START_OF_IMAGE, decode_wsq, encode_wsq

RATIO = 15  # that standards allow for exchange at 500 ppi
_INCHES_PER_METER = 1 / 0.0254


@dataclass(frozen=True)
class Compression:
    """A way to store pixels in a record.

    Attributes:
        name: As command lines take it.
        lossless: Whether what is read is what was written.
        encode: An image → its bytes.
    """

    name: str
    lossless: bool
    encode: Callable[[FingerImage], bytes]


def _none(image: FingerImage) -> bytes:
    return image.pixels.tobytes()


def _png(image: FingerImage) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image.pixels).save(stream, "PNG", dpi=(image.ppi, image.ppi))
    return stream.getvalue()


def _jp2(image: FingerImage) -> bytes:
    return _jpeg2000(image, irreversible=True, quality_mode="rates", quality_layers=[RATIO])


def _jp2_lossless(image: FingerImage) -> bytes:
    return _jpeg2000(image, irreversible=False)


def _wsq(image: FingerImage) -> bytes:
    return encode_wsq(image.pixels, image.ppi)


NONE = Compression("none", True, _none)
PNG = Compression("png", True, _png)
JP2 = Compression("jp2", False, _jp2)
JP2_LOSSLESS = Compression("jp2-lossless", True, _jp2_lossless)
WSQ = Compression("wsq", False, _wsq)

COMPRESSIONS: dict[str, Compression] = {each.name: each for each in (NONE, PNG, JP2, JP2_LOSSLESS, WSQ)}
"""Every way to store pixels, by its name."""


def decode_pixels(content: bytes, size: tuple[int, int] | None = None) -> tuple[Pixels, float | None]:
    """Compressed pixels of any kind that is known by its first bytes, WSQ included.

    Args:
        content: An image file.
        size: (width, height) that the record states; None: it states none.

    Returns:
        Pixels uint8 (H, W), colors turned into gray, and the pixels per inch that the file states, if any.

    Raises:
        BadInput: If it cannot be decoded or has another size.
    """
    if content.startswith(START_OF_IMAGE):
        try:
            pixels, ppi = decode_wsq(content)
        except ValueError as error:
            raise BadInput(f"image data: not a readable image ({error})") from None
    else:
        scan = decode_image(content, "image data")
        pixels = np.asarray(scan.image.convert("L"))
        ppi = scan.ppi[0] if scan.ppi else None
    if size is not None and pixels.shape[::-1] != size:
        found = f"{pixels.shape[1]} x {pixels.shape[0]}"
        raise BadInput(f"image data: has {found} pixels, the record says {size[0]} x {size[1]}")
    return pixels, ppi


def raw_pixels(content: bytes, width: int, height: int) -> Pixels:
    """Pixels of 8 bits, row by row → uint8 (height, width).

    Raises:
        BadInput: If there are more or fewer than width x height.
    """
    if not 0 < width * height <= MAX_PIXELS:
        raise BadInput(f"image of {width} x {height} pixels: 1 to {MAX_PIXELS} can be read")
    if len(content) != width * height:
        raise BadInput(
            f"image data has {len(content)} bytes, {width} x {height} pixels need {width * height}"
        )
    return np.frombuffer(content, np.uint8).reshape(height, width)


def _jpeg2000(image: FingerImage, **options: object) -> bytes:
    stream = io.BytesIO()
    # Five levels of decomposition, as the fingerprint profile has them, where the image is large enough.
    levels = max(1, min(6, min(image.pixels.shape).bit_length()))
    Image.fromarray(image.pixels).save(stream, "JPEG2000", num_resolutions=levels, **options)
    return _with_resolution(stream.getvalue(), image.ppi)


def _with_resolution(file: bytes, ppi: float) -> bytes:
    """A JP2 file with a capture resolution box (ISO/IEC 15444-1, I.5.3.7), which Pillow does not write.

    The box states pixels per meter as numerator, denominator and exponent of ten, vertical before horizontal.
    """
    per_meter = round(ppi * _INCHES_PER_METER)
    fraction = (per_meter, 1) if per_meter <= 0xFFFF else (per_meter // 100, 1)
    exponent = 0 if per_meter <= 0xFFFF else 2
    capture = struct.pack(">I4sHHHHBB", 18, b"resc", *fraction, *fraction, exponent, exponent)
    resolution = struct.pack(">I4s", 8 + len(capture), b"res ") + capture
    start = file.index(b"jp2h") - 4
    (length,) = struct.unpack_from(">I", file, start)
    end = start + length
    return (
        file[:start]
        + struct.pack(">I", length + len(resolution))
        + file[start + 4 : end]
        + resolution
        + file[end:]
    )
