"""What each direction of a bundle changes, and how far an edit may go before the print is another finger's.

For each direction, prints of the same seeds are compared, edited one way and the other. A trait's change
counts in standard deviations of that trait over the seeds: so all can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from afis.algorithms.orientation import estimate_orientation
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from fingergen.runtime import Model
from fingergen.runtime.datasets.nist import LIKELY_MATCH
from fingergen.runtime.images import Pixels
from fingergen.training.metrics.fingerprints import bozorth3

from .reconstruction import Images, at_500_ppi, measure_all
from .ridge_patterns import Ridges, ridge_period
from .workers import spread

DEGREES = (2.5, 5.0, 10.0)
SHOWN = 5.0  # degree at which traits are measured and images are shown
DIRECTIONS = 8  # of SeFa, the first
LOCAL = 12.0  # pixels, standard deviation of a Gaussian that sees no single ridge of 500 ppi


def ridge_share(image: NDArray[np.floating]) -> float:
    """Part of the pixels that are darker than their surroundings: how wide ridges are beside valleys."""
    return float((image < gaussian_filter(image, LOCAL)).mean())


def unevenness(image: NDArray[np.floating]) -> float:
    """Standard deviation of the surroundings' gray: blotches, uneven contact."""
    return float(gaussian_filter(image, LOCAL).std())


def slant(image: NDArray[np.floating]) -> float:
    """Mean doubled orientation's sine: above 0 where more ridges rise to the right than to the left."""
    return float(np.sin(-2 * estimate_orientation(image)).mean())


def steepness(image: NDArray[np.floating]) -> float:
    """Mean doubled orientation's cosine, negated: above 0 where more ridges stand than lie."""
    return float(-np.cos(2 * estimate_orientation(image)).mean())


TRAITS: dict[str, Callable[[NDArray], float]] = {
    "brightness": lambda image: float(image.mean()),
    "contrast": lambda image: float(image.std()),
    "unevenness": unevenness,
    "ridge share": ridge_share,
    "ridge period": lambda image: ridge_period(Ridges(image.astype(np.uint8))),
    "slant": slant,
    "steepness": steepness,
}


def traits(image: Pixels) -> list[float]:
    """Every trait of a uint8 (H, W) image."""
    return [trait(image.astype(np.float64)) for trait in TRAITS.values()]


@dataclass(frozen=True, eq=False)
class DirectionImages:
    """A seed's print at -`SHOWN`, 0 and `SHOWN` degrees along one direction."""

    name: str
    images: tuple[Pixels, Pixels, Pixels]


def edits(
    model: Model, seeds: Sequence[int], pool: Executor, cache: Path
) -> tuple[dict[str, Any], list[DirectionImages]]:
    """Edit prints along each direction.

    Args:
        model: the bundle.
        seeds: whose prints are edited.
        pool: runs the extractor.
        cache: folder with what earlier runs extracted.

    Returns:
        By direction: for each of `DEGREES` the share of the edits, both ways, whose Bozorth3 score with the
        original is `LIKELY_MATCH` or more, and the median score; how far each trait is moved from -`SHOWN` to
        +`SHOWN` degrees. And images to look at.
    """
    z = model.z(seeds)
    w = model.map(z)
    names: list[int | str] = [*model.bundle.traits]
    names += range(min(DIRECTIONS, len(model.bundle.latents.sefa_directions)))
    by_direction, shown = {}, []
    plain: Images = at_500_ppi(model, model.edit(w, names[0], 0.0, seeds=seeds)[1])
    records = [seen.record for seen in measure_all(pool, cache, plain, "images before edits")]
    usual = np.array(spread(pool, traits, list(plain), "images for traits"))
    for name in names:
        figures: dict[str, Any] = {"identity_kept": {}, "median_score": {}}
        for degree in DEGREES:
            minus, _, plus = (
                at_500_ppi(model, each) for each in model.edit(w, name, degree, seeds=seeds, z=z)
            )
            changed = measure_all(pool, cache, np.concatenate([minus, plus]), f"images edited along {name}")
            whole = [*records, *(seen.record for seen in changed)]
            pairs = [(i % len(seeds), len(seeds) + i) for i in range(len(changed))]
            scores = bozorth3(whole, pairs)
            figures["identity_kept"][f"{degree:g}"] = round(float((scores >= LIKELY_MATCH).mean()), 4)
            figures["median_score"][f"{degree:g}"] = float(np.median(scores))
            if degree == SHOWN:
                low, high = (
                    np.array(spread(pool, traits, list(images), f"images for traits along {name}"))
                    for images in (minus, plus)
                )
                moved = (high - low).mean(axis=0) / np.maximum(usual.std(axis=0), 1e-9)
                figures["moves"] = {
                    trait: round(float(by), 2) if np.isfinite(by) else None
                    for trait, by in zip(TRAITS, moved, strict=True)
                }
                shown.append(DirectionImages(str(name), (minus[0], plain[0], plus[0])))
        by_direction[str(name)] = figures
    return {"seeds": len(seeds), "directions": by_direction}, shown
