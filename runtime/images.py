"""Images: from network output to files that say their resolution and that they are synthetic."""

from __future__ import annotations

import io
import json
import math
import struct
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .arguments import check_finite, check_path, check_type
from .errors import BadInput
from .files import write_atomically
from .png import encode_png

if TYPE_CHECKING:  # Pillow is imported where it is used: most programs need little of it
    from PIL import Image

FORMATS = {"png": ".png", "tiff": ".tiff", "bmp": ".bmp"}
"""Image formats and the file extension each is written with."""

READABLE = ("PNG", "TIFF", "BMP", "JPEG", "JPEG2000", "PPM", "WEBP", "GIF")
"""Pillow's names of the image formats that are read; PPM stands for PBM and PGM too."""

MAX_PIXELS = 1 << 26
"""Of an image that is read: 8192 x 8192, a ten-print card at 1000 ppi."""

BACKGROUND = 255
MOST_ON_A_SHEET = 1024  # images
Pixels = NDArray[np.uint8]
Provenance = Mapping[str, str]

warnings.filterwarnings("ignore", module=r"PIL\.")  # a damaged file gets one line, and that is ours

_FIRST_SIDEWAYS = 5  # EXIF orientations 5 to 8 exchange width and height
_TURNS = {  # Pillow's names
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
_ORIENTATION, _BITS_PER_SAMPLE, _PHOTOMETRIC = 274, 258, 262  # EXIF and TIFF tags
# By a TIFF file's version, 42 or BigTIFF's 43: where the offset of the directory is; the formats of that
# number, of an entry up to its value, and of the number of entries.
_TIFF_LAYOUTS = {42: (4, "I", "HHI", "H"), 43: (8, "Q", "HHQ", "Q")}
_TIFF_INTEGERS = {1: "B", 3: "H", 4: "I"}  # by type
_DEEP = ("I", "I;16", "I;16L", "I;16B", "I;16N")  # Pillow's modes of more than 8 bits
_DEPTHS = (8, 10, 12, 14, 16)  # bits of the levels that scanners store in 16


class Scan(NamedTuple):
    """A decoded image.

    Attributes:
        image: Of mode L or RGB, upright.
        ppi: Pixels per inch (x, y) that its file states, if it does.
        highest: Of a file with 16 bits a pixel, the highest level that occurs, of 65535; else None.
    """

    image: Image.Image
    ppi: tuple[float, float] | None
    highest: int | None = None


def to_levels(raw: NDArray[np.float32]) -> Pixels:
    """Network output, nominally in [-1, 1] → uint8 of the same shape: the nearest of 256 levels, clipped."""
    return np.rint((raw + 1.0) * 127.5).clip(0, 255).astype(np.uint8)


def to_picture(levels: Pixels) -> Pixels:
    """One image of a network (C, H, W) → (H, W) or, in color, (H, W, 3)."""
    return levels[0] if len(levels) == 1 else levels.transpose(1, 2, 0)


def resize(image: Pixels, size: int) -> Pixels:
    """An image (H, W) or (H, W, 3) resized to `size` pixels per side.

    Bicubic, by Pillow, which computes 8-bit images in integers: the same bits on every machine.
    """
    if image.shape[:2] == (size, size):
        return image
    from PIL import Image

    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC))


def middle_corner(size: tuple[int, int], window: tuple[int, int]) -> tuple[int, int]:
    """Pixel (x, y) of an image of `size` (width, height) where a window about its middle begins; negative
    where the window is larger."""
    return (size[0] - window[0]) // 2, (size[1] - window[1]) // 2


def crop_or_pad(image: Pixels, width: int, height: int) -> Pixels:
    """A window of width x height pixels about the middle of an image (H, W) or (H, W, 3).

    What lies beyond the image gets the median of its border, which is the background of most prints.
    """
    left, top = middle_corner((image.shape[1], image.shape[0]), (width, height))
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    window = np.empty((height, width, *image.shape[2:]), np.uint8)
    window[:] = np.median(border, axis=0).astype(np.uint8)
    x, y = max(left, 0), max(top, 0)
    part = image[y : top + height, x : left + width]
    window[y - top : y - top + part.shape[0], x - left : x - left + part.shape[1]] = part
    return window


def save_image(
    path: str | Path, image: Pixels, ppi: float, provenance: Provenance, new: bool = False
) -> None:
    """Write an image (H, W) or (H, W, 3) as PNG, TIFF or BMP, whichever the extension of `path` says.

    The resolution goes into pHYs, the TIFF resolution tags or the BMP header. The provenance goes into PNG
    text chunks or, as JSON, into TIFF's ImageDescription; BMP has no place for text, so a file beside it,
    `PATH.json`, holds it. `BadInput` for another extension. `new`: `FileExistsError` if `path` exists.
    """
    check_path(path)
    path = Path(path)
    content = encode_image(image, path.suffix, ppi, provenance)
    if path.suffix.lower() == ".bmp":
        note = json.dumps(dict(provenance), indent=2) + "\n"
        write_atomically(files_of(path)[1], note.encode(), new)
    write_atomically(path, content, new)


