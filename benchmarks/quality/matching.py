"""Comparing the prints of a set with Bozorth3: every mated pair, and every pair of different fingers."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Sequence
from concurrent.futures import Executor

import nbis
import numpy as np
from numpy.typing import NDArray

from fingergen.training.metrics.minutiae_matching import agreement

from .comparisons import spread
from .error_rates import Scores
from .image_sets import ImageSet
from .measurement import Measurement

Pairs = NDArray[np.intp]  # (N, 2): indices of images
CHUNK = 500  # pairs that are sent to a process at a time
IN_PLACE_PIXELS, IN_PLACE_DEGREES = 2.0, 6.0


def mated_pairs(images: ImageSet) -> Pairs:
    """Returns all pairs of images of one finger."""
    pairs = [pair for group in images.fingers() for pair in itertools.combinations(group, 2)]
    return np.array(pairs, np.intp).reshape(-1, 2)


def non_mated_pairs(images: ImageSet, most: int) -> Pairs:
    """Returns the pairs of different fingers' first images: all, or `most` of them, always the same ones."""
    first = np.array([group[0] for group in images.fingers()], np.intp)
    count = len(first) * (len(first) - 1) // 2
    chosen = np.arange(count)
    if count > most:
        chosen = np.sort(np.random.default_rng(0).choice(count, most, replace=False))
    one, other = np.triu_indices(len(first), 1)
    return np.stack([first[one[chosen]], first[other[chosen]]], axis=1)


def bozorth3(pool: Executor, measured: Sequence[Measurement], pairs: Pairs, what: str) -> NDArray[np.float64]:
    """Returns the Bozorth3 scores (N,) of pairs of MINDTCT templates; 40 is usually a match (NIST)."""
    parts = []
    for start in range(0, len(pairs), CHUNK):
        part = pairs[start : start + CHUNK]
        used = np.unique(part)
        parts.append(([measured[i].record for i in used], np.searchsorted(used, part)))
    scores = spread(pool, _scores, parts, what)
    return np.concatenate(scores) if scores else np.zeros(0)


def _scores(part: tuple[list[str], Pairs]) -> NDArray[np.float64]:
    records, pairs = part
    extractor = nbis.new_nbis_extractor(
        nbis.NbisExtractorSettings(
            min_quality=0.0, get_center=False, check_fingerprint=False, compute_nfiq2=False, ppi=500.0
        )
    )
    templates = [extractor.load_iso_19794_2_2005(base64.b64decode(record)) for record in records]
    return np.array([templates[one].compare(templates[other]) for one, other in pairs], np.float64)


def scores_of(images: ImageSet, mated: Pairs, mated_scores: NDArray, other: Pairs, scores: NDArray) -> Scores:
    """Gather scores with the fingers of their pairs, for `error_rates`."""
    finger = np.empty(len(images.files), np.intp)
    groups = images.fingers()
    for number, group in enumerate(groups):
        finger[group] = number
    return Scores(mated_scores, finger[mated[:, 0]], scores, finger[other], len(groups))


def kept_in_place(one: Measurement, other: Measurement) -> float:
    """Returns the share of minutiae that two prints have at the same place, without any alignment.

    Two captures of a finger differ in placement and distortion; where most minutiae lie within 2 pixels and
    6 degrees of each other, one image is a copy of the other.
    """
    shared = agreement(one.template("mindtct"), other.template("mindtct"), IN_PLACE_PIXELS, IN_PLACE_DEGREES)
    return shared.matched / max(min(shared.found, shared.true), 1)
