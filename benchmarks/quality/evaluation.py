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
from fingergen.runtime.minutiae.agreement import Agreement, agreement

from .error_rates import Scores, det_points, error_rates
from .flags import DUPLICATE, find_flags
from .image_sets import ImageSet, PrintFile
from .matching import bozorth3, mated_pairs, mcc, non_mated_pairs, sample, scores_of
from .mates import kept_in_place, near, pixel_correlations
from .measurement import EXTRACTORS, Measurement, measure_file
from .minutiae_statistics import Histograms, as_lists, histograms, sum_by_finger
from .workers import spread

PERCENTILES = (5, 50, 95)
LISTED = 50  # duplicates, largest first
BINS = range(0, 101, 10)  # of the NFIQ 2 histogram


@dataclass(frozen=True)
class Sampling:
    """How much of a set is measured; what is drawn is always the same.

    Attributes:
        pairs: most pairs of one kind for Bozorth3, 2 ms each.
        leader: most images for LEADER, 2 to 3 s each.
        mcc: most pairs of one kind for Minutia Cylinder-Code.
    """

    pairs: int = 100_000
    leader: int = 50
    mcc: int = 2000


@dataclass(frozen=True)
class Evaluation:
    """What was found of a set.

    Attributes:
        name: of the set.
        figures: plain values for JSON; their keys are those of the report.
        flags: one line per defect that was found.
        unreadable: one line per image that could not be measured.
        samples: figure → its value for each image.
        histograms: counts of minutiae in the images of each finger, by `minutiae_statistics`.
        scores: of each matcher.
        images: those that were measured.
        measured: what was found in each of them.
    """

    name: str
    figures: dict[str, Any]
    flags: tuple[str, ...]
    unreadable: tuple[str, ...]
    samples: dict[str, list[float]]
    histograms: dict[str, Histograms]
    scores: dict[str, Scores]
    images: ImageSet
    measured: tuple[Measurement, ...]

    def finger_means(self) -> dict[str, list[float]]:
        """Average each figure over the images of each finger.

        Tests against other sets compare these: they take values for independent, and images of one finger are
        alike.
        """
        groups = [_samples([self.measured[i] for i in group]) for group in self.images.fingers()]
        return {name: [float(np.mean(each[name])) for each in groups if each[name]] for name in self.samples}


def evaluate(
    images: ImageSet, pool: Executor, cache: Path, sampling: Sampling, ppi: float | None = None
) -> Evaluation:
    """Measure every image and compare the prints with each other.

    Args:
        images: the set.
        pool: runs the measuring and the comparing.
        cache: folder with the measurements of earlier runs.
        sampling: how much of it to measure.
        ppi: resolution of all images; None takes what each file says.

    Raises:
        BadInput: not one image can be measured.
    """
    by_leader = set(sample(len(images.files), sampling.leader).tolist())
    wanted = [(file, number in by_leader) for number, file in enumerate(images.files)]
    results = spread(pool, partial(_measure, cache, ppi), wanted, f"images of {images.name}")
    unreadable = tuple(result for result in results if isinstance(result, str))
    measured = [result for result in results if isinstance(result, Measurement)]
    if not measured:
        raise BadInput(f"{images.name}: no image can be measured; {unreadable[0]}")
    kept = [f for f, result in zip(images.files, results, strict=True) if isinstance(result, Measurement)]
    images = ImageSet(images.name, tuple(kept))
    samples = _samples(measured)
    counted = sum_by_finger(histograms([m.mindtct for m in measured]), images.fingers())
    scores = _matching(images, measured, pool, sampling)
    mates = mated_pairs(images, sampling.pairs)
    in_place = [kept_in_place(measured[one], measured[two]) for one, two in mates]
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
        "minutiae_histograms": as_lists(counted),
        **{name: _matcher(each) for name, each in scores.items()},
        "mates_in_place": describe(in_place),
        "mates_near": describe([near(measured[one], measured[two]) for one, two in mates]),
        "mates_correlation": describe(pixel_correlations(pool, images, mates, ppi)),
    }
    figures["bozorth3"] |= _duplicates(images, scores["bozorth3"], sampling)
    flags = find_flags(samples["hole_area"], figures["bozorth3"], len(images.fingers()), in_place)
    return Evaluation(
        images.name, figures, flags, unreadable, samples, counted, scores, images, tuple(measured)
    )


