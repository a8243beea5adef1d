"""Images with what ridge noise says of them: ridge map, mask of contact, look."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fingergen.runtime.bundle.ridge_noise import NoiseLayer, layer_size, map_size, ridge_noise_layers
from fingergen.runtime.errors import BadInput, BadOption
from fingergen.runtime.fingers import Finger, Impression, take_impression
from fingergen.runtime.fingers.capture.look import EFFECTS, LOOK, look_of, traits_of, with_look
from fingergen.runtime.fingers.capture.presets import PRESETS
from fingergen.runtime.minutiae import PPI

from .image_io import decode, pad_to_square, to_square
from .masters import HELD_OUT, SplitMasters
from .pairs import fingers_of
from .splits import HeldOutSplit
from .storage import Sample, find_samples

FIELDS = {"backdrop_cells": 8, "uneven_cells": 16, "blotch_cells": 32, "stain_cells": 64}
"""Smooth fields of an impression → pixels per side of the white noise image that says them."""
SAMPLED = (*PRESETS, *[None] * len(PRESETS))
"""Half of the impressions look as in a preset, some of whose traits, such as no stains at all, are rare among
all looks; the others have any look."""
EDITED = 0.5
"""Part of the impressions in which one trait is changed as an edit would: so edits look as by the sensor."""
SLOW = ("paper", "stains", "vignette")
"""Traits of the background, which are learned last: half of the edits are of these."""
FARTHEST = 5.0
"""Deviations of a trait by which it is changed at most: of an edit of degree 10."""
PIXEL_NOISE = ("texture", "grain")  # white noise of an impression, pixel by pixel


class RidgeImages(NamedTuple):
    """N images and what was true when they were taken.

    Attributes:
        images: uint8 (N, C, R, R), ridges dark on white.
        maps: float32 (N, 2, M, M), M the `map_size` of the noise: the ridge map times contact, -1 in a
            valley, 1 on a ridge, 0 without contact; the mask of contact, 0 to 1.
        look: float32 (N, K), standard normal: the numbers that the look was made from; K = 0 where unknown.
        fields: float32 (N, 1, S, S) each, standard normal: known white noise of a data set's `known` layers.
    """

    images: Tensor
    maps: Tensor
    look: Tensor
    fields: tuple[Tensor, ...] = ()


class RidgeImageDataset(Protocol):
    """Images with their ridge maps, in random batches."""

    @property
    def look(self) -> int:
        """K, the number of values in a row of `RidgeImages.look`."""
        ...

    @property
    def names(self) -> Sequence[str]:
        """Of the first of these numbers."""
        ...

    @property
    def known(self) -> Sequence[int]:
        """Layers whose white noise `RidgeImages.fields` holds."""
        ...

    def batch(self, rng: np.random.Generator, count: int) -> RidgeImages:
        """`count` images with their ridge maps to train on, chosen by `rng` alone."""
        ...

    def held_out(self, count: int) -> RidgeImages:
        """The same at every call, of fingers or images that `batch` never draws."""
        ...


class ProceduralRidges:
    """Impressions of procedural fingers, drawn anew for every batch, with exact ridge maps."""

    look = LOOK
    names = tuple(EFFECTS)

    def __init__(
        self,
        masters: Path,
        fingers: int,
        window: int,
        resolution: int,
        on_progress: Callable[[int], object] | None = None,
    ) -> None:
        """Fingers 0 … `fingers` - 1 and HELD_OUT more; those that are missing are grown first.

        Args:
            masters: Folder that keeps fingers.
            fingers: How many to train on.
            window: Side in pixels at 500 ppi of the square that an image shows; a multiple of `resolution`.
            resolution: Side of the images in pixels.
            on_progress: Called with the number of fingers read since the last call.

        Raises:
            BadInput: If the window is no multiple of the resolution.
        """
        if window % resolution:
            raise BadOption("window", window, f"must be a multiple of --resolution {resolution}")
        self._reduction = window // resolution
        layers = ridge_noise_layers(resolution, PPI / self._reduction)
        self._map_step = window // map_size(layers)
        self._places = white_noise_places(layers)
        self.known = tuple(self._places.values())
        self._fingers = SplitMasters(masters, fingers, (window, window), on_progress)

    def batch(self, rng: np.random.Generator, count: int) -> RidgeImages:
        return self._take(*self._fingers.batch(rng, count), rng)

    def held_out(self, count: int) -> RidgeImages:
        return self._take(*self._fingers.held_out(count), np.random.default_rng(0))

    def _take(
        self, fingers: Sequence[Finger], numbers: Sequence[int], rng: np.random.Generator
    ) -> RidgeImages:
        looks = rng.standard_normal((len(fingers), self.look), np.float32)
        presets = rng.integers(len(SAMPLED), size=len(fingers))
        edited = rng.random(len(fingers)) < EDITED
        fields = {
            name: rng.standard_normal((len(fingers), 1, size, size), np.float32)
            for name, size in FIELDS.items()
        }
        taken = []
        for i, (finger, number) in enumerate(zip(fingers, numbers, strict=True)):
            preset = SAMPLED[presets[i]]
            capture = take_impression(finger, number, preset or "medium").capture
            if preset:
                looks[i, : len(self.names)] = look_of(traits_of(capture), self.names)
            if edited[i]:
                trait = rng.choice(SLOW if rng.random() < 0.5 else self.names)
                looks[i, self.names.index(trait)] += rng.uniform(-FARTHEST, FARTHEST)
            if edited[i] or not preset:
                capture = with_look(capture, looks[i])
            cells = {name: values[i, 0] for name, values in fields.items()}
            taken.append(Impression(finger, replace(capture, **cells)))
        images = np.stack([self._reduce(one.pixels) for one in taken])[:, None]
        known = [
            torch.from_numpy(fields[name] if name in fields else _pixel_noise(taken, name, layer_size(layer)))
            for name, layer in self._places.items()
        ]
        maps = np.stack([one.maps(self._map_step) for one in taken])
        return RidgeImages(
            torch.from_numpy(images),
            torch.from_numpy(maps),
            torch.from_numpy(looks),
            tuple(known),
        )

    def _reduce(self, image: np.ndarray) -> np.ndarray:
        side, factor = image.shape[0] // self._reduction, self._reduction
        means = image.reshape(side, factor, side, factor).mean(axis=(1, 3), dtype=np.float32)
        return np.round(means).astype(np.uint8)


class ScannedRidges:
    """Scans with ridge maps as `fg-train prepare --ridge-maps` writes them; their looks are not known.

    Both are padded to a square about their middle. Files are decoded as they are drawn. A tenth of the
    fingers is held out, at most HELD_OUT: always the same ones.
    """

    look = 0
    names = ()
    known = ()

    def __init__(self, data: Path, resolution: int, ppi: float) -> None:
        """Find the images.

        Args:
            data: Dataset, in a folder or in shards.
            resolution: Side of the images in pixels.
            ppi: Pixels per inch of the images.

        Raises:
            BadInput: If an image has no ridge map, or all are of one finger.
        """
        samples = find_samples(data)
        for sample in samples:
            if sample.ridges is None:
                raise BadInput(
                    f"{sample.image}: has no ridge map ridges/{sample.key}; fg-train prepare --ridge-maps"
                )
        fingers = fingers_of(data, [sample.key for sample in samples])
        self._resolution, self._map_size = resolution, map_size(ridge_noise_layers(resolution, ppi))
        self._split = HeldOutSplit(samples, fingers, HELD_OUT)
        if not self._split.trained or not self._split.spare:
            raise BadInput(f"{data}: holds images of one finger; give two at least, a tenth is held out")

    def batch(self, rng: np.random.Generator, count: int) -> RidgeImages:
        return self._read(self._split.batch(rng, count))

    def held_out(self, count: int) -> RidgeImages:
        return self._read(self._split.held_out(count))

    def _read(self, samples: Sequence[Sample]) -> RidgeImages:
        images, maps, _ = self._decoded(samples)
        return RidgeImages(images, maps, torch.empty((len(samples), 0)))

    def _decoded(self, samples: Sequence[Sample]) -> tuple[Tensor, Tensor, Tensor]:
        """uint8 (N, 1, R, R), float32 (N, 2, M, M), and bool (N, 1, R, R): where an image shows its scan."""
        with ThreadPoolExecutor() as pool:
            parts = zip(*pool.map(self._read_one, samples), strict=True)
            images, maps, shown = (torch.from_numpy(np.stack(part)) for part in parts)
        return images, maps, shown

    def _read_one(self, sample: Sample) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        assert sample.ridges is not None
        image, ridges = (decode(each.read(), each).image for each in (sample.image, sample.ridges))
        if ridges.size != image.size or ridges.mode != "RGB":
            raise BadInput(f"{sample.ridges}: no ridge map of {sample.image}; fg-train prepare --ridge-maps")
        square = pad_to_square(ridges, (127, 0, 255))
        planes = square.resize((self._map_size, self._map_size), Image.Resampling.BOX)
        ridge_map, contact = np.asarray(planes, np.float32).transpose(2, 0, 1)[:2] / 255
        beyond = square.getchannel("B").resize((self._resolution, self._resolution), Image.Resampling.BOX)
        return (
            to_square(image, self._resolution, 1),
            np.stack([2 * ridge_map - 1, contact]),
            np.asarray(beyond)[None] < 128,
        )


def white_noise_places(layers: Sequence[NoiseLayer]) -> dict[str, int]:
    """Which white noise of an impression the layers of a network tell.

    Args:
        layers: What each layer takes.

    Returns:
        Names of `FIELDS` and PIXEL_NOISE → numbers of layers. The roughness of ridge edges goes to the finest
        resolution if both its layers are white, else to the one below.
    """
    last = len(layers) - 1
    second = {layer_size(number): number for number in range(2, last + 1, 2)}  # of the two of a resolution
    places = {name: second[size] for name, size in FIELDS.items() if size in second}
    rough = last - 1 if layers[last - 1].source == "white" else last - 2
    fine = zip(PIXEL_NOISE, (rough, last), strict=True)
    return places | {name: layer for name, layer in fine if layer not in places.values()}


def _pixel_noise(taken: Sequence[Impression], name: str, size: int) -> np.ndarray:
    """Means of one of PIXEL_NOISE over squares, of unit variance again, (N, 1, size, size)."""
    width, height = taken[0].capture.window
    side = height // size
    noise = np.stack([getattr(one.capture, name) for one in taken])
    beyond = (noise.shape[1] - height) // 2  # of the texture, which the sensor blurs
    noise = noise[:, beyond : beyond + height, beyond : beyond + width]
    squares = noise.reshape(len(taken), size, side, size, side)
    return side * squares.mean(axis=(2, 4), dtype=np.float32)[:, None]
