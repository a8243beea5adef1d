"""From the bytes of an image file to gray or RGB pixels, whatever the file's own format and depth."""

import io
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from fingergen.runtime.errors import BadInput
from fingergen.runtime.images import Scan, decode_image, open_picture, stated_ppi
from fingergen.runtime.records.wsq import START_OF_IMAGE, decode_wsq

from .storage import Sample, StoredFile

PLAUSIBLE = (100.0, 4000.0)  # pixels per inch of a fingerprint; 72 and 96 are programs' defaults
TOLERANCE = 0.01  # of a resolution: metric and inch units round differently
WHITE: dict[str, int | tuple[int, ...]] = {"L": 255, "RGB": (255, 255, 255)}


def decode(content: bytes, name: object) -> Scan:
    """Decode an image file, WSQ included.

    Args:
        content: Of a WSQ file, or of one that `fingergen.runtime.images.decode_image` reads.
        name: Of the file, for messages.

    Raises:
        BadInput: Names the file, if it cannot be decoded, or where the package for WSQ is missing.
    """
    if not content.startswith(START_OF_IMAGE):
        return decode_image(content, name)
    try:
        pixels, ppi = decode_wsq(content)
    except ValueError as error:
        raise BadInput(f"{name}: not a readable image ({error}); repair or remove it") from error
    return Scan(Image.fromarray(pixels), None if ppi is None else (ppi, ppi))


def refuse_mixed(data: Path, samples: Sequence[Sample], fix: str) -> None:
    """BadInput if images of the dataset `data` state different resolutions; `fix` says what helps.

    No pixels are read. Images that state none, or one that no fingerprint has, fit any.
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
            with open_picture(stream) as opened:
                return stated_ppi(opened)
    except Exception:  # whoever decodes it will say what is wrong
        return None


def read_square(file: StoredFile, resolution: int, channels: int) -> np.ndarray:
    """An image as `to_square` makes it."""
    return to_square(decode(file.read(), file).image, resolution, channels)


def square_offset(width: int, height: int) -> tuple[int, int]:
    """Where (x, y) an image lies in its square: the smallest that holds it, about its middle."""
    side = max(width, height)
    return (side - width) // 2, (side - height) // 2


def pad_to_square(image: Image.Image, color: int | tuple[int, ...]) -> Image.Image:
    """An image in its square (see `square_offset`), on `color`."""
    side = max(image.size)
    if image.size == (side, side):
        return image
    square = Image.new(image.mode, (side, side), color)
    square.paste(image, square_offset(*image.size))
    return square


def to_square(image: Image.Image, resolution: int, channels: int) -> np.ndarray:
    """uint8 (channels, resolution, resolution): padded with white to a square, then resized."""
    image = image.convert("L" if channels == 1 else "RGB")
    image = pad_to_square(image, WHITE[image.mode])
    side = image.width
    if side != resolution:
        # BOX averages whole pixels, where that is possible: the others ring at the ridges' edges.
        method = Image.Resampling.BICUBIC if side % resolution else Image.Resampling.BOX
        image = image.resize((resolution, resolution), method)
    return np.asarray(image).reshape(resolution, resolution, channels).transpose(2, 0, 1)
