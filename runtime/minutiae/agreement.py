"""Which minutiae of two templates of one image are the same: precision and recall of an extractor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from .template import Minutia, Template


@dataclass(frozen=True)
class Agreement:
    """Numbers of minutiae: found, true, and found ones that are true.

    Found ones that the finger has but hardly shows, `Template.unclear`, count as neither right nor wrong.
    """

    matched: int = 0
    found: int = 0
    true: int = 0

    @property
    def precision(self) -> float:
        """Fraction of the minutiae found that are true; 0 if none was found."""
        return self.matched / max(self.found, 1)

    @property
    def recall(self) -> float:
        """Fraction of the true minutiae that were found; 0 if there is none."""
        return self.matched / max(self.true, 1)

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(self.matched + other.matched, self.found + other.found, self.true + other.true)


def agreement(found: Template, true: Template, distance: float = 12.0, degrees: float = 20.0) -> Agreement:
    """Pair minutiae of two templates one to one, as many as possible; types are not compared.

    Args:
        found: Minutiae that were extracted.
        true: Minutiae that the image has, and those that are unclear.
        distance: Largest distance of a pair in pixels; 12 at 500 ppi is common.
        degrees: Largest difference of a pair's angles.

    Returns:
        The numbers of pairs and of minutiae in both templates.
    """
    here, there, unclear = map(_rows, (found.minutiae, true.minutiae, true.unclear))
    matched = _paired(here, there, distance, degrees)
    excused = _paired(here[~matched], unclear, distance, degrees)
    return Agreement(int(matched.sum()), len(here) - int(excused.sum()), len(there))


def _rows(minutiae: Sequence[Minutia]) -> NDArray[np.float64]:
    return np.array([(m.x, m.y, m.angle) for m in minutiae]).reshape(-1, 3)


def _paired(
    here: NDArray[np.float64], there: NDArray[np.float64], distance: float, degrees: float
) -> NDArray[np.bool_]:
    """Which of `here` have a partner in `there`, where as many as possible have one."""
    apart = np.hypot(*(here[:, None, :2] - there[None, :, :2]).transpose(2, 0, 1))
    turn = np.abs((here[:, None, 2] - there[None, :, 2] + 180) % 360 - 180)
    near = (apart <= distance) & (turn <= degrees)
    rows, columns = linear_sum_assignment(~near)
    paired = np.zeros(len(here), bool)
    paired[rows] = near[rows, columns]
    return paired
