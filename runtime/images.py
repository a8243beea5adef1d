"""Images: from network output to files that say their resolution and that they are synthetic."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin, TiffImagePlugin

from .errors import BadInput
from .files import write_atomically

FORMATS = {"png": ".png", "tiff": ".tiff", "bmp": ".bmp"}
"""Image formats and the file extension each is written with."""

BACKGROUND = 255
Pixels = NDArray[np.uint8]
Provenance = Mapping[str, str]


def to_levels(raw: NDArray[np.float32]) -> Pixels:
    """Network output, nominally in [-1, 1] → uint8 of the same shape: the nearest of 256 levels, clipped."""
    return np.rint((raw + 1.0) * 127.5).clip(0, 255).astype(np.uint8)


def to_picture(levels: Pixels) -> Pixels:
    """One image of a network (C, H, W) → (H, W) or, in colour, (H, W, 3)."""
    return levels[0] if len(levels) == 1 else levels.transpose(1, 2, 0)


def resize(image: Pixels, size: int) -> Pixels:
    """An image (H, W) or (H, W, 3) resized to `size` pixels a side.

    Bicubic, by Pillow, which computes 8-bit images in integers: the same bits on every machine.
    """
    if image.shape[:2] == (size, size):
        return image
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC))


def save_image(path: str | Path, image: Pixels, ppi: float, provenance: Provenance) -> None:
    """Write an image (H, W) or (H, W, 3) as PNG, TIFF or BMP, whichever the extension of `path` says.

    The resolution goes into pHYs, the TIFF resolution tags or the BMP header. The provenance goes into PNG
    text chunks or, as JSON, into TIFF's ImageDescription; BMP has no place for text, so a file beside it,
    `PATH.json`, holds it. `BadInput` for another extension.
    """
    path = Path(path)
    content = encode_image(image, path.suffix, ppi, provenance)
    if path.suffix.lower() == ".bmp":
        note = json.dumps(dict(provenance), indent=2) + "\n"
        write_atomically(path.with_name(path.name + ".json"), note.encode())
    write_atomically(path, content)


def read_image(path: str | Path) -> Pixels:
    """The pixels of an image file, uint8 (H, W) if grey, else (H, W, 3); `BadInput` if unreadable."""
    try:
        with Image.open(path) as picture:
            return np.asarray(picture if picture.mode == "L" else picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadInput(f"{path}: not an image that can be read: {error}") from None


def read_provenance(path: str | Path) -> dict[str, str]:
    """The provenance that `save_image` wrote with an image; empty where there is none."""
    path = Path(path)
    try:
        with Image.open(path) as picture:
            if picture.format == "PNG":
                return {str(key): value for key, value in picture.info.items() if isinstance(value, str)}
            note = path.with_name(path.name + ".json")
            text = note.read_text() if picture.format == "BMP" else picture.getexif().get(270, "")
        return dict(json.loads(text))
    except (OSError, ValueError, TypeError, SyntaxError):
        return {}


def encode_image(image: Pixels, suffix: str, ppi: float, provenance: Provenance) -> bytes:
    """The bytes of an image file with extension `suffix`; see `save_image`."""
    stream = io.BytesIO()
    picture = Image.fromarray(image)
    software = f"FingerGen {provenance['fingergen']}"
    match suffix.lower():
        case ".png":
            text = PngImagePlugin.PngInfo()
            for key, value in {"Software": software, **provenance}.items():
                text.add_text(key, value)
            picture.save(stream, "PNG", dpi=(ppi, ppi), pnginfo=text)
        case ".tif" | ".tiff":
            tags = TiffImagePlugin.ImageFileDirectory_v2()
            tags[270] = json.dumps(dict(provenance))  # ImageDescription
            tags[305] = software  # Software
            picture.save(stream, "TIFF", dpi=(ppi, ppi), tiffinfo=tags)
        case ".bmp":
            picture.save(stream, "BMP", dpi=(ppi, ppi))
        case _:
            raise BadInput(f"image format {suffix!r}: write .png, .tiff or .bmp")
    return stream.getvalue()


def contact_sheet(
    images: Sequence[Pixels],
    columns: int | None = None,
    padding: int = 8,
    labels: Sequence[str] | None = None,
) -> Pixels:
    """Images of one shape on a white sheet, row by row, each with its label below.

    columns: None makes the sheet about as wide as high. Returns uint8 (H, W) or (H, W, 3).
    """
    if not images:
        raise BadInput("contact sheet: no images")
    height, width = images[0].shape[:2]
    columns = min(columns or math.ceil(math.sqrt(len(images))), len(images))
    rows = math.ceil(len(images) / columns)
    font_size = _font_size(labels or [], max(10, height // 16), width)
    line = font_size + padding // 2 if labels else 0
    step_x, step_y = width + padding, height + padding + line
    sheet = Image.new(
        "L" if images[0].ndim == 2 else "RGB",
        (columns * step_x + padding, rows * step_y + padding),
        BACKGROUND if images[0].ndim == 2 else (BACKGROUND,) * 3,
    )
    for number, image in enumerate(images):
        x, y = padding + number % columns * step_x, padding + number // columns * step_y
        sheet.paste(Image.fromarray(image), (x, y))
        if labels:
            middle_top = (x + width / 2, y + height + padding // 2)
            font = ImageFont.load_default(font_size)
            ImageDraw.Draw(sheet).text(middle_top, labels[number], font=font, fill=0, anchor="mt")
    return np.asarray(sheet)


def _font_size(labels: Sequence[str], size: int, width: int) -> int:
    """`size` pixels, or as much less as the longest label needs to be `width` wide."""
    font = ImageFont.load_default(size)
    longest = max((font.getlength(label) for label in labels), default=0)
    return size if longest <= width else max(6, int(size * width / longest))
