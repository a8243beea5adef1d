"""Error rates of a matcher from its scores, with bootstrap intervals over fingers (ISO/IEC 19795-1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

FMR100, FMR1000 = 1e-2, 1e-3
REPLICATES = 200  # of the bootstrap
INTERVAL = (2.5, 97.5)  # percentiles: 95 %
LEAST_PAIRS = 1.0  # expected false matches behind a rate: with fewer it says nothing, and is None
DET_POINTS = 200


@dataclass(frozen=True, eq=False)
class Scores:
    """Similarity scores of pairs, and which fingers are in each pair.

    Attributes:
        mated: scores (M,) of pairs of one finger.
        mated_finger: index (M,) of that finger.
        non_mated: scores (N,) of pairs of different fingers.
        non_mated_fingers: indices (N, 2) of those.
        fingers: how many there are.
    """

    mated: Doubles
    mated_finger: NDArray[np.intp]
    non_mated: Doubles
    non_mated_fingers: NDArray[np.intp]
    fingers: int


@dataclass(frozen=True)
class Rate:
    """A figure, with the bounds of its 95 % interval; None where the pairs are too few to tell."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, eq=False)
class Curve:
    """False match and false non-match rates at every threshold: `score >= threshold` is a match."""

    thresholds: Doubles
    fmr: Doubles
    fnmr: Doubles

    def equal_error_rate(self) -> float:
        """Returns the rate where FMR and FNMR cross, as the Fingerprint Verification Competition has it.

        Of the last threshold with FNMR <= FMR and the first with FNMR >= FMR, that with the smaller sum of
        both rates counts, by their mean (Maio et al., "FVC2000", 2002, section 3.2).
        """
        last = int(np.flatnonzero(self.fnmr <= self.fmr)[-1])
        first = int(np.flatnonzero(self.fnmr >= self.fmr)[0])  # the same where both rates are equal
        sums = (self.fmr + self.fnmr)[[last, first]]
        return float(sums.min() / 2)

    def fnmr_at(self, fmr: float) -> float:
        """Returns the lowest FNMR of the thresholds at which the FMR is at most `fmr`."""
        return float(self.fnmr[self.fmr <= fmr].min())


def curve(
    mated: Doubles,
    non_mated: Doubles,
    mated_weights: Doubles | None = None,
    other_weights: Doubles | None = None,
) -> Curve:
    """Both rates at every score that occurs, and above all of them.

    Args:
        mated: scores (M,), M > 0.
        non_mated: scores (N,), N > 0.
        mated_weights: how often each mated pair counts; None for once.
        other_weights: likewise, of the non-mated pairs.
    """
    thresholds = np.append(np.unique(np.concatenate([mated, non_mated])), np.inf)

    def below(scores: Doubles, weights: Doubles | None) -> Doubles:
        """The share of the scores below each threshold."""
        places = np.searchsorted(thresholds, scores)
        counts = np.bincount(places, weights, minlength=len(thresholds)).astype(np.float64)
        return np.concatenate([[0.0], np.cumsum(counts)[:-1]]) / counts.sum()

    return Curve(thresholds, 1.0 - below(non_mated, other_weights), below(mated, mated_weights))


