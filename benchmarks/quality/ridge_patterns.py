"""How ridges run: their period and the pattern that they make.

The period is that of x-signatures, levels averaged along the ridges, from peak to peak (Hong, Wan and Jain,
"Fingerprint image enhancement", 1998, section 2.5). `afis` gives orientations and the segmentation.

Singular points are Poincaré indices of the field of orientations (Kawagoe and Tojo, "Fingerprint pattern
classification", 1984). A finger's class follows from its cores: an arch has none, a whorl two, a loop one,
which opens to the left or to the right; in a tented arch it opens towards a delta that lies below.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from afis.algorithms.orientation import estimate_orientation
from afis.algorithms.segmentation import segment
from afis.algorithms.singularity import poincare_index
from numpy.typing import NDArray
from scipy.ndimage import (
    binary_erosion,
    binary_fill_holes,
    gaussian_filter,
    gaussian_filter1d,
    map_coordinates,
    sobel,
)

from fingergen.runtime.fingers import PatternClass

Field = NDArray[np.floating]

CELL = 8  # pixels between the orientations that an index is summed over
AROUND = 3  # cells from a core at which the direction in which it opens is measured
EDGE = 16  # pixels from the print's edge within which orientations are not to be relied on
TOGETHER = 2 * CELL  # pixels: indices no further apart are of one point
WINDOW = 6.0  # pixels, standard deviation: of gradients that one orientation is of
CONTRAST_WINDOW = 5.0  # pixels, standard deviation: wide enough to see a ridge and a valley
FLAT = 0.35  # of the print's own contrast: less is no ridges
BLOCK = 16  # pixels between the places where a period is measured
ACROSS, ALONG = 32, 5  # pixels of a signature across the ridges, and of what it averages along them
SMOOTH = 1.0  # pixels, standard deviation along a signature: no finger has ridges so fine
SHORTEST, LONGEST = 3.0, 25.0  # pixels: periods that ridges have
TENT = 20.0  # degrees between a tented arch's core's direction and its delta


@dataclass(frozen=True)
class Core:
    """x, y in pixels from the top left; `opens`: degrees counter-clockwise, where its ridges lead."""

    x: float
    y: float
    opens: float


class Ridges:
    """The ridges of an image (H, W), 500 ppi: what several figures need is computed once."""

    def __init__(self, image: NDArray[np.uint8]) -> None:
        self.image = image

    @cached_property
    def orientation(self) -> Field:
        """Of each pixel's ridges in radians, y down."""
        return np.asarray(estimate_orientation(self.image))

    @cached_property
    def inside(self) -> NDArray[np.bool_]:
        """Where the image shows ridges, less `EDGE` pixels along the print's outline."""
        print_ = binary_fill_holes(segment(self.image)[0])
        return binary_erosion(print_, np.ones((3, 3)), iterations=EDGE, border_value=1)


