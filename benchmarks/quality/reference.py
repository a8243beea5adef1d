"""A set against a reference set and against the fingers that a generator was trained on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .error_rates import same_scores
from .evaluation import LISTED, Evaluation, Sampling, describe
from .flags import DUPLICATE, SIGNIFICANCE, differences, histogram_differences
from .image_distances import classifier_test, distances
from .image_sets import ImageSet, PrintFile
from .matching import bozorth3, cross_pairs
from .measurement import Measurement, measure_file, read_pixels
from .workers import spread

MOST_IMAGES = 2000  # of each side whose pixels are compared: they are kept in memory


def compare_with_reference(
    one: Evaluation, reference: Evaluation, ppi: float | None, inception: Path | None
) -> Evaluation:
    """Add how a set differs from a reference.

    Args:
        one: the set.
        reference: the set to compare with.
        ppi: resolution of all images; None takes what each file says.
        inception: weights of Inception v3 for FID and KID.

    Returns:
        The set with `reference` among its figures, and one more flag per difference.
    """
    here, there = (_pixels(each.images, MOST_IMAGES, ppi) for each in (one, reference))
    figures, lines = histogram_differences(one.histograms, reference.histograms)
    told_apart = classifier_test(here[0], there[0], here[1], there[1])
    if told_apart and told_apart["p"] < SIGNIFICANCE:
        lines += (
            f"unlike the reference: a small network tells {told_apart['accuracy']:.0%} of the fingers apart"
            f" (50 % by chance, p = {told_apart['p']:.1e})",
        )
    compared = {
        "name": reference.name,
        "scores": _score_tests(one, reference),
        "minutiae_histograms": figures,
        "distances": distances(here[0], there[0], inception),
        "classifier": told_apart,
    }
    flags = one.flags + differences(one.finger_means(), reference.finger_means()) + lines
    return replace(one, flags=flags, figures=one.figures | {"reference": compared})


def _score_tests(one: Evaluation, reference: Evaluation) -> dict[str, dict[str, float]]:
    """Kolmogorov-Smirnov tests of the Bozorth3 scores of both sets."""
    here, there = one.scores["bozorth3"], reference.scores["bozorth3"]
    tests = {}
    for mated in (True, False):
        found = same_scores(here, there, mated)
        if found is not None:
            tests["mated" if mated else "non_mated"] = {"statistic": round(found[0], 5), "p": found[1]}
    return tests


def nearest_training_fingers(
    one: Evaluation, training: ImageSet, pool: Executor, cache: Path, sampling: Sampling, ppi: float | None
) -> Evaluation:
    """Add which fingers of a training set the set's fingers resemble most.

    Returns:
        The set with `training_fingers` among its figures, and a flag if there are copies.
    """
    first = [training.files[group[0]] for group in training.fingers()]
    known = spread(pool, partial(_measure, cache, ppi), first, f"fingers of {training.name}")
    groups = one.images.fingers()
    measured = [one.measured[group[0]] for group in groups]
    pairs = cross_pairs(len(measured), len(known), sampling.pairs)
    moved = pairs + np.array([0, len(measured)])
    scores = bozorth3(pool, [*measured, *known], moved, f"pairs of {one.name} with {training.name}")
    nearest = np.full(len(measured), -1.0)
    np.maximum.at(nearest, pairs[:, 0], scores)
    order = np.argsort(-scores, kind="stable")[:LISTED]
    copies = int((nearest >= DUPLICATE).sum())
    figures: dict[str, Any] = {
        "name": training.name,
        "fingers": len(known),
        "pairs": len(pairs),
        "score": describe(scores.tolist()),
        "nearest": describe(nearest[nearest >= 0].tolist()),
        "fingers_with_a_copy": copies,
        "largest": [
            {
                "score": float(scores[i]),
                "images": [str(one.images.files[groups[pairs[i, 0]][0]].path), str(first[pairs[i, 1]].path)],
            }
            for i in order
        ],
    }
    flags = one.flags
    if copies:
        flags += (
            f"training fingers: {copies} of {len(measured)} fingers match one of the training set"
            f" with a Bozorth3 score of {DUPLICATE:.0f} or more",
        )
    return replace(one, flags=flags, figures=one.figures | {"training_fingers": figures})


def _measure(cache: Path, ppi: float | None, file: PrintFile) -> Measurement:
    return measure_file(file.path, cache, ppi, with_leader=False)


def _pixels(images: ImageSet, most: int, ppi: float | None) -> tuple[list[np.ndarray], list[int]]:
    """Pixels and finger of at most so many images; all impressions of few fingers."""
    read: Callable[[int], np.ndarray] = lambda index: read_pixels(images.files[index].path, ppi)  # noqa: E731
    pixels, fingers = [], []
    groups = images.fingers()
    count = max(1, min(len(groups), most * len(groups) // len(images.files)))
    for finger in range(count):
        for index in groups[finger * len(groups) // count]:
            pixels.append(read(index))
            fingers.append(finger)
    return pixels, fingers
