"""The phase of a ridge pattern with given minutiae: a ridge map is the cosine of it.

A ridge pattern is cos Ψ, where Ψ grows by 2π from ridge to ridge and winds once around every minutia (Larkin
and Fletcher, "A coherent framework for fingerprint analysis: are fingerprints holograms?", Optics Express
15(14), 2007). Orientation and period give the gradient of Ψ, so Ψ is found by least squares: it follows the
fields as well as the minutiae allow and has no other minutia. Two things keep that from being a plain Poisson
equation, and both are handled exactly:

- An orientation has no sign. Neighbors are compared in the direction of one of them: where their gradients
  point apart, the neighbor's phase counts with the opposite sign ("twist"; the cosine does not change).
- Around a core or delta no choice of signs fits, and a whole number of half periods is free at each of them.
  These numbers are unknowns of the same least squares, rounded one by one, the surest first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...arguments import AnyFloats as Floats
from .multigrid import solve

_SINGULAR = 12  # plaquettes of orientation that are cores or deltas, at most: more are noise of the field
_SEEN = 0.3  # weight from which on a singular plaquette counts
_LOOK_AHEAD = (
    0.75  # periods from a minutia along its direction: on its ridge, or in the valley of a bifurcation
)
_ANCHOR = 2  # pixels around the point there that are held: 5 by 5


def phase(
    orientation: Floats,
    period: Floats,
    xy: Floats,
    angle: Floats,
    ending: NDArray[np.bool_],
    typed: NDArray[np.bool_],
    weight: Floats,
) -> NDArray[np.float32]:
    """The phase of ridges that follow an orientation and a period and have the given minutiae and no others.

    Args:
        orientation: (H, W), radians counter-clockwise as seen (y up), modulo π. H and W divide by 32.
        period: (H, W), pixels of this grid.
        xy: (M, 2), minutiae, pixels of this grid, y down. Those outside the grid are left out.
        angle: (M,), directions of the minutiae as in ISO/IEC 19794-2, radians counter-clockwise as seen.
        ending: bool (M,), whether a minutia is the end of a ridge; otherwise it is a bifurcation.
        typed: bool (M,), whether that is known.
        weight: (H, W), positive, how much the fields are to be trusted.

    Returns:
        float32 (H, W), radians; its cosine is 1 on ridges and -1 in valleys. Unwrapped but for whole turns
        and for its sign, both of which may jump between neighbors.
    """
    graph = _Graph(orientation, period, weight)
    for (x, y), direction in zip(xy, angle, strict=True):
        graph.add_minutia(float(x), float(y), float(direction))
    psi = graph.solve()
    step = _LOOK_AHEAD * period[tuple(_pixels(xy, orientation.shape).T)]
    ahead = _pixels(xy + step[:, None] * np.stack([np.cos(angle), -np.sin(angle)], 1), orientation.shape)
    wanted = np.where(ending, 0.0, np.pi)
    # The phase of all ridges together is free by half a turn: as most of the minutiae want it.
    votes = np.cos(psi[tuple(ahead.T)] - wanted)[typed]
    if votes.sum() < 0:
        psi = psi + np.pi
    return graph.anchored(psi, ahead[typed], wanted[typed]).astype(np.float32)


def _pixels(xy: Floats, shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Rows and columns (M, 2) of the pixels nearest to points (M, 2)."""
    limit = np.array(shape) - 1
    return np.clip(np.rint(xy[:, ::-1]), 0, limit).astype(np.intp)


