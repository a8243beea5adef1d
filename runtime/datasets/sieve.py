"""A cheap first look at pairs of prints: could they match at all?

Bozorth3 (Watson et al., "User's Guide to NIST Biometric Image Software", 2007) compares pairs of minutiae:
their distance and both angles with the line between them do not change when a print is moved or turned, and
in prints that match many such pairs agree that are turned by the same angle. How many are is counted here,
with bins instead of tolerances, for one print and many others at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..arguments import Floats

NEAREST, FARTHEST = 16.0, 125.0  # pixels between the minutiae of a pair; Bozorth3 takes none that are farther
RINGS, ANGLES, TURNS = 20, 16, 32  # bins of the distance's logarithm, of an angle, of the turn between prints
_KEYS = RINGS * ANGLES * ANGLES


class Sieve:
    """Pairs of minutiae of many prints, by their bins."""

    def __init__(self, prints: Sequence[Floats]) -> None:
        """`prints`: of each, float32 (M, 3): x, y in pixels at 500 ppi, angle in degrees."""
        self._prints = len(prints)
        self._counts = np.array([len(minutiae) for minutiae in prints])
        places, turns, owners = [], [], []
        for number, minutiae in enumerate(prints):
            features, turn = _pairs(minutiae)
            places.append(_keys(np.floor(features).astype(np.int64)))
            turns.append(turn)
            owners.append(np.full(len(turn), number, np.int32))
        keys = np.concatenate(places) if places else np.zeros(0, np.int64)
        order = np.argsort(keys, kind="stable")
        self._starts = np.searchsorted(keys[order], np.arange(_KEYS + 1))
        self._turn = np.concatenate(turns)[order] if turns else np.zeros(0, np.float32)
        self._owner = np.concatenate(owners)[order] if owners else np.zeros(0, np.int32)

    def agreeing(self, minutiae: Floats) -> NDArray[np.float64]:
        """How many pairs of minutiae of a print agree with pairs of each print, at the turn at which most do.

        Args:
            minutiae: float32 (M, 3), as those of the prints.

        Returns:
            (N,), beyond those of a middling turn, for each hundred pairs of a minutia of one and one of the
            other: the more minutiae, the more pairs agree by chance.
        """
        features, turn = _pairs(minutiae)
        once = turn < np.pi  # every pair is there in both directions
        features, turn = features[once], turn[once]
        # A value in the lower half of its bin may agree with the bin below, in the upper half with the next.
        bins = np.floor(features).astype(np.int64)
        beside = np.where(features - bins < 0.5, -1, 1)
        total = np.zeros(self._prints * TURNS)
        for choice in range(8):
            chosen = bins + beside * np.array([choice >> 2 & 1, choice >> 1 & 1, choice & 1])
            inside = (chosen[:, 0] >= 0) & (chosen[:, 0] < RINGS)
            total += self._count(_keys(chosen[inside]), turn[inside])
        by_turn = total.reshape(self._prints, TURNS)
        near = by_turn + np.roll(by_turn, 1, 1) + np.roll(by_turn, -1, 1)
        excess = near.max(axis=1) - 3 * by_turn.mean(axis=1)
        return 100.0 * excess / np.maximum(len(minutiae) * self._counts, 1)

    def _count(self, keys: NDArray[np.int64], turn: Floats) -> NDArray[np.int64]:
        counts = self._starts[keys + 1] - self._starts[keys]
        ends = np.cumsum(counts)
        every = ends[-1] if len(ends) else 0
        hits = np.arange(every) + np.repeat(self._starts[keys] - (ends - counts), counts)
        turned = (np.repeat(turn, counts) - self._turn[hits]) * (TURNS / (2 * np.pi))
        cells = self._owner[hits] * TURNS + np.floor(turned).astype(np.int64) % TURNS
        return np.bincount(cells, minlength=self._prints * TURNS)


def _pairs(minutiae: Floats) -> tuple[Floats, Floats]:
    """Pairs of minutiae, each in both directions.

    Returns:
        In units of bins (P, 3): logarithm of the distance, both angles with the line; and the direction of
        the line, [0, 2 pi), (P,).
    """
    x, y = minutiae[:, 0].astype(np.float64), minutiae[:, 1].astype(np.float64)
    angle = np.radians(minutiae[:, 2].astype(np.float64))
    dx, dy = x[None, :] - x[:, None], y[:, None] - y[None, :]  # y up
    apart = np.hypot(dx, dy)
    one, other = np.nonzero((apart >= NEAREST) & (apart < FARTHEST))
    line = np.arctan2(dy[one, other], dx[one, other]) % (2 * np.pi)
    ring = np.log(apart[one, other] / NEAREST) * (RINGS / np.log(FARTHEST / NEAREST))
    angles = ((angle[[one, other]] - line) % (2 * np.pi)) * (ANGLES / (2 * np.pi))
    return np.column_stack([ring, *angles]).astype(np.float32), line.astype(np.float32)


def _keys(bins: NDArray[np.int64]) -> NDArray[np.int64]:
    return (bins[:, 0] * ANGLES + bins[:, 1] % ANGLES) * ANGLES + bins[:, 2] % ANGLES
