"""Mated impressions: several images of one finger.

With ridge noise, each has its own placement, distortion, contact and look; else it is a SeFa edit, drawn by
the seed, of the finger's latent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..arguments import Floats
from ..backends import Backend
from ..bundle.manifest import NoiseMode
from ..errors import BadInput
from ..fingers import Effects, FingerPosition, Impression, PatternClass
from ..images import Pixels
from ..pipeline.networks import Networks
from ..seeds import edits as draw_edits
from ..seeds import look

FIRST, FURTHER = "easy", "medium"  # presets of impressions with ridge noise


@dataclass(frozen=True)
class Mate:
    """Impression number `impression`, from 1, of the finger of `seed`.

    `direction`: SeFa direction along which w is moved, by `degree`; None: the finger as it is. `number`: of
    the impression among all that the finger has, where that is not `impression` - 1. `position`: which of the
    ten fingers it is, where that is known. `rolled`: whether it is taken from nail to nail.
    """

    seed: int
    impression: int
    direction: int | None = None
    degree: float = 0.0
    number: int | None = None
    position: FingerPosition | None = None
    rolled: bool = False

    @property
    def capture_number(self) -> int:
        """The number of the impression's capture: what its placement and look are sampled with."""
        return self.impression - 1 if self.number is None else self.number


def mate(
    seed: int,
    impression: int,
    directions: Sequence[int],
    degree: float,
    number: int | None = None,
    position: FingerPosition | None = None,
    rolled: bool = False,
) -> Mate:
    """Impression `impression` of a finger: the first is the finger as it is, each further one has an edit
    along one of `directions`, by a degree in [-degree, degree); both drawn uniformly. Without `directions`
    there is no edit.
    """
    if not directions or impression == 1:
        return Mate(seed, impression, number=number, position=position, rolled=rolled)
    choice, extent = draw_edits(seed, impression - 1)[-1]
    direction = directions[int(choice * len(directions))]
    return Mate(seed, impression, direction, round((2 * extent - 1) * degree, 3), number, position, rolled)


def preset_of(preset: str | None, impression: int) -> str:
    """The preset of impression `impression`, from 1, of a finger where `preset` is asked for, or None."""
    return preset or (FIRST if impression == 1 else FURTHER)


def looks_as_synth(preset: str | None, impression: int, effects: Effects | None = None) -> bool:
    """Whether impression `impression`, from 1, has the look that `synth` gives its finger, any, and not that
    of a preset."""
    return preset is None and effects in (None, Effects()) and impression == 1


def mates(seed: int, impressions: int, directions: Sequence[int], degree: float) -> Iterator[Mate]:
    """The impressions of a finger, from the first; see `mate`."""
    for impression in range(1, impressions + 1):
        yield mate(seed, impression, directions, degree)


@dataclass(frozen=True, eq=False)
class MatedInputs:
    """A batch: z (fingers, style_dim); each image's finger (N,) and whether its look was drawn (N,), not
    given by a preset or effects; moves of w (N, style_dim); noise."""

    z: Floats
    finger: NDArray[np.intp]
    drawn: NDArray[np.bool_]
    moves: Floats
    noise: Sequence[Floats]


@dataclass(frozen=True)
class MatedSynthesis:
    """The steps of the pipeline for mates. Edits of a finger have the same noise.

    layers: style inputs that are edited; None: those that the bundle recommends. Truncation comes after the
    edit, as in `Model.edit`; None: what the bundle recommends for looks that are drawn, while those that a
    preset or effects give stay as they are.

    Of ridge noise, preset: how far impressions differ, in place and look; None: the first is as `synth` makes
    it, placed as in `easy` and with any look, and further ones are `medium`. effects: what is fixed, which
    makes the first one's look that of `easy`. kind: class of all fingers. taken: gets the impression of each
    mate that is drawn, for who wants its truth and takes it out again.
    """

    model: Networks
    truncation: float | None = None
    noise: NoiseMode | None = None
    layers: Sequence[int] | None = None
    size: int | None = None
    preset: str | None = None
    effects: Effects | None = None
    kind: PatternClass | None = None
    taken: dict[Mate, Impression] | None = None

    def __post_init__(self) -> None:
        self.model.edit_layers(self.layers)

    @property
    def backend(self) -> Backend:
        """The backend that computes the networks."""
        return self.model.backend

    def prepare(self, batch: Sequence[Mate]) -> MatedInputs:
        """The networks' inputs of a batch, from its random numbers."""
        directions = self.model.bundle.latents.sefa_directions
        moves = np.zeros((len(batch), self.model.style_dim), np.float32)
        for move, each in zip(moves, batch, strict=True):
            if each.direction is not None:
                move[:] = np.float32(each.degree) * directions[each.direction]
        seeds = [each.seed for each in batch]
        if self._has_ridges:
            return self._prepare_impressions(batch, moves)
        fingers = list(dict.fromkeys(seeds))
        return MatedInputs(
            self.model.z(fingers),
            np.array([fingers.index(seed) for seed in seeds]),
            np.ones(len(seeds), bool),
            moves,
            self.model.noise_buffers(self.noise, seeds, len(seeds)),
        )

    def preset_of(self, mate: Mate) -> str:
        """How far an impression may differ, of ridge noise."""
        return preset_of(self.preset, mate.impression)

    def looks_as_synth(self, mate: Mate) -> bool:
        """Whether an impression of ridge noise has the look that `synth` gives its finger."""
        return looks_as_synth(self.preset, mate.impression, self.effects)

    def _effects_of(self, mate: Mate) -> Effects | None:
        return replace(self.effects or Effects(), rolled=True) if mate.rolled else self.effects

    @property
    def _has_ridges(self) -> bool:
        return self.model.settings(None, self.noise)[1] == "ridges"

    def _prepare_impressions(self, batch: Sequence[Mate], moves: Floats) -> MatedInputs:
        """Each mate is an impression of its own."""
        fingers = self.model.require_finger_noise()
        taken = [
            fingers.impression(
                each.seed,
                each.capture_number,
                self.preset_of(each),
                self._effects_of(each),
                self.kind,
                each.position,
            )
            for each in batch
        ]
        if self.taken is not None:
            self.taken.update(zip(batch, taken, strict=True))
        drawn = np.array([self.looks_as_synth(each) for each in batch])
        z = np.stack([
            look(each.seed, each.capture_number, self.model.style_dim) if free else fingers.looks([one])[0]
            for each, one, free in zip(batch, taken, drawn, strict=True)
        ])  # fmt: skip
        return MatedInputs(z, np.arange(len(batch)), drawn, moves, fingers.of_impressions(taken))

    def compute(self, inputs: MatedInputs) -> Pixels:
        """The networks: uint8 (N, C, R, R)."""
        w = self.model.styles(self.model.map(inputs.z)[inputs.finger]).copy()
        w[:, self.model.edit_layers(self.layers)] += inputs.moves[:, None]
        narrowed = inputs.drawn if self.truncation is None else slice(None)
        w[narrowed] = self.model.truncate(w[narrowed], self.truncation)
        return self.model.backend.render(w, inputs.noise)

    def finish(self, levels: Pixels) -> Pixels:
        """One of the network's images (C, R, R) → uint8 (size, size), or (size, size, 3)."""
        return self.model.finish(levels, self.size)


def check_directions(model: Networks, directions: Sequence[int]) -> Sequence[int]:
    """`directions`, if the bundle has them; `BadInput` if not."""
    known = len(model.bundle.latents.sefa_directions)
    for direction in directions:
        if not 0 <= direction < known:
            raise BadInput(f"directions: {direction}; this bundle has 0-{known - 1}")
    return directions
