"""Where training images come from. A dataset selects a batch with a NumPy generator alone, so that a run's
images depend on its seed and step only: interrupted and resumed training sees the same ones."""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from fingergen.runtime.errors import BadOption
from fingergen.runtime.fingers import impressions

from .image_io import read_square
from .masters import read_masters
from .storage import StoredFile, find_samples


class ImageDataset(Protocol):
    """Training images, in random batches."""

    def batch(self, rng: np.random.Generator, count: int) -> torch.Tensor:
        """uint8 (count, channels, resolution, resolution)."""
        ...


class EnumerableDataset(ImageDataset, Protocol):
    """Images that can also be enumerated, for metrics."""

    def distinct(self, first: int, count: int) -> torch.Tensor:
        """Images `first` to `first + count - 1` of a fixed random order in which no image occurs twice: uint8
        (N, channels, resolution, resolution), N less than `count` where the data end."""
        ...


class ImageFolder:
    """The images of a folder or of shards; in memory at the training resolution, if there is room.

    What has no room is decoded as it is drawn.
    """

    def __init__(
        self,
        data: Path,
        resolution: int,
        channels: int,
        on_progress: Callable[[int], object] | None = None,
        memory: int = 4 << 30,
    ):
        """Find the images, and decode them if they take `memory` bytes at most; `on_progress` is told how
        many more have been read.

        Images are converted to gray (1 channel) or RGB (3), padded with white to a square and resized.
        Raises BadInput if there is no image or one that cannot be read.
        """
        self._shape = channels, resolution, resolution
        self._files = [sample.image for sample in find_samples(data)]
        self._images: np.ndarray | None = None
        if len(self._files) * math.prod(self._shape) <= memory:
            images = np.empty((len(self._files), *self._shape), dtype=np.uint8)
            for index, pixels in enumerate(self._decode(self._files)):
                images[index] = pixels
                if on_progress:
                    on_progress(1)
            self._images = images

    def __len__(self) -> int:
        return len(self._files)

    def batch(self, rng: np.random.Generator, count: int) -> torch.Tensor:
        return self._take(rng.integers(len(self), size=count))

    def distinct(self, first: int, count: int) -> torch.Tensor:
        return self._take(np.random.default_rng(0).permutation(len(self))[first : first + count])

    def _take(self, chosen: np.ndarray) -> torch.Tensor:
        if self._images is not None:
            return torch.from_numpy(self._images[chosen])
        images = np.empty((len(chosen), *self._shape), dtype=np.uint8)
        for index, pixels in enumerate(self._decode([self._files[index] for index in chosen])):
            images[index] = pixels
        return torch.from_numpy(images)

    def _decode(self, files: Sequence[StoredFile]) -> Iterator[np.ndarray]:
        channels, resolution, _ = self._shape
        with ThreadPoolExecutor() as pool:
            yield from pool.map(lambda file: read_square(file, resolution, channels), files)


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
            raise BadOption("window", window, f"must be a multiple of --resolution {resolution}")
        self._fingers = read_masters(masters, range(fingers), (window, window), on_progress)
        self._reduction = window // resolution

    def batch(self, rng: np.random.Generator, count: int) -> torch.Tensor:
        return self._draw(rng.integers(len(self._fingers), size=count), rng.integers(2**31, size=count))

    def distinct(self, first: int, count: int) -> torch.Tensor:
        order = np.random.default_rng(0).permutation(len(self._fingers))
        numbers = np.arange(first, first + count)
        return self._draw(order[numbers % len(order)], numbers // len(order))

    def _draw(self, fingers: np.ndarray, numbers: np.ndarray) -> torch.Tensor:
        """One impression of each of `fingers`; `numbers`: which."""
        images, _ = impressions([self._fingers[index] for index in fingers], numbers.tolist())
        pixels = torch.from_numpy(images)[:, None].float()
        reduced = torch.nn.functional.avg_pool2d(pixels, self._reduction)
        return reduced.round().to(torch.uint8)


def to_floats(images: torch.Tensor, device: torch.device) -> torch.Tensor:
    """uint8 images of any shape → float32 in [-1, 1] on `device`."""
    return images.to(device).float() / 127.5 - 1


def to_levels(images: torch.Tensor) -> torch.Tensor:
    """Network output of any shape, nominally in [-1, 1] → the nearest of 256 levels, clipped: uint8 on the
    CPU, as `runtime.images.to_levels`."""
    return ((images.detach().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu()
