"""The figures of a set of fingerprints: what its images are like, and how they match each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fingergen.runtime.errors import BadInput
from fingergen.runtime.fingers import PatternClass
from fingergen.runtime.minutiae import MinutiaType, read_template
from fingergen.training.metrics.minutiae_matching import Agreement, agreement

from .comparisons import spread
from .error_rates import det_points, error_rates
from .flags import DUPLICATE, find_flags
from .image_sets import ImageSet, PrintFile
from .matching import bozorth3, kept_in_place, mated_pairs, non_mated_pairs, scores_of
from .measurement import EXTRACTORS, Measurement, measure_file

PERCENTILES = (5, 50, 95)
LISTED = 50  # duplicates, largest first
BINS = range(0, 101, 10)  # of the NFIQ 2 histogram


@dataclass(frozen=True)
class Evaluation:
    """What was found of a set.

    Attributes:
        name: of the set.
        figures: plain values for JSON; their keys are those of the report.
        flags: one line per defect that was found.
        unreadable: one line per image that could not be measured.
        samples: figure → its value for each image, for tests against other sets.
    """

    name: str
    figures: dict[str, Any]
    flags: tuple[str, ...]
    unreadable: tuple[str, ...]
    samples: dict[str, list[float]]


def evaluate(
    images: ImageSet, pool: Executor, cache: Path, pairs: int, ppi: float | None = None
) -> Evaluation:
    """Measure every image and compare the prints with each other.

    Args:
        images: the set.
        pool: runs the measuring and the comparing.
        cache: folder with the measurements of earlier runs.
        pairs: most pairs of different fingers that are compared.
        ppi: resolution of all images; None takes what each file says.

    Raises:
        BadInput: not one image can be measured.
    """
    results = spread(pool, partial(_measure, cache, ppi), images.files, f"{images.name}: images")
    unreadable = tuple(result for result in results if isinstance(result, str))
    measured = [result for result in results if isinstance(result, Measurement)]
    if not measured:
        raise BadInput(f"{images.name}: no image can be measured; {unreadable[0]}")
    kept = [f for f, result in zip(images.files, results, strict=True) if isinstance(result, Measurement)]
    images = ImageSet(images.name, tuple(kept))
    samples = _samples(measured)
    matching, in_place = _matching(images, measured, pool, pairs)
    figures: dict[str, Any] = {
        "images": len(measured),
        "fingers": len(images.fingers()),
        "unreadable": len(unreadable),
        "nfiq2": {
            **(describe(samples["nfiq2"]) or {}),
            "histogram": np.histogram(samples["nfiq2"], BINS)[0].tolist(),
        },
        "minutiae": {name: _minutiae(images, measured, name) for name in EXTRACTORS},
        **{name: describe(samples[name]) for name in ("ridge_period", "coherence", "contact_area")},
        "hole_area": describe(samples["hole_area"]),
        "patterns": _patterns(measured),
        "bozorth3": matching,
        "mates_in_place": describe(in_place),
    }
    flags = find_flags(samples["hole_area"], matching, len(images.fingers()), in_place)
    return Evaluation(images.name, figures, flags, unreadable, samples)


def describe(values: Sequence[float]) -> dict[str, float] | None:
    """Returns mean and 5th, 50th and 95th percentile; None of no values."""
    if not len(values):
        return None
    low, middle, high = np.percentile(values, PERCENTILES)
    return {"mean": _round(np.mean(values)), "p5": _round(low), "p50": _round(middle), "p95": _round(high)}


def _round(value: Any) -> float:
    return float(f"{float(value):.5g}")


def _measure(cache: Path, ppi: float | None, file: PrintFile) -> Measurement | str:
    try:
        return measure_file(file.path, cache, ppi)
    except (BadInput, OSError) as error:  # the others are measured all the same
        return str(error)


def _samples(measured: Sequence[Measurement]) -> dict[str, list[float]]:
    return {
        "nfiq2": [float(m.nfiq2) for m in measured],
        **{f"minutiae_{name}": [float(len(getattr(m, name))) for m in measured] for name in EXTRACTORS},
        "ridge_period": [m.ridge_period for m in measured if m.ridge_period is not None],
        "coherence": [m.coherence for m in measured],
        "contact_area": [m.contact_area for m in measured],
        "hole_area": [m.hole_area for m in measured],
    }


def _minutiae(images: ImageSet, measured: Sequence[Measurement], extractor: str) -> dict[str, Any]:
    templates = [m.template(extractor) for m in measured]
    types = Counter(minutia.type for template in templates for minutia in template.minutiae)
    known = types[MinutiaType.ENDING] + types[MinutiaType.BIFURCATION]
    total, with_truth = Agreement(), 0
    for file, template in zip(images.files, templates, strict=True):
        if file.truth is not None:
            truth = read_template(
                file.truth,
                width=template.width,
                height=template.height,
                ppi=template.ppi,
                override=False,
                on_warning=lambda _: None,
            )
            total += agreement(template, truth)
            with_truth += 1
    figures: dict[str, Any] = {
        "count": describe([float(len(template.minutiae)) for template in templates]),
        "per_square_cm": describe([m.density(extractor) for m in measured]),
        "images_with_truth": with_truth,
    }
    if extractor == "mindtct" and known:  # LEADER calls every minutia an ending
        figures["endings"] = _round(types[MinutiaType.ENDING] / known)
    if with_truth:
        figures["recall"], figures["spurious"] = _round(total.recall), _round(1 - total.precision)
    return figures


def _patterns(measured: Sequence[Measurement]) -> dict[str, float]:
    found = Counter(m.pattern for m in measured)
    return {kind.value: _round(found[kind.value] / len(measured)) for kind in PatternClass}


def _matching(
    images: ImageSet, measured: Sequence[Measurement], pool: Executor, most: int
) -> tuple[dict[str, Any], list[float]]:
    mated, other = mated_pairs(images), non_mated_pairs(images, most)
    mated_scores = bozorth3(pool, measured, mated, f"{images.name}: mated pairs")
    scores = bozorth3(pool, measured, other, f"{images.name}: non-mated pairs")
    gathered = scores_of(images, mated, mated_scores, other, scores)
    order = np.argsort(-scores, kind="stable")[:LISTED]
    names = [str(file.path) for file in images.files]
    figures = {
        "mated_pairs": len(mated),
        "non_mated_pairs": len(other),
        "mated": describe(mated_scores.tolist()),
        "non_mated": describe(scores.tolist()),
        "rates": {name: asdict(rate) for name, rate in error_rates(gathered).items()},
        "det": det_points(gathered),
        "duplicate_threshold": DUPLICATE,
        "duplicate_pairs": int((scores >= DUPLICATE).sum()),
        "duplicate_fingers": len(np.unique(other[scores >= DUPLICATE])),
        "largest_non_mated": [
            {"score": float(scores[i]), "images": [names[other[i, 0]], names[other[i, 1]]]} for i in order
        ],
    }
    return figures, [kept_in_place(measured[one], measured[two]) for one, two in mated]
