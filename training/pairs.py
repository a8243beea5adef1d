"""Pairs of a fingerprint image and its minutiae map, drawn from a NumPy generator alone as `sources` are."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from fingergen.runtime.errors import BadInput
from fingergen.runtime.minutiae import FORMATS, read_template

from .fingers import Finger, impressions, read_shard, write_masters
from .map_reading import PPI, draw_maps
from .sources import IMAGE_SUFFIXES, find_images, read_square

HELD_OUT = 32  # fingers, or images of a folder, that are never trained on


@dataclass(frozen=True)
class Pairs:
    """images: uint8 (N, C, R, R), ridges dark on white; maps: uint8 (N, 3, S, S), of the same view."""

    images: Tensor
    maps: Tensor


class PairSource(Protocol):
    """Draws pairs."""

    def batch(self, rng: np.random.Generator, count: int) -> Pairs:
        """Pairs to train on."""
        ...

    def held_out(self, count: int) -> Pairs:
        """The same pairs at every call, of fingers or images that `batch` never draws."""
        ...


class ProceduralPairs:
    """Impressions of procedural fingers with their true minutiae."""

    def __init__(
        self,
        masters: Path,
        fingers: int,
        window: int,
        resolution: int,
        map_size: int,
        on_progress: Callable[[int], object] | None = None,
    ):
        """Fingers 0 … `fingers` - 1 and `HELD_OUT` more; those that the folder `masters` lacks are grown.
        `on_progress` is told how many fingers have been read.

        `window`: side in pixels at 500 ppi of the square that image and map show; a multiple of `resolution`.
        """
        if window % resolution:
            raise BadInput(
                f"view of {window} pixels at 500 ppi: must be a multiple of the resolution {resolution}"
            )
        self._window, self._resolution, self._map_size = window, resolution, map_size
        self._fingers: list[Finger] = []
        self._held_out: list[Finger] = []
        spare = range(fingers, fingers + HELD_OUT)
        for group, numbers in ((self._fingers, range(fingers)), (self._held_out, spare)):
            for shard in write_masters(masters, numbers, (window, window)):
                read = read_shard(shard)
                group += read
                if on_progress:
                    on_progress(len(read))

    def batch(self, rng: np.random.Generator, count: int) -> Pairs:
        chosen = [self._fingers[index] for index in rng.integers(len(self._fingers), size=count)]
        return self._pairs(chosen, rng.integers(2**31, size=count).tolist())

    def held_out(self, count: int) -> Pairs:
        chosen = [self._held_out[i % HELD_OUT] for i in range(count)]
        return self._pairs(chosen, [i // HELD_OUT for i in range(count)])

    def _pairs(self, fingers: Sequence[Finger], numbers: Sequence[int]) -> Pairs:
        images, templates = impressions(fingers, numbers, (self._window, self._window))
        reduced = torch.nn.functional.avg_pool2d(images[:, None].float(), self._window // self._resolution)
        return Pairs(reduced.round().to(torch.uint8), draw_maps(templates, self._window, self._map_size))


class PairFolder:
    """A folder as `fg-train synthesize-data` writes it: `images` and, of the same names, `templates`, `maps`.

    A map or template shows what its image shows; both are padded to a square about their middle. Pixels are
    taken to be of 500 ppi. Files are decoded as they are drawn.
    """

    def __init__(self, folder: Path, resolution: int, channels: int, map_size: int):
        self._resolution, self._channels, self._map_size = resolution, channels, map_size
        pairs = find_pairs(folder)
        spare = min(HELD_OUT, len(pairs) // 10)
        if not spare:
            raise BadInput(
                f"{folder}: holds {len(pairs)} pairs; give at least 10, a tenth of them is held out"
            )
        self._pairs, self._held_out = pairs[:-spare], pairs[-spare:]

    def batch(self, rng: np.random.Generator, count: int) -> Pairs:
        return self._read([self._pairs[index] for index in rng.integers(len(self._pairs), size=count)])

    def held_out(self, count: int) -> Pairs:
        return self._read([self._held_out[i % len(self._held_out)] for i in range(count)])

    def _read(self, pairs: Sequence[tuple[Path, Path]]) -> Pairs:
        with ThreadPoolExecutor() as pool:
            images = list(
                pool.map(lambda pair: read_square(pair[0], self._resolution, self._channels), pairs)
            )
            maps = list(pool.map(lambda pair: self._read_map(*pair), pairs))
        return Pairs(torch.from_numpy(np.stack(images)), torch.cat(maps))

    def _read_map(self, image: Path, partner: Path) -> Tensor:
        """uint8 (1, 3, S, S)."""
        if partner.suffix.lower() in IMAGE_SUFFIXES:
            return torch.from_numpy(_read_map_image(partner, self._map_size))[None]
        with Image.open(image) as opened:
            width, height = opened.size
        template = read_template(partner, width=width, height=height)
        if (template.width, template.height) != (width, height):
            found = f"{template.width} x {template.height}"
            raise BadInput(
                f"{partner}: belongs to an image of {found} pixels, {image} has {width} x {height}"
            )
        side = max(width, height)
        square = replace(template, ppi=PPI).crop((width - side) // 2, (height - side) // 2, side, side)
        return draw_maps([square], side, self._map_size)


def find_pairs(folder: Path) -> list[tuple[Path, Path]]:
    """Every image of the data set `folder` with its template or, where there are no templates, its map."""
    images = find_images(folder)
    kind = "templates" if (folder / "templates").is_dir() else "maps"
    root = folder / kind
    known = IMAGE_SUFFIXES if kind == "maps" else {e for f in FORMATS.values() for e in f.extensions}
    files = (path for path in root.rglob("*") if path.suffix.lower() in known)
    partners = {path.relative_to(root).with_suffix(""): path for path in files}
    pairs = []
    for image in images:
        name = image.relative_to(folder / "images" if (folder / "images").is_dir() else folder).with_suffix(
            ""
        )
        if name not in partners:
            raise BadInput(f"{image}: has no partner {root / name} ({', '.join(sorted(known))})")
        pairs.append((image, partners[name]))
    return pairs


def _read_map_image(file: Path, size: int) -> NDArray[np.uint8]:
    """uint8 (3, size, size); as the runtime reduces maps, so that the encoder meets the same ones there."""
    try:
        with Image.open(file) as opened:
            drawn = opened.convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(f"{file}: not a readable image ({error}); repair or remove it") from error
    side = max(drawn.size)
    square = ImageOps.pad(drawn, (side, side)).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(square).transpose(2, 0, 1).copy()
