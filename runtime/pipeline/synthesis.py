"""Seeds to images in three steps, so that the steps of different batches can run at the same time."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from ..images import Pixels
from ..latents import check_layers

if TYPE_CHECKING:
    from ..model import Model, NoiseMode

Floats = NDArray[np.float32]
Item = TypeVar("Item")
Pair = tuple[int, int | None]  # a seed, and the one that is mixed into it


@dataclass(frozen=True, eq=False)
class Drawn:
    """What a batch of seeds stands for: z (N, style_dim), the z that are mixed in, and noise buffers."""

    z: Floats
    other_z: Floats | None
    noise: Sequence[Floats]


@dataclass(frozen=True)
class Synthesis:
    """`Model.synthesize` taken apart; the fields are its arguments.

    `draw` and `finish` are host work, `compute` keeps the backend busy. All may be called on any thread.
    """

    model: Model
    truncation: float | None = None
    noise: NoiseMode | None = None
    mix_layers: Sequence[int] | None = None
    mix_alpha: float = 1.0
    size: int | None = None

    def __post_init__(self) -> None:
        check_layers(self.mix_layers, self.model.num_ws)

    def draw(self, pairs: Sequence[Pair]) -> Drawn:
        """Random numbers of a batch."""
        seeds = [seed for seed, _ in pairs]
        others = [other for _, other in pairs if other is not None]
        return Drawn(
            self.model.z(seeds),
            self.model.z(others) if others else None,
            self.model.noise_buffers(self.noise, seeds, len(seeds)),
        )

    def compute(self, drawn: Drawn) -> Pixels:
        """The networks: uint8 (N, C, R, R)."""
        w = self.model.map(drawn.z)
        if drawn.other_z is not None:
            w = self.model.mix(w, self.model.map(drawn.other_z), self.mix_layers, self.mix_alpha)
        w = self.model.styles(self.model.truncate(w, self.truncation))
        return self.model.backend.render(w, drawn.noise)

    def finish(self, levels: Pixels) -> Pixels:
        """One of the network's images (C, R, R) → uint8 (size, size), or (size, size, 3)."""
        return self.model.finish(levels, self.size)


def pair(seeds: Iterable[int], mix_seeds: int | Iterable[int] | None) -> Iterator[Pair]:
    """Each seed with the one that is mixed into it: one for all, one each, or none."""
    if not isinstance(mix_seeds, Iterable):
        yield from zip(seeds, itertools.repeat(mix_seeds))
        return
    try:
        yield from zip(seeds, mix_seeds, strict=True)
    except ValueError:
        raise BadInput("mix_seeds: give one seed for all, or as many as there are seeds") from None


def batches(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    """Consecutive parts of `size`; the last may be shorter."""
    while batch := list(itertools.islice(items, size)):
        yield batch