def files_of(path: Path) -> list[Path]:
    """The files that `save_image` writes for `path`."""
    return [path, path.with_name(f"{path.name}.json")] if path.suffix.lower() == ".bmp" else [path]


def read_image(path: str | Path) -> Pixels:
    """The pixels of an image file, uint8 (H, W) if gray, else (H, W, 3), as `decode_image` reads them.

    Raises:
        BadInput: Names the file, if it cannot be read.
    """
    check_path(path)
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); give an image") from None
    return np.asarray(decode_image(content, path).image)


def is_whole(path: str | Path) -> bool:
    """Whether an image file can be read to its end and, of a PNG, all checksums are right."""
    try:
        content = Path(path).read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of damaged tags
            with open_picture(io.BytesIO(content)) as picture:
                picture.verify()
            decode_image(content, path)
    except Exception:  # damaged headers make Pillow raise almost any class
        return False
    return True


def open_picture(stream: BinaryIO) -> Image.Image:
    """Open an image of one of `READABLE`, without reading its pixels.

    The only place where FingerGen lets Pillow read: its other formats include ones that start programs
    (PostScript) and ones that hold no scan. Raises whatever Pillow raises, and ValueError for an image of
    more than `MAX_PIXELS`.
    """
    from PIL import Image

    picture = Image.open(stream, formats=READABLE)
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels, more than {MAX_PIXELS >> 20} Mi can be read")
    return picture


def decode_image(content: bytes, name: object) -> Scan:
    """Decode an image file to 8 bits, gray or RGB, upright.

    Its EXIF or TIFF orientation is applied, transparent parts become white, and 16 bits are reduced to 8.
    Where a 16-bit file uses fewer bits, as scanners of 12 bits write them, its levels are scaled by these. Of
    TIFF, both black-is-zero and white-is-zero are read at any depth.

    Args:
        content: Of a PNG, TIFF, BMP, JPEG, JPEG 2000, PBM, PGM, PPM, WebP or GIF file with one image.
        name: Of the file, for messages.

    Raises:
        BadInput: Names the file, if it cannot be decoded.
    """
    from PIL import Image

    try:
        if not content:
            raise ValueError("it is empty")
        content, inverted = _black_is_zero(content)
        with open_picture(io.BytesIO(content)) as picture:
            frames = getattr(picture, "n_frames", 1)
            if frames > 1 and picture.format in ("TIFF", "GIF", "WEBP"):
                raise ValueError(f"it holds {frames} images: save each as a file")
            stored = _orientation(picture)
            ppi = stated_ppi(picture)
            picture.load()
            if (turn := _TURNS.get(_orientation(picture))) is not None:  # Pillow turns TIFF files itself
                upright = picture.transpose(Image.Transpose[turn])
            else:
                upright = picture
            if ppi and stored >= _FIRST_SIDEWAYS:
                ppi = ppi[::-1]
            highest = int(np.asarray(upright).max()) if upright.mode in _DEEP else None
            return Scan(_to_8_bits(upright, inverted, picture.has_transparency_data), ppi, highest)
    except Exception as error:  # a damaged file makes Pillow's decoders raise nearly anything
        reason = str(error).replace(repr(content), "").splitlines() or [type(error).__name__]
        raise BadInput(
            f"{name}: not a readable image ({_reason(reason[0], content)}); repair or remove it"
        ) from error


def stated_ppi(picture: Image.Image) -> tuple[float, float] | None:
    """The pixels per inch (x, y) that Pillow found in pHYs, the TIFF tags, JFIF or the BMP header, if any.

    It says 0 or 1 where a TIFF or BMP says nothing.
    """
    found = picture.info.get("dpi")
    if not found or not min(found) > 1 or not all(map(math.isfinite, found)):
        return None
    return float(found[0]), float(found[1])


def read_provenance(path: str | Path) -> dict[str, str]:
    """The provenance that `save_image` wrote with an image; empty where there is none."""
    path = Path(path)
    try:
        with path.open("rb") as file, open_picture(file) as picture:
            if picture.format != "BMP":
                return _text_of(picture)
        return _as_text(json.loads(path.with_name(path.name + ".json").read_text()))
    except Exception:  # whatever a damaged file makes Pillow raise
        return {}


def read_text(content: bytes) -> dict[str, str]:
    """As `read_provenance`, of the bytes of an image file; empty too where a file of its own has the text."""
    try:
        with open_picture(io.BytesIO(content)) as picture:
            return _text_of(picture)
    except Exception:  # whatever a damaged file makes Pillow raise
        return {}


def _text_of(picture: Image.Image) -> dict[str, str]:
    if picture.format == "PNG":
        return {str(key): value for key, value in picture.info.items() if isinstance(value, str)}
    if picture.format == "TIFF":
        return _as_text(json.loads(picture.getexif().get(270, "{}")))
    return {}


