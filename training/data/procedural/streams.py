"""Random streams of a finger: one Philox key for each purpose, so nothing depends on order or batch."""

from __future__ import annotations

from numpy.random import Generator, Philox

# A Philox key has 128 bits: the seed is the lower half, the purpose the upper. 0 and 1 are the latent
# and the noise buffers of `fingergen.runtime.seeds`.
_PATTERN, _GROWTH, _SKIN = 2, 3, 4
_IMPRESSION = 1 << 32


def pattern_stream(seed: int) -> Generator:
    """Class, singular points, orientation and period of a finger."""
    return _stream(seed, _PATTERN)


def growth_stream(seed: int) -> Generator:
    """The noise that the ridges of a finger grow from."""
    return _stream(seed, _GROWTH)


def skin_stream(seed: int) -> Generator:
    """Pores and creases of a finger."""
    return _stream(seed, _SKIN)


def impression_stream(seed: int, impression: int) -> Generator:
    """Everything that varies between impressions of one finger."""
    return _stream(seed, _IMPRESSION + impression)


def _stream(seed: int, purpose: int) -> Generator:
    return Generator(Philox(key=seed + (purpose << 64)))
