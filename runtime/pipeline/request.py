"""What images are to be made of seeds: one request, from the command line or Python to files."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ..arguments import check_choice, check_finite, check_iterable, check_whole
from ..bundle.manifest import NOISE_MODES, NoiseMode
from ..errors import BadInput

Pair = tuple[int, int | None]
"""A seed, and the one that is mixed into it."""

MOST_IN_A_BATCH = 1 << 20

LARGEST_SIDE = 8192
"""The largest side, in pixels, of images that are made."""


class SynthesisRequest(NamedTuple):
    """Images of seeds.

    Attributes:
        seeds: Integers in [0, 2**64), one per image; may be endless.
        truncation: ψ of w_avg + ψ (w - w_avg); None: what the bundle recommends.
        noise: `const`, `random`, `none` or `ridges`; None: what the bundle recommends.
        mix_seeds: Seeds whose w is mixed in, one for all or one per image; None: no mixing.
        mix_layers: Style inputs that are mixed, in [0, num_ws); None: all.
        mix_alpha: Share of what is mixed in; 1 replaces.
        size: Pixels per side that images are resized to; None: the bundle's `output_size`.
    """

    seeds: Iterable[int]
    truncation: float | None = None
    noise: NoiseMode | None = None
    mix_seeds: int | Iterable[int] | None = None
    mix_layers: Iterable[int] | None = None
    mix_alpha: float = 1.0
    size: int | None = None

    def check(self) -> None:
        """Check what can be checked before any work and without the bundle; each seed when its turn comes.

        Raises:
            BadInput: A field has a wrong type or is out of range.
        """
        check_iterable("seeds", self.seeds)
        if self.truncation is not None:
            check_finite("truncation", self.truncation)
        check_noise(self.noise)
        if self.mix_seeds is not None and not isinstance(self.mix_seeds, int):
            check_iterable("mix_seeds", self.mix_seeds)
        check_finite("mix_alpha", self.mix_alpha)
        check_size(self.size)

    def pairs(self) -> Iterator[Pair]:
        """Each seed with the one that is mixed into it.

        Raises:
            BadInput: There are neither as many of both nor one for all.
        """
        if not isinstance(self.mix_seeds, Iterable):
            yield from zip(self.seeds, itertools.repeat(self.mix_seeds))
            return
        try:
            yield from zip(self.seeds, self.mix_seeds, strict=True)
        except ValueError:
            raise BadInput("mix_seeds: give one seed for all, or as many as there are seeds") from None

    def provenance(self) -> dict[str, Any]:
        """What an image's file says about the request beside its seed, under the names that files use."""
        said = {"truncation": self.truncation, "noise": self.noise, "size": self.size}
        if self.mix_seeds is None:
            return said
        return said | {"mix": self.mix_seeds, "mix_layers": self.mix_layers, "alpha": self.mix_alpha}


def check_noise(mode: object) -> None:
    """`BadInput` for what is no `NoiseMode`; None is one."""
    if mode is not None:
        check_choice("noise", mode, NOISE_MODES)


def check_size(size: object) -> None:
    """`BadInput` for what is no side of an image in pixels; None is one."""
    if size is not None:
        check_whole("size", size, 1, LARGEST_SIDE)