def error_rates(scores: Scores, replicates: int = REPLICATES, seed: int = 0) -> dict[str, Rate]:
    """EER, FMR100, FMR1000 and TAR at FMR 1 %, 0.1 % and 0.01 %, each a share from 0 to 1.

    The bootstrap draws fingers with replacement: a pair counts as often as its fingers were drawn together.
    Pairs of one finger with itself stay out.
    """
    if not len(scores.mated) or not len(scores.non_mated):
        return {}
    count = len(scores.non_mated)
    measures = {
        "eer": lambda c: c.equal_error_rate(),
        "fmr100": lambda c: c.fnmr_at(FMR100),
        "fmr1000": lambda c: c.fnmr_at(FMR1000),
        "tar_at_fmr_0.01": lambda c: 1 - c.fnmr_at(1e-2),
        "tar_at_fmr_0.001": lambda c: 1 - c.fnmr_at(1e-3),
        "tar_at_fmr_0.0001": lambda c: 1 - c.fnmr_at(1e-4),
    }
    needed = {"fmr100": 1e-2, "fmr1000": 1e-3, "tar_at_fmr_0.01": 1e-2, "tar_at_fmr_0.001": 1e-3,
              "tar_at_fmr_0.0001": 1e-4}  # fmt: skip
    known = {name: f for name, f in measures.items() if count * needed.get(name, 1.0) >= LEAST_PAIRS}
    whole = curve(scores.mated, scores.non_mated)
    rng = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {name: [] for name in known}
    for _ in range(replicates):
        times = np.bincount(rng.integers(scores.fingers, size=scores.fingers), minlength=scores.fingers)
        mated_weights = times[scores.mated_finger].astype(np.float64)
        other_weights = times[scores.non_mated_fingers].prod(axis=1).astype(np.float64)
        if mated_weights.sum() == 0 or other_weights.sum() == 0:
            continue
        one = curve(scores.mated, scores.non_mated, mated_weights, other_weights)
        for name, measure in known.items():
            drawn[name].append(measure(one))
    rates = {}
    for name in measures:
        if name not in known:
            rates[name] = Rate(None)
            continue
        low, high = np.percentile(drawn[name], INTERVAL) if drawn[name] else (np.nan, np.nan)
        rates[name] = Rate(known[name](whole), float(low), float(high))
    return rates


def same_scores(
    one: Scores, other: Scores, mated: bool, replicates: int = 1000, seed: int = 0
) -> tuple[float, float] | None:
    """Kolmogorov-Smirnov test of whether the scores of two sets of fingers have one distribution.

    Pairs share fingers, which the usual p does not know: it finds differences between halves of one set. This
    one is of a bootstrap that draws fingers, as `error_rates` does: how often the distributions of such draws
    differ as much from their sets' own as these do from each other.

    Args:
        one: scores of a set.
        other: those of a set of other fingers.
        mated: whether mated or non-mated pairs are compared.
        replicates: draws.
        seed: of the draws.

    Returns:
        The statistic and its p; None where a set has no such pairs.
    """
    sides = [(s.mated if mated else s.non_mated, s) for s in (one, other)]
    if not all(len(scores) for scores, _ in sides):
        return None
    values = np.unique(np.concatenate([scores for scores, _ in sides]))
    places = [np.searchsorted(values, scores) for scores, _ in sides]

    def distribution(side: int, weights: Doubles | None = None) -> Doubles:
        counts = np.bincount(places[side], weights, minlength=len(values))
        return np.cumsum(counts) / max(counts.sum(), 1)

    whole = distribution(0), distribution(1)
    statistic = float(np.abs(whole[0] - whole[1]).max())
    rng = np.random.default_rng(seed)
    farther = 0
    for _ in range(replicates):
        moved = []
        for side, (_, scores) in enumerate(sides):
            times = np.bincount(rng.integers(scores.fingers, size=scores.fingers), minlength=scores.fingers)
            weights = times[scores.mated_finger] if mated else times[scores.non_mated_fingers].prod(axis=1)
            moved.append(distribution(side, weights.astype(np.float64)) - whole[side])
        farther += bool(np.abs(moved[0] - moved[1]).max() >= statistic)
    return statistic, (farther + 1) / (replicates + 1)


def det_points(scores: Scores) -> list[tuple[float, float]]:
    """Returns (FMR, FNMR) of the detection error trade-off, `DET_POINTS` at most, from high FMR to low."""
    if not len(scores.mated) or not len(scores.non_mated):
        return []
    whole = curve(scores.mated, scores.non_mated)
    chosen = np.unique(np.linspace(0, len(whole.thresholds) - 1, DET_POINTS).round().astype(int))
    return [(round(float(whole.fmr[i]), 6), round(float(whole.fnmr[i]), 6)) for i in chosen]
