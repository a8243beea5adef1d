"""From the bytes of an image file to grey or RGB pixels, whatever the file's own format and depth."""

import io
import re
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from fingergen.runtime.errors import BadInput

from .storage import Sample, StoredFile
from .wsq import START_OF_IMAGE, decode_wsq

warnings.filterwarnings("ignore", module=r"PIL\.")  # a damaged file gets one line, and that is ours

PLAUSIBLE = (100.0, 4000.0)  # pixels per inch of a fingerprint; 72 and 96 are programs' defaults
TOLERANCE = 0.01  # of a resolution: metric and inch units round differently
WHITE: dict[str, int | tuple[int, ...]] = {"L": 255, "RGB": (255, 255, 255)}


@dataclass(frozen=True)
class Scan:
    """A decoded image of mode L or RGB, and the pixels per inch (x, y) that its file tells, if it does."""

    image: Image.Image
    ppi: tuple[float, float] | None


def decode(content: bytes, name: object) -> Scan:
    """Decode a PNG, TIFF, BMP, JPEG or WSQ file; BadInput of one line, naming `name`, if it cannot be."""
    try:
        if not content:
            raise ValueError("it is empty")
        if content.startswith(START_OF_IMAGE):
            pixels, ppi = decode_wsq(content)
            return Scan(Image.fromarray(pixels), None if ppi is None else (ppi, ppi))
        with Image.open(io.BytesIO(content)) as opened:
            frames = getattr(opened, "n_frames", 1)
            if opened.format == "TIFF" and frames > 1:
                raise ValueError(f"it holds {frames} images: save each as a file")
            opened.load()
            return Scan(_plain(opened), _ppi(opened))
    except BadInput:
        raise
    except Exception as error:  # a damaged file makes Pillow's decoders raise nearly anything
        reason = str(error).replace(repr(content), "").splitlines() or [type(error).__name__]
        raise BadInput(f"{name}: not a readable image ({_reason(reason[0])}); repair or remove it") from error


def refuse_mixed(data: Path, samples: Sequence[Sample], fix: str) -> None:
    """BadInput if images of the data set `data` tell different resolutions; `fix` says what helps.

    No pixels are read. Images that tell none, or one that no fingerprint has, fit any.
    """
    files = [sample.image for sample in samples]
    first: tuple[StoredFile, tuple[float, float]] | None = None
    with ThreadPoolExecutor() as pool:
        for file, ppi in zip(files, pool.map(_told_ppi, files), strict=True):
            if ppi is None or not all(PLAUSIBLE[0] <= each <= PLAUSIBLE[1] for each in ppi):
                continue
            first = first or (file, ppi)
            if any(abs(one - other) > TOLERANCE * other for one, other in zip(ppi, first[1], strict=True)):
                found = f"{shown_ppi(first[1])} ppi ({first[0].name}) and {shown_ppi(ppi)} ppi ({file.name})"
                raise BadInput(f"{data}: mixes resolutions, {found}; {fix}")


def shown_ppi(ppi: tuple[float, float]) -> str:
    """`500`, or `500 x 1000` where x and y differ."""
    x, y = (f"{each:.0f}" for each in ppi)
    return x if x == y else f"{x} x {y}"


def _told_ppi(file: StoredFile) -> tuple[float, float] | None:
    """As `Scan.ppi`, without decoding the image."""
    try:
        with io.BytesIO(file.read()) if file.member else file.path.open("rb") as stream:
            if stream.read(2) == START_OF_IMAGE:
                found = re.search(rb"\nPPI (\d+)", stream.read(1 << 16))  # of the NIST comment
                return (float(found[1]), float(found[1])) if found else None
            stream.seek(0)
            with Image.open(stream) as opened:
                return _ppi(opened)
    except Exception:  # whoever decodes it will say what is wrong
        return None


def read_square(file: StoredFile, resolution: int, channels: int) -> np.ndarray:
    """An image as `to_square` makes it."""
    return to_square(decode(file.read(), file).image, resolution, channels)


def to_square(image: Image.Image, resolution: int, channels: int) -> np.ndarray:
    """uint8 (channels, resolution, resolution): padded with white to a square, then resized."""
    image = image.convert("L" if channels == 1 else "RGB")
    side = max(image.size)
    if image.size != (side, side):
        image = ImageOps.pad(image, (side, side), color=WHITE[image.mode])
    if side != resolution:
        # BOX averages whole pixels, where that is possible: the others ring at the ridges' edges.
        method = Image.Resampling.BICUBIC if side % resolution else Image.Resampling.BOX
        image = image.resize((resolution, resolution), method)
    return np.asarray(image).reshape(resolution, resolution, channels).transpose(2, 0, 1)


def _reason(text: str) -> str:
    # Pillow names the buffer that it was given, which tells nobody anything.
    return "no image format is known that begins like it" if "cannot identify" in text else text


def _plain(image: Image.Image) -> Image.Image:
    """As L or RGB, on white where it is transparent; 16 bits reduced to 8."""
    if image.mode in ("I", "I;16", "I;16L", "I;16B", "I;16N"):
        levels = np.asarray(image).astype(np.int64)
        if levels.min() < 0 or levels.max() > 0xFFFF:
            raise ValueError("more than 16 bits a pixel: save it with 8 or 16")
        return Image.fromarray((levels / 257).round().astype(np.uint8))
    if image.mode == "F":
        raise ValueError("floating-point pixels: save it with 8 or 16 bits")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("L" if image.mode in ("L", "1") else "RGB")


def _ppi(image: Image.Image) -> tuple[float, float] | None:
    """What Pillow has found in pHYs, the TIFF tags, JFIF or the BMP header.

    It says 0 or 1 where a TIFF or BMP says nothing.
    """
    found = image.info.get("dpi")
    if not found or min(found) <= 1:
        return None
    return float(found[0]), float(found[1])
