"""A seed names a finger: the numbers drawn for it depend on the seed alone.

Philox is counter-based and keyed: the same key gives the same stream on every machine, and a batch of seeds
is nothing but its seeds one by one. `Purpose` lists everything that is drawn; `stream` makes the generators.
"""

from __future__ import annotations

import bisect
import itertools
import math
import operator
import re
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum, unique
from functools import cache
from typing import overload

import numpy as np
from numpy.typing import NDArray

from .errors import BadInput

SEEDS = 2**64
"""Seeds are integers in [0, SEEDS)."""

_STEP = 2.0**-12  # of the numbers of `impression_noise`

MOST_SEEDS = 10**8
"""The longest range of seeds that `parse_seeds` takes."""


@unique
class Purpose(IntEnum):
    """What a stream of random numbers is for: the upper half of its Philox key, the seed being the lower."""

    LATENT = 0
    NOISE = 1  # noise buffers of the synthesis network
    EDITS = 2
    GROWTH = 3  # the noise that the ridges of a finger grow from
    SKIN = 4  # pores and creases of a finger
    PATTERN = 5  # class, singular points, orientation and period of a finger
    EXPORT_CHECK = 6  # inputs on which an exported graph is compared with its network
    REPLACEMENT = 7  # seeds of the fingers that take the place of one in a dataset
    IMPRESSION = 1 << 32  # the first of 2^32: one for each impression of a finger
    LOOK = (
        2 << 32
    )  # latent of an impression's look: one for each impression, as IMPRESSION; 0: of a reconstruction
    IMPRESSION_NOISE = 3 << 32  # white noise of an impression, likewise
    PIXEL_NOISE = 4 << 32  # what a sensor adds to the pixels of an impression, likewise
    TRAINING_BATCH = 1 << 62  # the first of 2^62: one for each count of images seen so far


NUMBERS = {
    Purpose.IMPRESSION: 2**32,
    Purpose.LOOK: 2**32,
    Purpose.IMPRESSION_NOISE: 2**32,
    Purpose.PIXEL_NOISE: 2**32,
    Purpose.TRAINING_BATCH: 2**62,
}
"""How many streams a purpose has for each seed, where it is more than one."""


def stream(seed: int, purpose: Purpose, number: int = 0) -> np.random.Generator:
    """The random numbers of one seed for one purpose.

    Args:
        seed: In [0, 2**64).
        purpose: What they are for.
        number: Of the impression or training batch, in [0, `NUMBERS`[purpose]); 0 for any other purpose.

    Returns:
        A generator at the beginning of its stream, independent of every other seed, purpose and number.

    Raises:
        BadInput: If the seed or the number is out of range.
    """
    numbers = NUMBERS.get(purpose, 1)
    if not 0 <= operator.index(number) < numbers:
        raise BadInput(f"number {number} of {purpose.name.lower()}: outside [0, {numbers})")
    return np.random.Generator(np.random.Philox(key=check_seed(seed) + ((purpose + number) << 64)))


def check_seed(seed: int) -> int:
    """`seed` as a Python int; `BadInput` unless it is an integer in [0, 2**64)."""
    try:
        number = operator.index(seed)
    except TypeError:
        raise BadInput(f"seed {seed!r}: not an integer") from None
    if isinstance(seed, bool):  # an integer to Python, a slip to everybody else
        raise BadInput(f"seed {seed!r}: not an integer")
    if not 0 <= number < SEEDS:
        raise BadInput(f"seed {number}: outside [0, 2**64)")
    return number


def z(seed: int, style_dim: int) -> NDArray[np.float32]:
    """Latent of a seed: float32 (style_dim,), standard normal."""
    return stream(seed, Purpose.LATENT).standard_normal(style_dim).astype(np.float32)


def noise(seed: int, shapes: Iterable[tuple[int, ...]]) -> list[NDArray[np.float32]]:
    """Noise buffers of a seed, one float32 array per shape, standard normal."""
    generator = stream(seed, Purpose.NOISE)
    return [generator.standard_normal(shape).astype(np.float32) for shape in shapes]


def look(seed: int, number: int, style_dim: int) -> NDArray[np.float32]:
    """Latent of impression `number` of a seed's finger, float32 (style_dim,), standard normal; that of
    impression 0 is `z`."""
    if number == 0:
        return z(seed, style_dim)
    return stream(seed, Purpose.LOOK, number).standard_normal(style_dim).astype(np.float32)


