"""Minutia Cylinder-Code: a matcher of another kind than Bozorth3, so that no figure hangs on one matcher.

Cappelli, Ferrara and Maltoni, "Minutia Cylinder-Code: a new representation and matching technique for
fingerprint recognition", 2010: binary cylinders, local similarity assignment with relaxation (LSA-R). The
cylinders are those of `afis`; their comparison is written here with matrix products, some 1,000 times faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from afis.algorithms.mcc import MCCParams, build_cylinders
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.special import expit

Reals = NDArray[np.floating]

LEAST_SHARED = 0.6  # of the cells must be valid in both cylinders
PAIRS = (4, 12)  # that the score is the mean of: n_P, by the number of minutiae
PAIRS_MIDDLE, PAIRS_SLOPE = 20.0, 0.4
ROUNDS, KEPT = 5, 0.5  # of relaxation: n_rel and w_R
MIDDLES = np.array([5.0, np.pi / 12, np.pi / 12])  # of the sigmoids: distance, two differences of angles
SLOPES = np.array([-1.6, -30.0, -30.0])


@dataclass(frozen=True, eq=False)
class Cylinders:
    """The valid cylinders of a print.

    Attributes:
        bits: float32 (n, cells), 1 where a neighbor contributes.
        valid: float32 (n, cells), 1 where the cell lies in the print.
        points: (n, 3): x and y in pixels, y up, and the angle in radians.
    """

    bits: Reals
    valid: Reals
    points: Reals


def cylinders(minutiae: Sequence[Sequence[float]], height: int) -> Cylinders:
    """Describe each minutia by its neighborhood.

    Args:
        minutiae: rows of x, y (from the top left), angle (degrees counterclockwise), type, quality.
        height: of the image in pixels.
    """
    rows = np.array(minutiae, np.float64).reshape(-1, 5)
    rows[:, 2] = np.radians(rows[:, 2])
    built = [each for each in build_cylinders(rows, MCCParams(), height=height) if each.valid]
    cells = np.array([each.values.ravel() for each in built] or np.zeros((0, 1)), np.float32)
    return Cylinders(
        (cells > 0.5).astype(np.float32),
        (cells >= 0).astype(np.float32),
        np.array([(each.x, each.y, each.theta) for each in built]).reshape(-1, 3),
    )


def local_similarities(one: Cylinders, other: Cylinders) -> Reals:
    """Returns how alike each cylinder of `one` is to each of `other`, (n, m), 0 to 1."""
    shared = one.valid @ other.valid.T
    set_in_one = (one.bits * one.valid) @ other.valid.T
    set_in_other = one.valid @ (other.bits * other.valid).T
    differing = set_in_one + set_in_other - 2 * (one.bits * one.valid) @ (other.bits * other.valid).T
    norms = np.sqrt(set_in_one) + np.sqrt(set_in_other)
    alike = 1 - np.sqrt(differing.clip(0)) / np.maximum(norms, 1e-6)
    cells = max(one.valid.sum(1).max(), other.valid.sum(1).max())
    turned = np.abs(_turn(one.points[:, None, 2] - other.points[None, :, 2]))
    comparable = (shared >= LEAST_SHARED * cells) & (turned <= np.pi / 2) & (norms > 0)
    return np.where(comparable, alike.clip(0), 0)


def match(one: Cylinders, other: Cylinders) -> float:
    """Returns the LSA-R score of two prints, 0 (nothing in common) to 1."""
    if min(len(one.points), len(other.points)) < 2:
        return 0.0
    alike = local_similarities(one, other)
    rows, columns = linear_sum_assignment(alike, maximize=True)
    first = alike[rows, columns]
    here, there = one.points[rows], other.points[columns]
    apart = np.stack(
        [
            np.abs(_distances(here) - _distances(there)),
            np.abs(_turn(_differences(here) - _differences(there))),
            np.abs(_turn(_bearings(here) - _bearings(there))),
        ],
        axis=-1,
    )
    compatible = expit(SLOPES * (apart - MIDDLES)).prod(axis=-1)
    np.fill_diagonal(compatible, 0)
    relaxed = first.copy()
    for _ in range(ROUNDS):
        relaxed = KEPT * relaxed + (1 - KEPT) / (len(first) - 1) * compatible @ relaxed
    smaller = min(len(one.points), len(other.points))
    count = PAIRS[0] + round(expit(PAIRS_SLOPE * (smaller - PAIRS_MIDDLE)) * (PAIRS[1] - PAIRS[0]))
    best = np.argsort(-relaxed / np.maximum(first, 1e-9), kind="stable")[: min(count, len(first))]
    return float(relaxed[best].mean())


def _distances(points: Reals) -> Reals:
    return np.hypot(*(points[:, None, :2] - points[None, :, :2]).transpose(2, 0, 1))


def _differences(points: Reals) -> Reals:
    return _turn(points[:, None, 2] - points[None, :, 2])


def _bearings(points: Reals) -> Reals:
    """Angle from each minutia's direction to each other minutia."""
    x, y = (points[None, :, :2] - points[:, None, :2]).transpose(2, 0, 1)
    return _turn(points[:, None, 2] - np.arctan2(y, x))


def _turn(angle: Reals) -> Reals:
    """An angle in radians, from -pi to pi."""
    return (angle + np.pi) % (2 * np.pi) - np.pi
