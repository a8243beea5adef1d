"""Whether mated impressions are copies: what two images of a finger have in the same place, unaligned."""

from __future__ import annotations

import math
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fingergen.runtime.minutiae.agreement import agreement

from .image_sets import ImageSet
from .measurement import Measurement, read_pixels
from .ridge_patterns import outline
from .workers import spread

IN_PLACE_PIXELS, IN_PLACE_DEGREES = 2.0, 6.0
NEAR_PIXELS = 3.0
LEAST_SHARED = 1000  # pixels that both prints cover: with fewer a correlation says nothing

Pair = tuple[int, int]


def kept_in_place(one: Measurement, other: Measurement) -> float:
    """Returns the share of minutiae that two prints have at the same place, without any alignment.

    Two captures of a finger differ in placement and distortion; where most minutiae lie within 2 pixels and
    6 degrees of each other, one image is a copy of the other.
    """
    return _shared(one, other, IN_PLACE_PIXELS, IN_PLACE_DEGREES)


def near(one: Measurement, other: Measurement) -> float:
    """Returns the share of minutiae with one of the other print within 3 pixels, whatever its angle, without
    any alignment; prints of different fingers have some by chance."""
    return _shared(one, other, NEAR_PIXELS, 180.0)


def _shared(one: Measurement, other: Measurement, pixels: float, degrees: float) -> float:
    shared = agreement(one.template("mindtct"), other.template("mindtct"), pixels, degrees)
    return shared.matched / max(min(shared.found, shared.true), 1)


def pixel_correlations(pool: Executor, images: ImageSet, mates: NDArray[np.intp], ppi: float | None) -> list:
    """Correlate mated images pixel by pixel, without any alignment, where both show the print.

    Args:
        pool: runs the work.
        images: the set.
        mates: indices (N, 2) of pairs, those of a finger in a row.
        ppi: resolution of all images; None takes what each file says.

    Returns:
        Pearson's coefficient of each pair; pairs of images of different sizes, or of prints that hardly
        overlap, are left out.
    """
    of_finger: dict[str, list[tuple[Path, Path]]] = {}
    for one, other in mates:
        pair = (images.files[one].path, images.files[other].path)
        of_finger.setdefault(images.files[one].finger, []).append(pair)
    found = spread(
        pool,
        partial(_correlate, ppi),
        list(of_finger.values()),
        f"fingers of {images.name}, correlation of mates",
    )
    return [value for values in found for value in values if not math.isnan(value)]


def _correlate(ppi: float | None, pairs: list[tuple[Path, Path]]) -> list[float]:
    seen = {path: read_pixels(path, ppi) for path in {path for pair in pairs for path in pair}}
    prints = {path: outline(image) for path, image in seen.items()}
    return [_correlation(seen[a], seen[b], prints[a], prints[b]) for a, b in pairs]


def _correlation(one: NDArray, other: NDArray, where: NDArray[np.bool_], also: NDArray[np.bool_]) -> float:
    if one.shape != other.shape:
        return math.nan
    both = where & also
    if both.sum() < LEAST_SHARED:
        return math.nan
    return float(np.corrcoef(one[both].astype(np.float64), other[both].astype(np.float64))[0, 1])