def _as_text(note: dict[Any, Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in note.items()}


def encode_image(image: Pixels, suffix: str, ppi: float, provenance: Provenance) -> bytes:
    """The bytes of an image file with extension `suffix`; see `save_image`."""
    check_type("image", image, np.ndarray, "uint8 (H, W) or (H, W, 3)")
    in_color = image.ndim == 3 and image.shape[2] == 3
    if image.dtype != np.uint8 or not (image.ndim == 2 or in_color) or not image.size:
        raise BadInput(f"image: {image.dtype} {image.shape}; give uint8 (H, W) or (H, W, 3)")
    check_finite("ppi", ppi)
    software = {"Software": f"FingerGen {provenance['fingergen']}"} if "fingergen" in provenance else {}
    if suffix.lower() == ".png":
        # A value may hold a file's name, which may be any bytes.
        text = {key: value.encode(errors="backslashreplace").decode() for key, value in provenance.items()}
        return encode_png(image, ppi, software | text)
    from PIL import Image, TiffImagePlugin

    stream = io.BytesIO()
    picture = Image.fromarray(image)
    match suffix.lower():
        case ".tif" | ".tiff":
            tags = TiffImagePlugin.ImageFileDirectory_v2()
            if provenance:
                tags[270] = json.dumps(dict(provenance))  # ImageDescription
            if software:
                tags[305] = software["Software"]
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
    from PIL import Image, ImageDraw, ImageFont

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


def _orientation(picture: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where it is missing or damaged."""
    try:
        found = picture.getexif().get(_ORIENTATION)
    except Exception:  # of damaged EXIF, which must not cost the pixels
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _black_is_zero(content: bytes) -> tuple[bytes, bool]:
    """A TIFF file of more than 8 bits whose zero is white, declared to have black there; and whether it was.

    Pillow inverts such files of up to 8 bits, takes little-endian ones of 16 bits for black-is-zero and
    refuses big-endian ones.
    """
    order = {b"II": "<", b"MM": ">"}.get(content[:2])
    if order is None or len(content) < 4:
        return content, False
    (version,) = struct.unpack_from(order + "H", content, 2)
    if version not in _TIFF_LAYOUTS:
        return content, False
    first, offset, entry, count_format = _TIFF_LAYOUTS[version]
    # By tag: the number of values; of the first, its place, its format and itself.
    entries: dict[int, tuple[int, int, str, int]] = {}
    try:
        (start,) = struct.unpack_from(order + offset, content, first)
        (count,) = struct.unpack_from(order + count_format, content, start)
        at = start + struct.calcsize(order + count_format)
        for _ in range(count):
            tag, kind, values = struct.unpack_from(order + entry, content, at)
            place = at + struct.calcsize(order + entry)
            if kind in _TIFF_INTEGERS:
                form = order + _TIFF_INTEGERS[kind]
                entries[tag] = values, place, form, struct.unpack_from(form, content, place)[0]
            at = place + struct.calcsize(order + offset)
    except struct.error:
        return content, False
    photometric, bits = entries.get(_PHOTOMETRIC), entries.get(_BITS_PER_SAMPLE)
    if photometric is None or bits is None or photometric[3] != 0 or bits[0] != 1 or bits[3] <= 8:
        return content, False
    _, place, form, _ = photometric
    return content[:place] + struct.pack(form, 1) + content[place + struct.calcsize(form) :], True


def _to_8_bits(image: Image.Image, inverted: bool, transparent: bool) -> Image.Image:
    """As L or RGB, on white where it is transparent; `inverted`: zero is white."""
    from PIL import Image

    if image.mode in _DEEP:
        levels = np.asarray(image).astype(np.int64)
        if levels.min() < 0 or levels.max() > 0xFFFF:
            raise ValueError("more than 16 bits a pixel: save it with 8 or 16")
        depth = next(depth for depth in _DEPTHS if levels.max() < 1 << depth)
        if not (levels % 257).any():  # 8 bits that were spread over 16
            depth = 16
        highest = (1 << depth) - 1
        if inverted:
            levels = highest - levels
        return Image.fromarray((levels * 255 / highest).round().astype(np.uint8))
    if image.mode == "F":
        raise ValueError("floating-point pixels: save it with 8 or 16 bits")
    if inverted:
        raise ValueError("white-is-zero pixels of an unusual kind: save it with black as zero")
    if transparent:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("L" if image.mode in ("L", "1") else "RGB")


def _reason(text: str, content: bytes) -> str:
    if "cannot identify" not in text:
        return text
    # Pillow names the buffer that it was given, which helps nobody.
    if content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "a TIFF file of an unusual kind, or damaged: save it with 8 or 16 bits of gray"
    return "no image format that is read begins like it"


def _font_size(labels: Sequence[str], size: int, width: int) -> int:
    """`size` pixels, or as much less as the longest label needs to be `width` wide."""
    from PIL import ImageFont

    font = ImageFont.load_default(size)
    longest = max((font.getlength(label) for label in labels), default=0)
    return size if longest <= width else max(6, int(size * width / longest))
