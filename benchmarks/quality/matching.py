"""Comparing prints with two matchers: which pairs, on every core, and whose scores they are."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

import numpy as np
from numpy.typing import NDArray

from fingergen.training.metrics import fingerprints

from .cylinders import cylinders, match
from .error_rates import Scores
from .image_sets import ImageSet
from .measurement import Measurement
from .workers import spread

Pairs = NDArray[np.intp]  # (N, 2): indices of images
CHUNK = 200  # pairs that are sent to a process at a time


def mated_pairs(images: ImageSet, most: int | None = None) -> Pairs:
    """Returns all pairs of images of one finger, or `most` of them, always the same ones."""
    pairs = [pair for group in images.fingers() for pair in itertools.combinations(group, 2)]
    found = np.array(pairs, np.intp).reshape(-1, 2)
    return found if most is None else found[sample(len(found), most)]


def non_mated_pairs(images: ImageSet, most: int) -> Pairs:
    """Returns the pairs of different fingers' first images: all, or `most` of them, always the same ones."""
    first = np.array([group[0] for group in images.fingers()], np.intp)
    chosen = sample(len(first) * (len(first) - 1) // 2, most)
    # Pair number k is (i, j), j < i, with k = i (i - 1) / 2 + j: no list of all pairs is made.
    i = np.floor((1 + np.sqrt(1 + 8 * chosen.astype(np.float64))) / 2).astype(np.intp)
    i -= i * (i - 1) // 2 > chosen
    i += (i + 1) * i // 2 <= chosen
    j = chosen - i * (i - 1) // 2
    return np.stack([first[j], first[i]], axis=1)


def cross_pairs(here: int, there: int, most: int) -> Pairs:
    """Returns pairs of one of `here` images and one of `there` others: all, or `most` of them."""
    chosen = sample(here * there, most)
    return np.stack([chosen // there, chosen % there], axis=1)


def sample(count: int, most: int) -> NDArray[np.intp]:
    """Returns all of `count` indices, or `most` of them, always the same ones, in order."""
    if count <= most:
        return np.arange(count)
    rng = np.random.default_rng(0)
    if most > count // 2:  # few are left out
        return np.sort(rng.permutation(count)[:most])
    chosen = np.unique(rng.integers(count, size=most))
    while len(chosen) < most:
        more = rng.integers(count, size=most - len(chosen))
        chosen = np.union1d(chosen, more)
    return chosen.astype(np.intp)


def bozorth3(pool: Executor, measured: Sequence[Measurement], pairs: Pairs, what: str) -> NDArray[np.float64]:
    """Returns the Bozorth3 scores (N,) of pairs of MINDTCT templates; 40 is usually a match (NIST)."""
    return _compare(pool, _bozorth3, [each.record for each in measured], pairs, what)


def mcc(pool: Executor, measured: Sequence[Measurement], pairs: Pairs, what: str) -> NDArray[np.float64]:
    """Returns the scores (N,) of pairs of MINDTCT templates by Minutia Cylinder-Code, 0 to 1."""
    return _compare(pool, _mcc, [(each.mindtct, each.height) for each in measured], pairs, what)


def _compare(
    pool: Executor, scores: Callable, prints: Sequence, pairs: Pairs, what: str
) -> NDArray[np.float64]:
    parts = []
    for start in range(0, len(pairs), CHUNK):
        part = pairs[start : start + CHUNK]
        used = np.unique(part)
        parts.append(([prints[i] for i in used], np.searchsorted(used, part)))
    found = spread(pool, scores, parts, what, lambda part: len(part[1]))
    return np.concatenate(found) if found else np.zeros(0)


def _bozorth3(part: tuple[list[str], Pairs]) -> NDArray[np.float64]:
    return fingerprints.bozorth3(*part)


def _mcc(part: tuple[list, Pairs]) -> NDArray[np.float64]:
    prints, pairs = part
    described = [cylinders(*each) for each in prints]
    return np.array([match(described[one], described[other]) for one, other in pairs], np.float64)


def scores_of(images: ImageSet, mated: Pairs, mated_scores: NDArray, other: Pairs, scores: NDArray) -> Scores:
    """Gather scores with the fingers of their pairs, for `error_rates`."""
    finger = np.empty(len(images.files), np.intp)
    groups = images.fingers()
    for number, group in enumerate(groups):
        finger[group] = number
    return Scores(mated_scores, finger[mated[:, 0]], scores, finger[other], len(groups))