def impression_noise(seed: int, number: int, shapes: Iterable[tuple[int, ...]]) -> list[NDArray[np.float32]]:
    """White noise of impression `number` of a seed's finger, one float32 array per shape.

    The numbers are `_deviates`, chosen by 16 bits each. `standard_normal` takes seven times as long, which is
    longer than all else that an image of 512 x 512 pixels takes beside its network.
    """
    shapes = list(shapes)
    ends = list(itertools.accumulate(math.prod(shape) for shape in shapes))
    words = stream(seed, Purpose.IMPRESSION_NOISE, number).bit_generator.random_raw(-(-ends[-1] // 4))
    drawn = _deviates().take(words.view("<u2"))
    starts = [0, *ends]
    return [drawn[a:b].reshape(shape) for a, b, shape in zip(starts, ends, shapes, strict=False)]


@cache
def _deviates() -> NDArray[np.float32]:
    """65,536 standard normal numbers of equal probability, in ascending order; the largest is 4.3.

    They are rounded to multiples of `_STEP`, so that they do not depend on how a math library rounds.
    """
    grid = np.arange(-5.0, 5.0 + _STEP, _STEP)
    density = np.exp(-0.5 * grid * grid)
    below = np.cumsum(density)
    parts = (np.arange(65536) + 0.5) / 65536
    found = np.interp(parts * below[-1], below - 0.5 * density, grid)
    return (np.round(found / _STEP) * _STEP).astype(np.float32)


def edits(seed: int, count: int) -> NDArray[np.float64]:
    """What a seed draws for `count` edits of its finger: uniform numbers (count, 2) in [0, 1).

    A larger count begins with the same rows.
    """
    return stream(seed, Purpose.EDITS).random((count, 2))


def replacement(seed: int, number: int) -> int:
    """The seed, in [0, 2**64), of the `number`-th finger, from 1, that takes the place of a seed's finger."""
    drawn = stream(seed, Purpose.REPLACEMENT).integers(0, SEEDS, number, np.uint64, endpoint=False)
    return int(drawn[-1])


def parse_seeds(text: str) -> Sequence[int]:
    """Seeds of a command line: `7`, `0-99` (both ends included) or `0-9,20,30-39`, in the order written."""
    return parse_ranges(text, "seeds")


def parse_ranges(text: str, name: str) -> Sequence[int]:
    """Numbers in [0, 2**64) written as `7`, `0-99` or `0-9,20`; `BadInput` says what `name` they are."""
    ranges = [_parse_range(part, name) for part in text.split(",")]
    return ranges[0] if len(ranges) == 1 else Ranges(ranges)


class Ranges(Sequence[int]):
    """Ranges one after the other, as one sequence that holds none of its numbers."""

    def __init__(self, ranges: Sequence[range]) -> None:
        self._ranges = ranges
        self._ends = list(itertools.accumulate(map(len, ranges)))

    def __len__(self) -> int:
        return self._ends[-1]

    def __iter__(self) -> Iterator[int]:
        return itertools.chain.from_iterable(self._ranges)

    def __contains__(self, number: object) -> bool:
        return any(number in each for each in self._ranges)

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> list[int]: ...
    def __getitem__(self, index: int | slice) -> int | list[int]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(f"{index} of {len(self)} numbers")
        which = bisect.bisect_right(self._ends, place)
        return self._ranges[which][place - self._ends[which]]

    def repeated(self) -> int | None:
        """The least number that occurs more than once; None if each occurs once."""
        ordered = sorted(self._ranges, key=lambda each: each.start)
        last = -1
        for each in ordered:
            if each.start <= last:
                return each.start
            last = max(last, each[-1])
        return None


def _parse_range(text: str, name: str) -> range:
    match = re.fullmatch(r"\s*(\d{1,20})\s*(?:-\s*(\d{1,20})\s*)?", text, re.ASCII)
    if match is None:
        raise BadInput(f"{name} {text!r}: write 7, 0-99 or 0-9,20,30-39")
    first = int(match[1])
    last = int(match[2]) if match[2] else first
    if last < first:
        raise BadInput(f"{name} {text!r}: the range ends before it starts")
    if last >= SEEDS:
        raise BadInput(f"{name} {text!r}: {last} is outside [0, 2**64)")
    if last - first >= MOST_SEEDS:
        raise BadInput(f"{name} {text!r}: more than {MOST_SEEDS} numbers")
    return range(first, last + 1)