def describe(values: Sequence[float]) -> dict[str, float] | None:
    """Returns mean and 5th, 50th and 95th percentile; None of no values."""
    if not len(values):
        return None
    low, middle, high = np.percentile(values, PERCENTILES)
    return {"mean": _round(np.mean(values)), "p5": _round(low), "p50": _round(middle), "p95": _round(high)}


def _round(value: Any) -> float:
    return float(f"{float(value):.5g}")


def _measure(cache: Path, ppi: float | None, wanted: tuple[PrintFile, bool]) -> Measurement | str:
    file, with_leader = wanted
    try:
        return measure_file(file.path, cache, ppi, with_leader)
    except (BadInput, OSError) as error:  # the others are measured all the same
        return str(error)


def _samples(measured: Sequence[Measurement]) -> dict[str, list[float]]:
    return {
        "nfiq2": [float(m.nfiq2) for m in measured],
        **{
            f"minutiae_{name}": [float(len(rows)) for m in measured if (rows := getattr(m, name)) is not None]
            for name in EXTRACTORS
        },
        "ridge_period": [m.ridge_period for m in measured if m.ridge_period is not None],
        "coherence": [m.coherence for m in measured],
        "contact_area": [m.contact_area for m in measured],
        "hole_area": [m.hole_area for m in measured],
    }


def _minutiae(images: ImageSet, measured: Sequence[Measurement], extractor: str) -> dict[str, Any]:
    seen = [i for i, m in enumerate(measured) if getattr(m, extractor) is not None]
    templates = [measured[i].template(extractor) for i in seen]
    types = Counter(minutia.type for template in templates for minutia in template.minutiae)
    known = types[MinutiaType.ENDING] + types[MinutiaType.BIFURCATION]
    total, with_truth = Agreement(), 0
    for i, template in zip(seen, templates, strict=True):
        if (path := images.files[i].truth) is not None:
            truth = read_template(
                path,
                width=template.width,
                height=template.height,
                ppi=template.ppi,
                override=False,
                on_warning=lambda _: None,
            )
            total += agreement(template, truth)
            with_truth += 1
    figures: dict[str, Any] = {
        "images": len(templates),
        "count": describe([float(len(template.minutiae)) for template in templates]),
        "per_square_cm": describe([measured[i].density(extractor) for i in seen]),
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
    images: ImageSet, measured: Sequence[Measurement], pool: Executor, sampling: Sampling
) -> dict[str, Scores]:
    """Scores of both matchers."""
    found = {}
    for name, compare, most in (("bozorth3", bozorth3, sampling.pairs), ("mcc", mcc, sampling.mcc)):
        mated, other = mated_pairs(images, most), non_mated_pairs(images, most)
        mated_scores = compare(pool, measured, mated, f"pairs of mates in {images.name}, {name}")
        scores = compare(pool, measured, other, f"pairs of different fingers in {images.name}, {name}")
        found[name] = scores_of(images, mated, mated_scores, other, scores)
    return found


def _matcher(scores: Scores) -> dict[str, Any]:
    return {
        "mated_pairs": len(scores.mated),
        "non_mated_pairs": len(scores.non_mated),
        "mated": describe(scores.mated.tolist()),
        "non_mated": describe(scores.non_mated.tolist()),
        "rates": {name: asdict(rate) for name, rate in error_rates(scores).items()},
        "det": det_points(scores),
    }


def _duplicates(images: ImageSet, found: Scores, sampling: Sampling) -> dict[str, Any]:
    """Non-mated pairs with scores of one finger, the largest first."""
    scores, pairs = found.non_mated, non_mated_pairs(images, sampling.pairs)
    order = np.argsort(-scores, kind="stable")[:LISTED]
    names = [str(file.path) for file in images.files]
    return {
        "duplicate_threshold": DUPLICATE,
        "duplicate_pairs": int((scores >= DUPLICATE).sum()),
        "duplicate_fingers": len(np.unique(pairs[scores >= DUPLICATE])),
        "largest_non_mated": [
            {"score": float(scores[i]), "images": [names[pairs[i, 0]], names[pairs[i, 1]]]} for i in order
        ],
    }
