"""Mated impressions: several images of one finger, by SeFa edits of its latent that its seed draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..backends import Backend
from ..bundle.manifest import NoiseMode
from ..errors import BadInput
from ..images import Pixels
from ..model import Model
from ..seeds import edits as draw_edits

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Mate:
    """Impression number `impression`, from 1, of the finger of `seed`.

    `direction`: SeFa direction along which w is moved, by `degree`; None: the finger as it is.
    """

    seed: int
    impression: int
    direction: int | None = None
    degree: float = 0.0


def mates(seed: int, impressions: int, directions: Sequence[int], degree: float) -> Iterator[Mate]:
    """The impressions of a finger: as it is, then with edits along one of `directions` each, by a degree in
    [-degree, degree); both drawn uniformly. More impressions leave the first ones as they are.
    """
    yield Mate(seed, 1)
    for number, (choice, extent) in enumerate(draw_edits(seed, impressions - 1), start=2):
        direction = directions[int(choice * len(directions))]
        yield Mate(seed, number, direction, round((2 * extent - 1) * degree, 3))


@dataclass(frozen=True, eq=False)
class Drawn:
    """A batch: z (fingers, style_dim), each image's finger (N,), moves of w (N, style_dim), noise."""

    z: Floats
    finger: NDArray[np.intp]
    moves: Floats
    noise: Sequence[Floats]


@dataclass(frozen=True)
class MatedSynthesis:
    """The steps of the pipeline for mates. Images of a finger have the same noise.

    layers: style inputs that are edited; None: those that the bundle recommends. Truncation comes after the
    edit, as in `Model.edit`.
    """

    model: Model
    truncation: float | None = None
    noise: NoiseMode | None = None
    layers: Sequence[int] | None = None
    size: int | None = None

    def __post_init__(self) -> None:
        self.model.edit_layers(self.layers)

    @property
    def backend(self) -> Backend:
        """What computes."""
        return self.model.backend

    def draw(self, batch: Sequence[Mate]) -> Drawn:
        """Random numbers and moves of a batch."""
        directions = self.model.bundle.latents.sefa_directions
        moves = np.zeros((len(batch), self.model.style_dim), np.float32)
        for move, mate in zip(moves, batch, strict=True):
            if mate.direction is not None:
                move[:] = np.float32(mate.degree) * directions[mate.direction]
        seeds = [mate.seed for mate in batch]
        fingers = list(dict.fromkeys(seeds))
        return Drawn(
            self.model.z(fingers),
            np.array([fingers.index(seed) for seed in seeds]),
            moves,
            self.model.noise_buffers(self.noise, seeds, len(seeds)),
        )

    def compute(self, drawn: Drawn) -> Pixels:
        """The networks: uint8 (N, C, R, R)."""
        w = self.model.styles(self.model.map(drawn.z)[drawn.finger]).copy()
        w[:, self.model.edit_layers(self.layers)] += drawn.moves[:, None]
        return self.model.backend.render(self.model.truncate(w, self.truncation), drawn.noise)

    def finish(self, levels: Pixels) -> Pixels:
        """One of the network's images (C, R, R) → uint8 (size, size), or (size, size, 3)."""
        return self.model.finish(levels, self.size)


def check_directions(model: Model, directions: Sequence[int]) -> Sequence[int]:
    """`directions`, if the bundle has them; `BadInput` if not."""
    known = len(model.bundle.latents.sefa_directions)
    for direction in directions:
        if not 0 <= direction < known:
            raise BadInput(f"directions: {direction}; this bundle has 0-{known - 1}")
    return directions