class _Graph:
    """Pixels as nodes, each with its neighbors to the right and below.

    An edge has a twist (1 or -1), a weight and the increment of phase that is wanted along it, in the sign of
    its first pixel. A winding is made by increments of 2π on the edges that cross a string, from the
    plaquette of four pixels around it to the border: the cosine does not see them, the gradient does.
    """

    def __init__(self, orientation: Floats, period: Floats, weight: Floats) -> None:
        self.nx, self.ny = np.sin(orientation), np.cos(orientation)  # across the ridge, y down
        k = 2 * np.pi / period
        self.twist_x = _signs(self.nx[:, :-1] * self.nx[:, 1:] + self.ny[:, :-1] * self.ny[:, 1:])
        self.twist_y = _signs(self.nx[:-1] * self.nx[1:] + self.ny[:-1] * self.ny[1:])
        kx, ky = k * self.nx, k * self.ny
        self.wanted_x = (kx[:, :-1] + self.twist_x * kx[:, 1:]) / 2
        self.wanted_y = (ky[:-1] + self.twist_y * ky[1:]) / 2
        self.weight = weight
        self.weight_x = (weight[:, :-1] + weight[:, 1:]) / 2
        self.weight_y = (weight[:-1] + weight[1:]) / 2

    def add_minutia(self, x: float, y: float, direction: float) -> None:
        """Have the phase wind once around a point, in the sense of a minutia of this direction."""
        height, width = self.weight.shape
        row, column = int(np.floor(y)), int(np.floor(x))
        if not (0 <= row < height - 1 and 0 <= column < width - 1):
            return
        along = self.nx[row, column] * np.sin(direction) + self.ny[row, column] * np.cos(direction)
        self.wanted_y += self._string(row, column, 1.0 if along >= 0 else -1.0)

    def solve(self) -> Floats:
        """The phase (H, W) by least squares."""
        strings = [self._string(row, column, 1.0) for row, column in self._singular()]
        sides = np.stack([self._normal(self.wanted_x, self.wanted_y)])
        if not strings:
            return solve(self.weight_x * self.twist_x, self.weight_y * self.twist_y, sides)[0]
        # What a string of unit charge asks for, then all of it at once.
        none = np.zeros_like(self.wanted_x)
        sides = np.concatenate([sides, [self._normal(none, string) for string in strings]])
        phases = solve(self.weight_x * self.twist_x, self.weight_y * self.twist_y, sides)
        residuals = [self._residual(phases[0], self.wanted_x, self.wanted_y)]
        residuals += [self._residual(p, none, s) for p, s in zip(phases[1:], strings, strict=True)]
        charges = _whole_numbers(np.stack(residuals[1:], axis=1), residuals[0])
        return phases[0] + np.tensordot(charges, phases[1:], 1)

    def anchored(self, psi: Floats, pixels: NDArray[np.intp], wanted: Floats) -> Floats:
        """The phase, moved smoothly to be as wanted (M,), but for whole turns, at pixels (M, 2)."""
        anchors, goal = np.zeros_like(psi), np.zeros_like(psi)
        for (row, column), value in zip(pixels, wanted, strict=True):
            rows = slice(max(row - _ANCHOR, 0), row + _ANCHOR + 1)
            columns = slice(max(column - _ANCHOR, 0), column + _ANCHOR + 1)
            off = float(value - psi[row, column])
            off -= 2 * np.pi * round(off / (2 * np.pi))
            aligned = _signs(
                self.nx[rows, columns] * self.nx[row, column] + self.ny[rows, columns] * self.ny[row, column]
            )
            anchors[rows, columns] += self.weight[row, column]
            goal[rows, columns] += self.weight[row, column] * off * aligned
        if not anchors.any():
            return psi
        return psi + solve(self.weight_x * self.twist_x, self.weight_y * self.twist_y, goal[None], anchors)[0]

    def _string(self, row: int, column: int, charge: float) -> Floats:
        """Increments (H - 1, W) of the vertical edges that a string from a plaquette to a side crosses."""
        increments = np.zeros_like(self.wanted_y)
        twists = self.twist_x[row]
        if column + 1 < self.weight.shape[1] // 2:
            carried = np.cumprod(np.concatenate([[1.0], twists[:column][::-1]]))[::-1]
            increments[row, : column + 1] = 2 * np.pi * charge * carried
        else:
            increments[row, column + 1 :] = -2 * np.pi * charge * np.cumprod(twists[column:])
        return increments

    def _singular(self) -> list[tuple[int, int]]:
        """Plaquettes that no choice of signs fits: cores and deltas, those of the largest weight."""
        around = self.twist_x[:-1] * self.twist_x[1:] * self.twist_y[:, :-1] * self.twist_y[:, 1:]
        seen = np.where(around < 0, self.weight[:-1, :-1], 0.0)
        order = np.argsort(-seen, axis=None, kind="stable")[:_SINGULAR]
        rows, columns = np.unravel_index(order, seen.shape)
        return [
            (int(r), int(c)) for r, c in zip(rows, columns, strict=True) if seen[r, c] > _SEEN * seen.max()
        ]

    def _normal(self, wanted_x: Floats, wanted_y: Floats) -> Floats:
        """Right-hand side (H, W) of the normal equations."""
        side = np.zeros_like(self.weight)
        flow = self.weight_x * wanted_x
        side[:, :-1] -= flow
        side[:, 1:] += self.twist_x * flow
        flow = self.weight_y * wanted_y
        side[:-1] -= flow
        side[1:] += self.twist_y * flow
        return side

    def _residual(self, psi: Floats, wanted_x: Floats, wanted_y: Floats) -> Floats:
        """What least squares leaves, on every edge, times the root of its weight: one row."""
        x = self.twist_x * psi[:, 1:] - psi[:, :-1] - wanted_x
        y = self.twist_y * psi[1:] - psi[:-1] - wanted_y
        return np.concatenate([(np.sqrt(self.weight_x) * x).ravel(), (np.sqrt(self.weight_y) * y).ravel()])


def _signs(values: Floats) -> Floats:
    return np.where(values >= 0, 1.0, -1.0)


def _whole_numbers(columns: Floats, rest: Floats) -> Floats:
    """Whole numbers q (K,) that make |rest + columns q| small: rounded one by one, the surest first."""
    charges = np.zeros(columns.shape[1])
    free = list(range(len(charges)))
    while free:
        best = np.linalg.lstsq(columns[:, free], -rest, rcond=None)[0]
        surest = int(np.argmin(np.abs(best - np.rint(best))))
        number = free.pop(surest)
        charges[number] = np.rint(best[surest])
        rest = rest + charges[number] * columns[:, number]
    return charges
