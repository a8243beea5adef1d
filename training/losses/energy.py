"""How well images drawn at random agree with one that is given: the energy score.

For a real x and drawn y, y' of the same condition, E|y - x| - E|y - y'| / 2 is least where y is distributed
as x is (Gneiting and Raftery, "Strictly proper scoring rules, prediction, and estimation", JASA 102, 2007).
An L1 distance alone would be least for images without grain or stains, which nobody can foresee.
"""

from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor

SCALES = (1, 2, 4, 8, 16, 32)  # sides in pixels of the squares whose means are compared


def energy_score(first: Tensor, second: Tensor, reals: Tensor, seen: Tensor) -> Tensor:
    """Of pixels, their differences along rows and columns, and means over squares; the sum of all.

    Args:
        first: (N, C, R, R), images drawn for the conditions of `reals`.
        second: (N, C, R, R), others drawn for the same conditions.
        reals: (N, C, R, R).
        seen: (N, 1, R, R), 1 where the reals show something and 0 elsewhere.

    Returns:
        Scalar.
    """
    off, also_off = (first - reals) * seen, (second - reals) * seen
    parts = zip(_features(off), _features(also_off), strict=True)
    return sum(((a.abs() + b.abs() - (a - b).abs()).mean() / 2 for a, b in parts), start=reals.new_zeros(()))


def _features(x: Tensor) -> Iterator[Tensor]:
    """Linear in x: pixels and means over squares; of the finest two, differences along rows and columns."""
    for number, scale in enumerate(SCALES):
        if scale > min(x.shape[2:]):
            return
        if number:
            x = F.avg_pool2d(x, scale // SCALES[number - 1])
        yield x
        if number < 2:
            yield x[..., 1:] - x[..., :-1]
            yield x[..., 1:, :] - x[..., :-1, :]
