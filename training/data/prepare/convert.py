"""One raw file made into image, template and map."""

from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from fingergen.runtime.errors import BadInput, BadOption
from fingergen.runtime.files import write_atomically
from fingergen.runtime.images import MAX_PIXELS, encode_image, read_provenance
from fingergen.runtime.minutiae import FORMATS, Minutia, Point, Template, minutiae_map

from ..image_io import decode
from ..storage import StoredFile, is_intact
from .extractors import NONE, load_extractor
from .raw import PrepareOptions, Raw, gray
from .ridges import as_image, ridge_map
from .segmentation import NoPrint, Unusable, foreground

Place = TypeVar("Place", Minutia, Point)

FOLDERS = ("templates", "maps", "ridges", "images")  # in the order of writing
_FEATHER = 4.0  # pixels over which the print fades into the white


@dataclass(frozen=True)
class Task:
    """A raw file and where its files go: below `folder`, under the name `key`."""

    source: Path
    raw: Raw
    folder: Path
    key: str

    def files(self, options: PrepareOptions) -> dict[str, Path]:
        """By folder: the image, and what else is asked for."""
        left_out = set() if options.extractor != NONE else {"templates", "maps"}
        if not options.ridge_maps:
            left_out.add("ridges")
        suffixes = {"templates": FORMATS[options.template_format].extensions[0]}
        return {
            name: self.folder / name / f"{self.key}{suffixes.get(name, '.png')}"
            for name in FOLDERS
            if name not in left_out
        }


def is_done(task: Task, options: PrepareOptions) -> bool:
    """Whether its files are there, made of the raw file as it is now. The image is written last."""
    files = task.files(options)
    if not all(path.exists() for path in files.values()):
        return False
    return read_provenance(files["images"]).get("source_sha256") == task.raw.file_hash


def is_intact_task(options: PrepareOptions, task: Task) -> bool:
    """Whether all its files can be read to their ends."""
    return all(is_intact(path) for path in task.files(options).values())


def convert(options: PrepareOptions, task: Task) -> str | None:
    """Write the files of a task.

    Returns:
        None, or the reason if the raw file cannot be used; nothing of it is written then.

    Raises:
        BadInput: If the extractor returns no Template of the image's size.
        OSError: If the files cannot be written.
    """
    files = task.files(options)
    try:
        content = _converted(options, task)
    except Unusable as error:
        return str(error)
    except (ArithmeticError, LookupError, MemoryError, RuntimeError, ValueError) as error:
        # One file that nobody foresaw must not end a run over a million.
        return f"cannot be converted ({' '.join(str(error).split()) or type(error).__name__})"
    for name, path in files.items():  # the image last: where it is, the others are
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content[name])
    return None


def _converted(options: PrepareOptions, task: Task) -> dict[str, bytes]:
    """The content of a task's files, by folder; Unusable if the raw file is none that can be used."""
    image, highest = _at_target(task, options)
    try:
        mask = foreground(image, options.target_ppi)
    except NoPrint as error:
        if highest is None or highest == 0xFFFF:
            raise
        raise Unusable(f"{error}; the highest level of its 16 bits is {highest} of 65535") from None
    left, top = _corner(mask, options.size)
    window = _cropped(image, left, top, options.size, 255)
    inside = _cropped(mask.astype(np.uint8), left, top, options.size, 0)
    note = {
        "fingergen": version("fingergen"),
        "source": task.key,
        "source_sha256": task.raw.file_hash,
    }
    content = {}
    if options.extractor != NONE:
        # From the print with its surroundings: on white, its border would look like ridge endings.
        template = _within(_extracted(window, options), inside)
        encode = FORMATS[options.template_format].encode
        assert encode is not None  # the command line offers none that is read only
        try:
            content["templates"] = encode(template)
        except BadInput as error:
            raise Unusable(f"its template cannot be written as {options.template_format} ({error})") from None
        content["maps"] = encode_image(minutiae_map(template), ".png", options.target_ppi, note)
    if options.ridge_maps:
        beyond = _cropped(np.zeros_like(image), left, top, options.size, 1) > 0
        ridges = as_image(ridge_map(window, inside > 0, options.target_ppi), beyond)
        content["ridges"] = encode_image(ridges, ".png", options.target_ppi, note)
    if options.background == "white":
        window = _on_white(window, inside)
    content["images"] = encode_image(window, ".png", options.target_ppi, note)
    return content


def _extracted(window: NDArray[np.uint8], options: PrepareOptions) -> Template:
    extract = load_extractor(options.extractor)
    assert extract
    try:
        template = extract(window, options.target_ppi)
    except Exception as error:  # anybody's code
        reason = " ".join(str(error).split()) or type(error).__name__
        raise Unusable(f"its minutiae could not be extracted ({reason})") from None
    if not isinstance(template, Template) or (template.width, template.height) != options.size:
        raise BadOption("extractor", options.extractor, "must return a Template of the image's size")
    return template


def _at_target(task: Task, options: PrepareOptions) -> tuple[NDArray[np.uint8], int | None]:
    """The raw image in gray at the target resolution, and the highest level of a file of 16 bits."""
    try:
        content = StoredFile(task.source).read()
        scan = decode(content, task.source)
    except BadInput as error:  # it was readable when it was checked
        raise Unusable(str(error).removeprefix(f"{task.source}: ")) from None
    image = gray(scan.image, options.invert)
    width, height = (
        max(1, round(length * options.target_ppi / ppi))
        for length, ppi in zip(image.size, task.raw.ppi, strict=True)
    )
    if options.resample and (width, height) != image.size:
        if width * height > MAX_PIXELS:
            most = f"more than {MAX_PIXELS >> 20} Mi"
            raise Unusable(f"would have {width} x {height} pixels at {options.target_ppi} ppi, {most}")
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image), scan.highest


def _corner(mask: NDArray[np.bool_], size: tuple[int, int]) -> tuple[int, int]:
    """Left and top of the window of `size` (width, height) about the middle of the print."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    width, height = size
    return int(columns[0] + columns[-1] + 1 - width) // 2, int(rows[0] + rows[-1] + 1 - height) // 2


def _cropped(
    image: NDArray[np.uint8], left: int, top: int, size: tuple[int, int], fill: int
) -> NDArray[np.uint8]:
    """The window of `size` (width, height) from (left, top); `fill` where it leaves the image."""
    box = (left, top, left + size[0], top + size[1])
    canvas = Image.new("L", size, fill)
    canvas.paste(Image.fromarray(image), (-box[0], -box[1]))
    return np.asarray(canvas)


def _on_white(image: NDArray[np.uint8], inside: NDArray[np.uint8]) -> NDArray[np.uint8]:
    weight = ndimage.gaussian_filter(inside.astype(np.float32), _FEATHER)
    return np.rint(255 + weight * (image.astype(np.float32) - 255)).clip(0, 255).astype(np.uint8)


def _within(template: Template, inside: NDArray[np.uint8]) -> Template:
    """Only what lies on the print."""

    def kept(places: tuple[Place, ...]) -> tuple[Place, ...]:
        return tuple(place for place in places if inside[template.pixel(place)[::-1]])

    return replace(
        template,
        minutiae=kept(template.minutiae),
        cores=kept(template.cores),
        deltas=kept(template.deltas),
    )
