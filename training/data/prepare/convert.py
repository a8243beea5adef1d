"""One raw file made into image, template and map."""

from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from fingergen.runtime.errors import BadInput
from fingergen.runtime.files import write_atomically
from fingergen.runtime.images import encode_image, read_provenance
from fingergen.runtime.minutiae import FORMATS, Minutia, Point, Template, minutiae_map, write_template

from ..image_io import decode
from ..storage import StoredFile
from .extractors import NONE, load_extractor
from .raw import Raw, Recipe, grey
from .segmentation import NoPrint, foreground

Place = TypeVar("Place", Minutia, Point)

FOLDERS = ("images", "templates", "maps")
_FEATHER = 4.0  # pixels over which the print fades into the white


@dataclass(frozen=True)
class Task:
    """A raw file and where its files go: below `folder`, under the name `key`."""

    source: Path
    raw: Raw
    folder: Path
    key: str

    def files(self, recipe: Recipe) -> dict[str, Path]:
        """By folder; the image alone if no minutiae are extracted."""
        suffixes = (".png", FORMATS[recipe.template_format].extensions[0], ".png")
        wanted = FOLDERS[:1] if recipe.extractor == NONE else FOLDERS
        pairs = zip(FOLDERS, suffixes, strict=True)
        return {name: self.folder / name / f"{self.key}{suffix}" for name, suffix in pairs if name in wanted}


def is_done(task: Task, recipe: Recipe) -> bool:
    """Whether its files are there, made of the raw file as it is now. The image is written last."""
    files = task.files(recipe)
    if not all(path.exists() for path in files.values()):
        return False
    return read_provenance(files["images"]).get("source_sha256") == task.raw.file_hash


def do(recipe: Recipe, task: Task) -> str | None:
    """Write the files of a task; the reason if that cannot be done."""
    image = _at_target(task, recipe)
    try:
        mask = foreground(image, recipe.target_ppi)
    except NoPrint as error:
        return str(error)
    left, top = _corner(mask, recipe.size)
    window = _cropped(image, left, top, recipe.size, 255)
    inside = _cropped(mask.astype(np.uint8), left, top, recipe.size, 0)
    extract = load_extractor(recipe.extractor)
    files = task.files(recipe)
    for path in files.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    note = {
        "fingergen": version("fingergen"),
        "source": task.key,
        "source_sha256": task.raw.file_hash,
    }
    if extract:
        # From the print with its surroundings: on white, its border would look like ridge endings.
        try:
            template = extract(window, recipe.target_ppi)
        except Exception as error:  # anybody's code
            reason = " ".join(str(error).split()) or type(error).__name__
            return f"its minutiae could not be extracted ({reason})"
        if not isinstance(template, Template) or (template.width, template.height) != recipe.size:
            raise BadInput(f"--extractor {recipe.extractor}: must return a Template of the image's size")
        template = _within(template, inside)
        write_template(files["templates"], template, recipe.template_format)
        drawn = encode_image(minutiae_map(template), ".png", recipe.target_ppi, note)
        write_atomically(files["maps"], drawn)
    if recipe.background == "white":
        window = _on_white(window, inside)
    write_atomically(files["images"], encode_image(window, ".png", recipe.target_ppi, note))
    return None


def _at_target(task: Task, recipe: Recipe) -> NDArray[np.uint8]:
    """The raw image in grey at the recipe's resolution."""
    image = grey(decode(StoredFile(task.source).read(), task.source).image, recipe.invert)
    width, height = (
        max(1, round(length * recipe.target_ppi / ppi))
        for length, ppi in zip(image.size, task.raw.ppi, strict=True)
    )
    if recipe.resample and (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)


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
