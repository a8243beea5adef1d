"""A cheap first look at pairs of prints: could they match at all?

Bozorth3 (Watson et al., "User's Guide to NIST Biometric Image Software", 2007) compares pairs of minutiae:
their distance and both angles with the line between them do not change when a print is moved or turned. In
prints that match, many such pairs agree by one and the same movement. How many do is counted here, with bins
instead of tolerances, for one print and many others at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arguments import Floats

NEAREST, FARTHEST = 16.0, 125.0  # pixels between the minutiae of a pair; Bozorth3 takes none that are farther
RINGS, ANGLES = 28, 20  # bins of the distance's logarithm, of an angle
TURNS, SHIFT = 24, 60.0  # bins of the turn between prints; bins of the shift, in pixels
_KEYS = RINGS * ANGLES * ANGLES
_CELLS = 2048  # of each print, for all movements: those that share one are rarely both frequent
_BESIDE = np.array([(one >> 2 & 1, one >> 1 & 1, one & 1) for one in range(8)])

Complex = NDArray[np.complex64]


class Sieve:
    """Pairs of minutiae of many prints, by their bins."""

    def __init__(self, prints: Sequence[Floats]) -> None:
        """`prints`: of each, float32 (M, 3): x, y in pixels at 500 ppi, angle in degrees."""
        self._prints = len(prints)
        self._minutiae = np.array([len(minutiae) for minutiae in prints])
        pairs = [_pairs(minutiae) for minutiae in prints]
        keys = _joined([_keys(np.floor(each.features).astype(np.int64)) for each in pairs], np.int64)
        order = np.argsort(keys, kind="stable")
        self._starts = np.searchsorted(keys[order], np.arange(_KEYS + 1))
        self._line = _joined([each.line for each in pairs], np.complex64)[order]
        self._middle = _joined([each.middle for each in pairs], np.complex64)[order]
        self._owner = np.repeat(np.arange(len(pairs)), [len(each.line) for each in pairs])[order]

    def likeness(self, minutiae: Floats) -> NDArray[np.float64]:
        """How many pairs of minutiae of a print agree with pairs of each print, by the commonest movement.

        Args:
            minutiae: float32 (M, 3), as those of the prints.

        Returns:
            (N,), divided by the geometric mean of both prints' numbers of minutiae: the more there are, the
            more pairs agree by chance.
        """
        pairs = _pairs(minutiae)
        ours, theirs = self._agreeing(pairs)
        turned = pairs.line[ours] * np.conj(self._line[theirs])
        moved = (pairs.middle[ours] - turned * self._middle[theirs]) / np.float32(SHIFT)
        turn = np.angle(turned) * np.float32(TURNS / (2 * np.pi))
        owner = self._owner[theirs] * _CELLS
        most = np.zeros(self._prints, np.int64)
        for offset in np.array([0, 0.5], np.float32):  # what the edges of bins divide, the second bins hold
            whole = [np.floor(each + offset).astype(np.int64) for each in (turn, moved.real, moved.imag)]
            cells = owner + ((whole[0] % TURNS * 31 + whole[1]) * 37 + whole[2]) % _CELLS
            counts = np.bincount(cells, minlength=self._prints * _CELLS)
            most = np.maximum(most, counts.reshape(self._prints, _CELLS).max(axis=1))
        return most / np.sqrt(np.maximum(len(minutiae) * self._minutiae, 1))

    def _agreeing(self, pairs: _Pairs) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Places of pairs of a print, and of those of all prints that they agree with."""
        once = np.flatnonzero(pairs.line.imag >= 0)  # every pair is there in both directions
        features = pairs.features[once]
        # A value in the lower half of its bin may agree with the bin below, in the upper half with the next.
        bins = np.floor(features).astype(np.int64)
        beside = np.where(features - bins < 0.5, -1, 1)
        near = (bins[:, None] + beside[:, None] * _BESIDE).reshape(-1, 3)
        inside = (near[:, 0] >= 0) & (near[:, 0] < RINGS)
        keys, ours = _keys(near[inside]), np.repeat(once, len(_BESIDE))[inside]
        starts = self._starts[keys]
        counts = self._starts[keys + 1] - starts
        before = np.cumsum(counts) - counts
        theirs = np.arange(counts.sum()) + np.repeat(starts - before, counts)
        return np.repeat(ours, counts), theirs


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Pairs of minutiae of a print, each in both directions; x + iy with y up.

    Attributes:
        features: (P, 3), in units of bins: logarithm of the distance, both angles with the line.
        line: (P,), direction of the line, of length 1.
        middle: (P,), place of its middle.
    """

    features: Floats
    line: Complex
    middle: Complex


def _pairs(minutiae: Floats) -> _Pairs:
    x, y, angle = minutiae.astype(np.float64).T
    place, angle = x - 1j * y, np.radians(angle)
    apart = place[None, :] - place[:, None]
    distance = np.abs(apart)
    one, other = np.nonzero((distance >= NEAREST) & (distance < FARTHEST))
    apart, distance = apart[one, other], distance[one, other]
    ring = np.log(distance / NEAREST) * (RINGS / np.log(FARTHEST / NEAREST))
    angles = ((angle[[one, other]] - np.angle(apart)) % (2 * np.pi)) * (ANGLES / (2 * np.pi))
    return _Pairs(
        np.column_stack([ring, *angles]).astype(np.float32),
        (apart / distance).astype(np.complex64),
        ((place[one] + place[other]) / 2).astype(np.complex64),
    )


def _keys(bins: NDArray[np.int64]) -> NDArray[np.int64]:
    return (bins[:, 0] * ANGLES + bins[:, 1] % ANGLES) * ANGLES + bins[:, 2] % ANGLES


def _joined(parts: Sequence[NDArray[Any]], kind: type) -> NDArray[Any]:
    return np.concatenate([np.zeros(0, kind), *parts])
