"""How ridges run, by the fields of `afis`: their period and the pattern that they make.

Singular points are Poincaré indices of the field of orientations (Kawagoe and Tojo, "Fingerprint pattern
classification", 1984). A finger's class follows from its cores: an arch has none, a whorl two, a loop one,
which opens to the left or to the right; in a tented arch it opens towards a delta that lies below.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from afis.algorithms.frequency import estimate_frequency
from afis.algorithms.orientation import estimate_orientation
from afis.algorithms.segmentation import segment
from afis.algorithms.singularity import poincare_index
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, binary_fill_holes, gaussian_filter, sobel

from fingergen.runtime.fingers import PatternClass

Field = NDArray[np.floating]

CELL = 8  # pixels between the orientations that an index is summed over
AROUND = 3  # cells from a core at which the direction in which it opens is measured
EDGE = 16  # pixels from the print's edge within which orientations are not to be relied on
TOGETHER = 2 * CELL  # pixels: indices no further apart are of one point
WINDOW = 6.0  # pixels, standard deviation: of gradients that one orientation is of
CONTRAST_WINDOW = 5.0  # pixels, standard deviation: wide enough to see a ridge and a valley
FLAT = 0.35  # of the print's own contrast: less is no ridges
TENT = 20.0  # degrees between a tented arch's core's direction and its delta


@dataclass(frozen=True)
class Core:
    """x, y in pixels from the top left; `opens`: degrees counter-clockwise, where its ridges lead."""

    x: float
    y: float
    opens: float


def ridge_period(image: NDArray[np.uint8]) -> float:
    """Mean distance in pixels from ridge to ridge in the print of an image (H, W), not in the grain around
    it; NaN where none is found."""
    frequency = estimate_frequency(image, estimate_orientation(image))
    found = frequency[(frequency > 0) & inside(image)]
    return float(1 / found.mean()) if found.size else math.nan


def coherence(image: NDArray[np.uint8]) -> float:
    """Measure how parallel ridges run: mean coherence of the squared gradients over the print.

    Args:
        image: (H, W).

    Returns:
        0 where gradients point everywhere to 1 where all ridges of a neighborhood are parallel (Bazen and
        Gerez, 2002, equation 8).
    """
    x, y = sobel(image.astype(np.float64), 1), sobel(image.astype(np.float64), 0)
    xx, yy, xy = (gaussian_filter(part, WINDOW) for part in (x * x, y * y, x * y))
    measured = np.hypot(xx - yy, 2 * xy) / np.maximum(xx + yy, 1e-9)
    where = inside(image)
    return float(measured[where].mean()) if where.any() else 0.0


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


def pattern_class(image: NDArray[np.uint8]) -> PatternClass:
    """The pattern that an image (H, W) shows: a plain arch too where its core lies outside."""
    middles = slice(CELL // 2, None, CELL)
    cores, deltas = singular_points(
        estimate_orientation(image)[middles, middles], inside(image)[middles, middles]
    )
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


def inside(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where an image (H, W) shows ridges, less `EDGE` pixels along the print's outline."""
    print_ = binary_fill_holes(segment(image)[0])
    return binary_erosion(print_, np.ones((3, 3)), iterations=EDGE, border_value=1)


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
