"""Where training images come from. A source draws a batch from a NumPy generator alone, so that a run's
images depend on its seed and step only: interrupted and resumed training sees the same ones."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from fingergen.runtime.errors import BadInput

from .fingers import impressions, read_shard, write_masters

IMAGE_SUFFIXES = {".png", ".tif", ".tiff", ".bmp", ".jpg", ".jpeg"}
WHITE: dict[str, int | tuple[int, ...]] = {"L": 255, "RGB": (255, 255, 255)}


class ImageSource(Protocol):
    """Draws training images."""

    def batch(self, rng: np.random.Generator, count: int) -> torch.Tensor:
        """uint8 (count, channels, resolution, resolution)."""
        ...


class ImageFolder:
    """All images below a folder, held in memory at the training resolution."""

    def __init__(
        self,
        folder: Path,
        resolution: int,
        channels: int,
        on_progress: Callable[[int], object] | None = None,
    ):
        """Decode the folder; `on_progress` is told how many more images have been read.

        Images are converted to grey (1 channel) or RGB (3), padded with white to a square and resized.
        Raises BadInput if the folder holds no image or one that cannot be read.
        """
        files = find_images(folder)
        self._images = np.empty((len(files), channels, resolution, resolution), dtype=np.uint8)
        with ThreadPoolExecutor() as pool:
            decoded = pool.map(lambda file: read_square(file, resolution, channels), files)
            for index, pixels in enumerate(decoded):
                self._images[index] = pixels
                if on_progress:
                    on_progress(1)

    def __len__(self) -> int:
        return len(self._images)

    def batch(self, rng: np.random.Generator, count: int) -> torch.Tensor:
        return torch.from_numpy(self._images[rng.integers(len(self._images), size=count)])


class ProceduralFingers:
    """Impressions of procedural fingers, drawn anew for every batch from masters kept on disk."""

    def __init__(
        self,
        masters: Path,
        fingers: int,
        window: int,
        resolution: int,
        on_progress: Callable[[int], object] | None = None,
    ):
        """Fingers 0 … `fingers` - 1; those that the folder `masters` lacks are grown first.

        `window` is the side in pixels at 500 ppi of the square that an image shows; a multiple of
        `resolution`.
        """
        if window % resolution:
            raise BadInput(f"--window {window}: must be a multiple of --resolution {resolution}")
        self._fingers = []
        for shard in write_masters(masters, range(fingers), (window, window)):
            read = read_shard(shard)
            self._fingers += read
            if on_progress:
                on_progress(len(read))
        self._window, self._reduction = window, window // resolution

    def batch(self, rng: np.random.Generator, count: int) -> torch.Tensor:
        chosen = [self._fingers[index] for index in rng.integers(len(self._fingers), size=count)]
        numbers = [int(number) for number in rng.integers(2**31, size=count)]
        images, _ = impressions(chosen, numbers, (self._window, self._window))
        reduced = torch.nn.functional.avg_pool2d(images[:, None].float(), self._reduction)
        return reduced.round().to(torch.uint8)


def find_images(folder: Path) -> list[Path]:
    """Image files of a data set: those of its `images` folder if it has one, else all below it; sorted."""
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; give a folder of images with --data")
    root = folder / "images" if (folder / "images").is_dir() else folder
    files = sorted(path for path in root.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise BadInput(f"{root}: holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}); give another --data")
    return files


def read_square(file: Path, resolution: int, channels: int) -> np.ndarray:
    """An image as uint8 (channels, resolution, resolution): padded with white to a square, then resized."""
    try:
        with Image.open(file) as opened:
            image = opened.convert("L" if channels == 1 else "RGB")
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(f"{file}: not a readable image ({error}); repair or remove it") from error
    side = max(image.size)
    if image.size != (side, side):
        image = ImageOps.pad(image, (side, side), color=WHITE[image.mode])
    if side != resolution:
        # BOX averages whole pixels, where that is possible: the others ring at the ridges' edges.
        method = Image.Resampling.BICUBIC if side % resolution else Image.Resampling.BOX
        image = image.resize((resolution, resolution), method)
    return np.asarray(image).reshape(resolution, resolution, channels).transpose(2, 0, 1)
