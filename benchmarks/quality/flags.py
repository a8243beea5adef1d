"""Defects of a set that its figures show: duplicates, copies as mates, holes, and another look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import ks_2samp

from .minutiae_statistics import Histograms, permutation_test

DUPLICATE = 60.0
"""Bozorth3 score of two images that are taken for one finger. NIST calls 40 a likely match of two prints; in
a large set, with all its pairs, some reach 40 by chance."""

MOST_DUPLICATES = 0.005  # of the fingers
COPIED = 0.5  # of a mate's minutiae in their places: median over the pairs
HOLE = 0.001  # of a print's area
MOST_WITH_HOLES = 0.05  # of the images
SIGNIFICANCE = 0.01  # of all tests against the reference together (Bonferroni)
LEAST_SAMPLES = 8
MINUTIAE_KINDS = {
    "places": "where minutiae lie",
    "directions": "where minutiae point",
    "pairs": "distances and angles of pairs of minutiae",
}


def find_flags(
    holes: Sequence[float], matching: Mapping[str, Any], fingers: int, in_place: Sequence[float]
) -> tuple[str, ...]:
    """Find the defects of one set.

    Args:
        holes: share of each print without ridges.
        matching: figures of `evaluation`.
        fingers: of the set.
        in_place: share of minutiae in the same place, for each mated pair.

    Returns:
        One line per defect.
    """
    flags = []
    twins = matching["duplicate_fingers"]
    if twins > MOST_DUPLICATES * fingers:
        flags.append(
            f"duplicates: {twins} of {fingers} fingers match another finger with a Bozorth3 score of"
            f" {DUPLICATE:.0f} or more"
        )
    if len(in_place) and np.median(in_place) >= COPIED:
        flags.append(
            f"mates are copies: the median mated pair has {np.median(in_place):.0%} of its minutiae in the"
            " same place, as two captures of a finger never have"
        )
    with_holes = float(np.mean(np.array(holes) > HOLE))
    if with_holes > MOST_WITH_HOLES:
        flags.append(
            f"holes: {with_holes:.0%} of the images have places without ridges in the print (erased, or"
            " very dry)"
        )
    return tuple(flags)


def differences(
    samples: Mapping[str, Sequence[float]], reference: Mapping[str, Sequence[float]]
) -> tuple[str, ...]:
    """Compare two sets, figure by figure, with the two-sample Kolmogorov-Smirnov test.

    Args:
        samples: figure → value for each finger.
        reference: the same, of the set to compare with.

    Returns:
        One line per figure whose distributions differ.
    """
    tested = [
        name for name in samples if min(len(samples[name]), len(reference.get(name, ()))) >= LEAST_SAMPLES
    ]
    lines = []
    for name in tested:
        result = ks_2samp(samples[name], reference[name])
        if result.pvalue < SIGNIFICANCE / len(tested):
            one, other = np.median(samples[name]), np.median(reference[name])
            lines.append(
                f"unlike the reference: {name.replace('_', ' ')}, median {one:.4g} against {other:.4g}"
                f" (p = {result.pvalue:.1e})"
            )
    return tuple(lines)


def histogram_differences(
    counted: Mapping[str, Histograms], reference: Mapping[str, Histograms]
) -> tuple[dict[str, dict[str, float]], tuple[str, ...]]:
    """Compare how minutiae are spread in two sets, by permutation of their fingers.

    Args:
        counted: histograms of each finger, by `minutiae_statistics`.
        reference: the same, of the set to compare with.

    Returns:
        Total variation and p of each kind, and one line per kind that differs.
    """
    figures, lines = {}, []
    for name in counted:
        if min(len(counted[name]), len(reference[name])) < LEAST_SAMPLES:
            continue
        distance, p = permutation_test(counted[name], reference[name])
        figures[name] = {"total_variation": round(distance, 5), "p": round(p, 5)}
        if p < SIGNIFICANCE / len(counted):
            lines.append(
                f"unlike the reference: {MINUTIAE_KINDS[name]}, total variation {distance:.3f} (p = {p:.3f})"
            )
    return figures, tuple(lines)
