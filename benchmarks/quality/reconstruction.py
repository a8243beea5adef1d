"""Attack on templates: does a print reconstructed from a template match the finger that the template is of?

Type I: against the impression that the template is of; type II: against another impression of that finger
(Cao and Jain, "Learning fingerprint reconstruction: from minutiae to image", 2015). Both from true templates,
which only a generator of fingers has, from the true minutiae of a part of the finger, and from templates that
MINDTCT and LEADER extract, which an attacker has.
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingergen.runtime import Model
from fingergen.runtime.datasets.nist import LIKELY_MATCH
from fingergen.runtime.fingers import impressions
from fingergen.runtime.images import resize
from fingergen.runtime.minutiae import PPI, Minutia, Template
from fingergen.runtime.minutiae.agreement import Agreement, agreement
from fingergen.training.metrics.fingerprints import Print, bozorth3

from .error_rates import LEAST_PAIRS, curve
from .evaluation import describe
from .measurement import TYPES, Rows, leader_minutiae, measure_print
from .workers import spread

HELD_OUT = 10_000_000  # seed of the first finger that no training set holds
BATCH = 8
PARTIAL = 24  # minutiae of a part of a finger
TEMPLATES = {
    "true": "true",
    "partial": f"true, {PARTIAL} minutiae",
    "extracted": "extracted (MINDTCT)",
    "leader": "extracted (LEADER)",
}
"""Kinds of templates that prints are reconstructed from → what reports call them."""
FMR = {"fmr_0.01": 1e-2, "fmr_0.001": 1e-3}

Images = NDArray[np.uint8]  # (N, H, W)


def attack(
    model: Model, fingers: int, pool: Executor, cache: Path, with_leader: bool = False
) -> dict[str, Any]:
    """Reconstruct procedural fingers that the bundle was not trained on.

    Args:
        model: a bundle that reconstructs.
        fingers: how many.
        pool: runs the extractor.
        cache: folder with what earlier runs extracted.
        with_leader: also reconstruct from LEADER's templates, which take 3 seconds each.

    Returns:
        For each kind of `TEMPLATES`: scores of type I and II with the shares that match; the share of the
        true minutiae (of a partial template: of its own) that MINDTCT finds in the reconstruction, and unless
        the template is partial, the share of what it finds that is not true. To compare with, scores of
        mates and non-mates.
    """
    made = model.fingers(range(HELD_OUT, HELD_OUT + fingers))
    (first, templates), (second, _) = (impressions(made, [number] * fingers) for number in (0, 1))
    sources, others = (measure_all(pool, cache, images, "impressions") for images in (first, second))
    given = {
        "true": templates,
        "partial": [innermost(template, PARTIAL) for template in templates],
        "extracted": [as_template(seen.minutiae, image) for seen, image in zip(sources, first, strict=True)],
    }
    if with_leader:
        rows = spread(pool, partial(leader_minutiae, cache), list(first), "impressions by LEADER")
        given["leader"] = [as_template(each, image) for each, image in zip(rows, first, strict=True)]
    pairs = np.stack(np.triu_indices(fingers, 1), axis=1)
    non_mated = bozorth3([each.record for each in sources], pairs)
    mated = _paired(sources, others)
    thresholds = _thresholds(mated, non_mated)
    figures: dict[str, Any] = {
        "fingers": fingers,
        "thresholds": thresholds,
        "mates": _matches(mated, thresholds),
        "non_mates": _matches(non_mated, thresholds),
    }
    for kind, described in given.items():
        images = reconstructed(model, described)
        again = measure_all(pool, cache, images, f"reconstructions from templates: {TEMPLATES[kind]}")
        wanted = described if kind == "partial" else templates
        kept = sum(
            (agreement(as_template(seen.minutiae, image), template)
             for seen, image, template in zip(again, images, wanted, strict=True)),
            Agreement(),
        )  # fmt: skip
        figures[kind] = {
            "type_1": _matches(_paired(again, sources), thresholds),
            "type_2": _matches(_paired(again, others), thresholds),
            "recall": round(kept.recall, 4),
            "spurious": None if kind == "partial" else round(1 - kept.precision, 4),
            "nfiq2": describe([float(seen.quality) for seen in again]),
        }
    return figures


def reconstructed(model: Model, templates: list[Template]) -> Images:
    """Returns prints (N, H, W) of templates, of 500 ppi."""
    parts = [model.reconstruct(templates[i : i + BATCH]) for i in range(0, len(templates), BATCH)]
    return at_500_ppi(model, np.concatenate(parts))


def at_500_ppi(model: Model, images: Images) -> Images:
    """Returns a bundle's images as gray levels (N, H, W) of the resolution that NFIQ 2 is defined at."""
    gray = images if images.ndim == 3 else images.mean(axis=-1).round().astype(np.uint8)
    side = round(gray.shape[1] * PPI / model.ppi(gray.shape[1]))
    return np.stack([resize(image, side) for image in gray])


def measure_all(pool: Executor, cache: Path, images: Images, what: str) -> list[Print]:
    """Returns what NIST's code finds in each image."""
    return spread(pool, partial(measure_print, cache), list(images), what)


def as_template(rows: Rows, image: NDArray[np.uint8]) -> Template:
    """Returns what an extractor found in an image, rows as `Measurement.mindtct`."""
    height, width = image.shape
    minutiae = (Minutia(min(x, width - 1), min(y, height - 1), angle, TYPES[max(kind, 1.0)], quality)
                for x, y, angle, kind, quality in rows)  # fmt: skip
    return Template(width, height, float(PPI), tuple(minutiae))


def innermost(template: Template, count: int) -> Template:
    """Returns the template with the `count` minutiae that are nearest to their center."""
    x, y = np.mean([(m.x, m.y) for m in template.minutiae] or [(0.0, 0.0)], axis=0)
    nearest = sorted(template.minutiae, key=lambda m: (m.x - x) ** 2 + (m.y - y) ** 2)
    return replace(template, minutiae=tuple(nearest[:count]))


def _paired(one: list[Print], other: list[Print]) -> NDArray[np.float64]:
    count = len(one)
    return bozorth3([each.record for each in (*one, *other)], [(i, count + i) for i in range(count)])


def _thresholds(mated: NDArray[np.float64], non_mated: NDArray[np.float64]) -> dict[str, float]:
    """Scores from which on a pair matches: NIST's, and those of false match rates if the pairs suffice."""
    whole = curve(mated, non_mated)
    found = {"bozorth3_40": float(LIKELY_MATCH)}
    for name, rate in FMR.items():
        if rate * len(non_mated) >= LEAST_PAIRS:
            threshold = whole.thresholds[whole.fmr <= rate].min()
            found[name] = float(threshold) if np.isfinite(threshold) else float(non_mated.max() + 1)
    return found


def _matches(scores: NDArray[np.float64], thresholds: dict[str, float]) -> dict[str, Any]:
    return {
        "pairs": len(scores),
        "score": describe(scores.tolist()),
        "match": {name: round(float((scores >= least).mean()), 5) for name, least in thresholds.items()},
    }
