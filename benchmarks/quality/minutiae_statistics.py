"""How minutiae are spread over prints: histograms by which real and synthetic fingerprints can be told apart.

First order: where minutiae lie in the print, and where they point. Second order: distance and difference of
directions of two minutiae of one print (Gottschlich and Huckemann, "Separating the real from the synthetic:
minutiae histograms as fingerprints of fingerprints", 2014).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Histograms = NDArray[np.float64]  # (N, ...): one per image or finger, counts

CELL, CELLS = 32, 8  # pixels and number per side of the grid around the middle of a print's minutiae
DIRECTIONS = 12  # bins of 30 degrees
DISTANCE, DISTANCES = 20, 10  # pixels per bin; farther pairs are left out
TURNS = 10  # bins of 18 degrees
PERMUTATIONS = 500


def histograms(prints: Sequence[Sequence[Sequence[float]]]) -> dict[str, Histograms]:
    """Count the minutiae of each image.

    Args:
        prints: minutiae of each image, rows of x, y (pixels), angle (degrees) and more.

    Returns:
        `places` (N, CELLS, CELLS), `directions` (N, DIRECTIONS) and `pairs` (N, DISTANCES, TURNS).
    """
    found = [_of_print(np.array(rows, np.float64).reshape(-1, 5)[:, :3]) for rows in prints]
    return {name: np.stack([each[name] for each in found]) for name in ("places", "directions", "pairs")}


def sum_by_finger(each: Mapping[str, Histograms], fingers: Sequence[Sequence[int]]) -> dict[str, Histograms]:
    """Add up the histograms of each finger's images.

    Args:
        each: of N images, as `histograms` gives them.
        fingers: indices of each finger's images.
    """
    return {name: np.stack([counts[group].sum(axis=0) for group in fingers]) for name, counts in each.items()}


def _of_print(minutiae: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    x, y, angle = minutiae.T
    half = CELL * CELLS / 2
    grid = np.linspace(-half, half, CELLS + 1)
    middle = (np.median(x), np.median(y)) if len(x) else (0.0, 0.0)
    one, other = np.triu_indices(len(x), 1)
    turn = np.abs((angle[one] - angle[other] + 180) % 360 - 180)
    return {
        "places": np.histogram2d(y - middle[1], x - middle[0], (grid, grid))[0],
        "directions": np.histogram(angle % 360, DIRECTIONS, (0, 360))[0].astype(np.float64),
        "pairs": np.histogram2d(
            np.hypot(x[one] - x[other], y[one] - y[other]), turn,
            (np.arange(DISTANCES + 1) * DISTANCE, np.linspace(0, 180, TURNS + 1)),
        )[0],
    }  # fmt: skip


def mean_histogram(each: Histograms) -> NDArray[np.float64]:
    """Returns the shares of all images' minutiae (or pairs) together, which sum to 1; zeros of none."""
    total = each.sum(axis=0)
    return total / max(total.sum(), 1.0)


def total_variation(one: Histograms, other: Histograms) -> float:
    """Returns the distance of two sets' histograms: 0 if they are alike, 1 if they share no bin."""
    return float(np.abs(mean_histogram(one) - mean_histogram(other)).sum() / 2)


def permutation_test(one: Histograms, other: Histograms, seed: int = 0) -> tuple[float, float]:
    """Whether two sets' histograms differ by more than chance.

    Fingers, not minutiae, are exchanged between the sets: minutiae of one finger depend on each other.

    Returns:
        The total variation, and the share of random exchanges whose total variation is as large.
    """
    found = total_variation(one, other)
    together = np.concatenate([one, other]).reshape(len(one) + len(other), -1)
    total = together.sum(axis=0)
    rng = np.random.default_rng(seed)
    as_large = 0
    for _ in range(PERMUTATIONS):
        part = together[rng.permutation(len(together))[: len(one)]].sum(axis=0)
        rest = total - part
        shares = part / max(part.sum(), 1.0) - rest / max(rest.sum(), 1.0)
        as_large += np.abs(shares).sum() / 2 >= found
    return found, (as_large + 1) / (PERMUTATIONS + 1)


def as_lists(each: Mapping[str, Histograms]) -> dict[str, list]:
    """Returns each kind's shares as nested lists, for JSON."""
    return {name: np.round(mean_histogram(counts), 6).tolist() for name, counts in each.items()}
