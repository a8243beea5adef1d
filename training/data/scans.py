"""Scans of one sensor with their ridge maps, whose look a generator learns."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fingergen.runtime.errors import BadInput

from .ridge_maps import ScannedRidges
from .storage import Sample

FEWEST = 20  # scans; fewer say too little of how the looks of a sensor vary


class Scans(NamedTuple):
    """N scans.

    Attributes:
        numbers: int64 (N,), which scans they are, counted among those to train on.
        images: uint8 (N, 1, R, R), ridges dark.
        maps: float32 (N, 2, M, M), ridge map times contact and mask of contact, as `RidgeImages` has them.
        shown: bool (N, 1, R, R), False where an image lies beyond the scan that it was cut from.
    """

    numbers: Tensor
    images: Tensor
    maps: Tensor
    shown: Tensor


class ScanDataset(ScannedRidges):
    """Scans of one sensor, as `fg-train prepare --ridge-maps` writes them.

    Attributes:
        scans: Keys of those to train on, in the order of their numbers.
    """

    def __init__(self, data: Path, resolution: int, ppi: float) -> None:
        """Find the scans; arguments and errors as of `ScannedRidges`, and too few scans are one."""
        super().__init__(data, resolution, ppi)
        count = len(self._split.trained) + len(self._split.spare)
        if count < FEWEST:
            raise BadInput(
                f"{data}: holds {count} scans; give {FEWEST} at least, better 50 to 200, of many fingers"
            )
        self.scans = tuple(sample.key for sample in self._split.trained)

    def draw(self, rng: np.random.Generator, count: int) -> Scans:
        """`count` different scans to train on, chosen by `rng` alone; all of them where there are fewer."""
        numbers = rng.permutation(len(self.scans))[:count]
        return self._scans(numbers, [self._split.trained[number] for number in numbers])

    def spare(self, count: int) -> Scans:
        """The same at every call, of fingers that `draw` never draws; their numbers mean nothing."""
        return self._scans(np.zeros(count, np.int64), self._split.held_out(count))

    def _scans(self, numbers: np.ndarray, samples: Sequence[Sample]) -> Scans:
        return Scans(torch.from_numpy(numbers), *self._decoded(samples))