def ridge_period(ridges: Ridges) -> float:
    """Mean distance in pixels from ridge to ridge in the print, not in the grain around it; NaN where none is
    found."""
    height, width = ridges.image.shape
    grid = np.mgrid[BLOCK // 2 : height - BLOCK // 2 : BLOCK, BLOCK // 2 : width - BLOCK // 2 : BLOCK]
    y, x = grid[:, ridges.inside[tuple(grid)]]
    if not len(y):
        return math.nan
    angle = ridges.orientation[y, x][:, None, None]
    across, along = np.arange(ACROSS)[:, None] - ACROSS // 2, np.arange(ALONG) - ALONG // 2
    places = (
        y[:, None, None] + across * np.cos(angle) + along * np.sin(angle),
        x[:, None, None] - across * np.sin(angle) + along * np.cos(angle),
    )
    levels = map_coordinates(ridges.image.astype(np.float32), places, order=1, mode="nearest")
    # A valley is one, however its bottom ripples.
    signatures = gaussian_filter1d(levels.mean(axis=2), SMOOTH, axis=1, mode="nearest")
    before, here, after = signatures[:, :-2], signatures[:, 1:-1], signatures[:, 2:]
    peaks = (here > before) & (here >= after) & (here > signatures.mean(axis=1, keepdims=True))
    periods = np.array([np.median(np.diff(np.flatnonzero(each))) for each in peaks if each.sum() > 1])
    periods = periods[(periods >= SHORTEST) & (periods <= LONGEST)]
    return float(1 / (1 / periods).mean()) if len(periods) else math.nan


def coherence(ridges: Ridges) -> float:
    """Measure how parallel ridges run: mean coherence of the squared gradients over the print.

    Returns:
        0 where gradients point everywhere to 1 where all ridges of a neighborhood are parallel (Bazen and
        Gerez, 2002, equation 8).
    """
    if not ridges.inside.any():
        return 0.0
    image = ridges.image.astype(np.float32)
    x, y = sobel(image, 1), sobel(image, 0)
    xx, yy, xy = (gaussian_filter(part, WINDOW) for part in (x * x, y * y, x * y))
    measured = np.hypot(xx - yy, 2 * xy) / np.maximum(xx + yy, 1e-9)
    return float(measured[ridges.inside].mean(dtype=np.float64))


def contact(image: NDArray[np.uint8]) -> tuple[float, float]:
    """Measure how much of an image is print, and how much of the print has no ridges.

    Args:
        image: (H, W).

    Returns:
        Share of the image inside the print's outline, and share of that without local contrast: holes.
    """
    ridges = _with_contrast(image)
    whole = binary_fill_holes(ridges)
    area = int(whole.sum())
    return area / image.size, float((whole & ~ridges).sum() / area) if area else 0.0


def outline(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where an image (H, W) shows the print, holes included."""
    return np.asarray(binary_fill_holes(_with_contrast(image)), np.bool_)


def _with_contrast(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    values = image.astype(np.float64)
    mean = gaussian_filter(values, CONTRAST_WINDOW)
    contrast = np.sqrt(np.maximum(gaussian_filter(values**2, CONTRAST_WINDOW) - mean**2, 0))
    return np.asarray(contrast > FLAT * np.percentile(contrast, 90), np.bool_)


def pattern_class(ridges: Ridges) -> PatternClass:
    """The pattern that an image shows: a plain arch too where its core lies outside."""
    middles = slice(CELL // 2, None, CELL)
    cores, deltas = singular_points(ridges.orientation[middles, middles], ridges.inside[middles, middles])
    if len(cores) > 1:
        return PatternClass.WHORL
    if not cores:
        return PatternClass.ARCH
    (core,) = cores
    for x, y in deltas:
        below = math.degrees(math.atan2(core.y - y, x - core.x))
        if abs((below - core.opens + 180) % 360 - 180) < TENT:
            return PatternClass.TENTED_ARCH
    downwards = -90.0
    to_the_right = (core.opens - downwards + 180) % 360 - 180 > 0
    return PatternClass.RIGHT_LOOP if to_the_right else PatternClass.LEFT_LOOP


def singular_points(
    orientation: Field, inside: NDArray[np.bool_]
) -> tuple[list[Core], list[tuple[float, float]]]:
    """Cores and deltas, x and y in pixels, of orientations in radians, y down, one a cell; those `inside`."""
    found = [
        (CELL * (x + 0.5), CELL * (y + 0.5), kind)
        for y, x, kind in poincare_index(orientation)
        if inside[y, x]
    ]
    points = {kind: _together([(x, y) for x, y, k in found if k == kind]) for kind in ("core", "delta")}
    return [Core(x, y, _opens(orientation, x, y)) for x, y in points["core"]], points["delta"]


def _together(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The middles of groups of neighbors: the index of one point is seen from all cells around it."""
    groups: list[list[tuple[float, float]]] = []
    for point in points:
        near = next((g for g in groups if any(math.dist(point, other) <= TOGETHER for other in g)), None)
        if near is None:
            groups.append([point])
        else:
            near.append(point)
    return [(float(np.mean([x for x, _ in g])), float(np.mean([y for _, y in g]))) for g in groups]


def _opens(orientation: Field, x: float, y: float) -> float:
    """Degrees in which the core at (x, y) pixels opens.

    Around a core the doubled orientation turns once; what it is ahead of the angle from the core is that of
    the ridge on which it opens (Bazen and Gerez, 2002, section 4.2).
    """
    around = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    rows = np.round(y / CELL - 0.5 - AROUND * np.sin(around)).astype(int).clip(0, orientation.shape[0] - 1)
    columns = np.round(x / CELL - 0.5 + AROUND * np.cos(around)).astype(int).clip(0, orientation.shape[1] - 1)
    doubled = -2 * orientation[rows, columns]  # counter-clockwise as seen
    return math.degrees(float(np.angle(np.exp(1j * (doubled - around)).mean())))
