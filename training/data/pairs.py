"""Pairs of a fingerprint image and its minutiae map, drawn from a NumPy generator alone, as in `datasets`."""

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from fingergen.runtime.errors import BadInput
from fingergen.runtime.fingers import Finger, impressions
from fingergen.runtime.minutiae import PPI, decode_template

from .image_io import decode, pad_to_square, square_offset, to_square
from .masters import HELD_OUT, SplitMasters
from .metadata import INDEX, stated_fingers
from .minutiae_maps import draw_maps
from .splits import FingerRule, HeldOutSplit
from .storage import IMAGE_SUFFIXES, TEMPLATE_SUFFIXES, Sample, StoredFile, find_samples


@dataclass(frozen=True)
class Pairs:
    """images: uint8 (N, C, R, R), ridges dark on white; maps: uint8 (N, 3, S, S), of the same view."""

    images: Tensor
    maps: Tensor


class PairDataset(Protocol):
    """Pairs of an image and its minutiae map, in random batches."""

    def batch(self, rng: np.random.Generator, count: int) -> Pairs:
        """`count` pairs to train on, chosen by `rng` alone."""
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
        self._fingers = SplitMasters(masters, fingers, (window, window), on_progress)

    def batch(self, rng: np.random.Generator, count: int) -> Pairs:
        return self._pairs(*self._fingers.batch(rng, count))

    def held_out(self, count: int) -> Pairs:
        return self._pairs(*self._fingers.held_out(count))

    def _pairs(self, fingers: Sequence[Finger], numbers: Sequence[int]) -> Pairs:
        images, templates = impressions(fingers, numbers)
        pixels = torch.from_numpy(images)[:, None].float()
        reduced = torch.nn.functional.avg_pool2d(pixels, self._window // self._resolution)
        return Pairs(reduced.round().to(torch.uint8), draw_maps(templates, self._window, self._map_size))


class PairFolder:
    """Images with templates or maps, in a folder as `fg-train synthesize-data` writes it or in shards.

    A map or template shows what its image shows; both are padded to a square about their middle. Pixels are
    taken to be of 500 ppi. Files are decoded as they are drawn. A tenth of the fingers is held out, at most
    `HELD_OUT`: always the same ones.
    """

    def __init__(self, data: Path, resolution: int, channels: int, map_size: int):
        """BadInput if an image has no partner, or if there are fewer than 10 pairs or 2 fingers."""
        self._resolution, self._channels, self._map_size = resolution, channels, map_size
        samples = find_samples(data)
        for sample in samples:
            if not (sample.template or sample.map):
                templates, maps = ", ".join(TEMPLATE_SUFFIXES), ", ".join(IMAGE_SUFFIXES)
                expected = f"templates/{sample.key} ({templates}) or maps/{sample.key} ({maps})"
                raise BadInput(f"{sample.image}: has no partner {expected}")
        fingers = fingers_of(data, [sample.key for sample in samples])
        if len(samples) < 10 or len(set(fingers)) < 2:
            found = f"{len(samples)} pairs of {len(set(fingers))} fingers"
            raise BadInput(f"{data}: holds {found}; give 10 of 2 at least, a tenth is held out")
        self._split = HeldOutSplit(samples, fingers, HELD_OUT)

    def batch(self, rng: np.random.Generator, count: int) -> Pairs:
        return self._read(self._split.batch(rng, count))

    def held_out(self, count: int) -> Pairs:
        return self._read(self._split.held_out(count))

    def _read(self, samples: Sequence[Sample]) -> Pairs:
        with ThreadPoolExecutor() as pool:
            images, maps = zip(*pool.map(self._read_one, samples), strict=True)
        return Pairs(torch.from_numpy(np.stack(images)), torch.cat(maps))

    def _read_one(self, sample: Sample) -> tuple[NDArray[np.uint8], Tensor]:
        """uint8 (C, R, R) and (1, 3, S, S)."""
        image = decode(sample.image.read(), sample.image).image
        return to_square(image, self._resolution, self._channels), self._read_map(sample, *image.size)

    def _read_map(self, sample: Sample, width: int, height: int) -> Tensor:
        if sample.template is None:
            assert sample.map
            return torch.from_numpy(_read_map_image(sample.map, self._map_size))[None]
        name = Path(sample.template.member or sample.template.path)
        template = decode_template(
            sample.template.read(), name, width=width, height=height, override=False, on_warning=_ignored
        )
        if (template.width, template.height) != (width, height):
            found = f"{template.width} x {template.height}"
            raise BadInput(
                f"{sample.template}: belongs to an image of {found} pixels, "
                f"{sample.image} has {width} x {height}"
            )
        side = max(width, height)
        left, top = square_offset(width, height)
        square = replace(template, ppi=PPI).crop(-left, -top, side, side)
        return draw_maps([square], side, self._map_size)


def fingers_of(data: Path, keys: Sequence[str]) -> list[str]:
    """The finger of each image of a dataset: as metadata.jsonl states it, else by its name, else its own."""
    stated = stated_fingers(data if data.is_dir() else data.parent)
    rule = FingerRule()
    fingers = [stated.get(key) or rule.finger(key) for key in keys]
    nameless = [key for key, finger in zip(keys, fingers, strict=True) if finger is None]
    if nameless:
        warnings.warn(
            f"{data}: the names of {len(nameless)} images, such as '{nameless[0]}', state no finger, and no "
            f"{INDEX} does: images of one finger may be both trained on and held out",
            stacklevel=3,
        )
    return [key if finger is None else finger for key, finger in zip(keys, fingers, strict=True)]


def _ignored(warning: str) -> None:
    """Warnings would come again with every draw; `fg-train prepare` has reported them."""


def _read_map_image(file: StoredFile, size: int) -> NDArray[np.uint8]:
    """uint8 (3, size, size); as the runtime reduces maps, so that the encoder meets the same ones there."""
    drawn = decode(file.read(), file).image.convert("RGB")
    square = pad_to_square(drawn, (0, 0, 0)).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(square).transpose(2, 0, 1).copy()
