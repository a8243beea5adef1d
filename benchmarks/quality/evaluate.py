"""How good are a bundle's fingerprints? Judges that are not ours look at them and at procedural fingers.

The judges are those of `training.judges` and `ridge_patterns` (extra `eval`). Procedural fingers whose seeds
lie beyond any training set stand for the truth: they give the figures to compare with, the thresholds of a
match at two false-match rates, and templates to reconstruct.

    python -m fingergen.benchmarks.quality.evaluate [BUNDLE] --seeds 100 --fingers 40
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from fingergen.runtime import Model, load
from fingergen.runtime.cli.kit import Number
from fingergen.runtime.errors import BadInput, command_line_errors
from fingergen.runtime.fingers import PatternClass, impressions, make_finger
from fingergen.training.metrics.fingerprints import PPI, Print, look

from .comparisons import Scores, across, compare, share, spread, threshold, within, worker_per_core
from .ridge_patterns import pattern_class, ridge_period

DIRECTIONS = 8  # of SeFa that edits are judged along
HELD_OUT = 10_000_000  # first finger that no training set holds
RATES = {"fmr_0.1%": 1e-3, "fmr_0.01%": 1e-4}
PERCENTILES = (5, 50, 95)
BATCH = 32  # images made at a time

Images = NDArray[np.uint8]  # (N, H, W)


@dataclass(frozen=True)
class Plan:
    """How much to look at; `truncation` None: what the bundle recommends."""

    seeds: int = 100
    fingers: int = 40
    training_fingers: int = 40
    pairs: int = 20_000
    truncation: float | None = None
    degree: float = 5.0


@dataclass(frozen=True, eq=False)
class Looked:
    """What the judges see in one image."""

    print: Print
    period: float
    pattern: PatternClass


def look_at(image: NDArray[np.uint8]) -> Looked:
    return Looked(look(image), ridge_period(image), pattern_class(image))


class Judge:
    """Figures of a bundle, in groups."""

    def __init__(self, model: Model, plan: Plan, pool: Executor) -> None:
        """Looks at the held-out fingers; a second or so an image and core."""
        self._side = model.bundle.manifest.image.output_size
        if round(model.ppi()) != PPI:
            raise BadInput(
                f"bundle {model.bundle.manifest.name}: its images have {model.ppi():g} ppi;"
                f" the judges want {PPI}"
            )
        self._model, self._plan, self._pool = model, plan, pool
        held_out = range(HELD_OUT, HELD_OUT + plan.fingers)
        first, self._templates = self._impressions(held_out, 0)
        self._sources = self._look(first, "held-out fingers")
        self._others = self._look(self._impressions(held_out, 1)[0], "second impressions")
        self._non_mated = self._compare(within(prints(self._sources), plan.pairs), "different fingers")

    def truth(self) -> dict[str, object]:
        """Of the held-out fingers."""
        mated = self._compare(pairs(self._sources, self._others), "same fingers")
        return {
            **describe(self._sources),
            "pairs_behind_thresholds": len(self._non_mated),
            "match_threshold": {name: threshold(self._non_mated, rate) for name, rate in RATES.items()},
            "second_impressions_that_match": self._matches(mated),
        }

    def synthesis(self) -> dict[str, object]:
        """Of the seeds: what they look like, and whether they are different people."""
        plan = self._plan
        made = self._look(self._synthesize(range(plan.seeds)), "seeds")
        known = self._look(self._impressions(range(plan.training_fingers), 0)[0], "training fingers")
        between = self._compare(within(prints(made), plan.pairs), "pairs of seeds")
        leaked = self._compare(across(prints(made), prints(known), plan.pairs), "seeds and training fingers")
        return {
            **describe(made),
            "pairs_of_seeds": len(between),
            "pairs_of_seeds_that_match": self._matches(between),
            "largest_score_of_seeds": float(between.max()),
            "pairs_with_training_fingers": len(leaked),
            "pairs_with_training_fingers_that_match": self._matches(leaked),
        }

    def edits(self) -> dict[str, object]:
        """Of edits, either way, compared with their originals; the seeds take turns with the directions."""
        model, plan = self._model, self._plan
        directions = min(DIRECTIONS, len(model.bundle.latents.sefa_directions))
        minus: list[NDArray[np.uint8]] = []
        plain: list[NDArray[np.uint8]] = []
        plus: list[NDArray[np.uint8]] = []
        for seed in range(min(plan.seeds, plan.fingers)):
            w = model.map(model.z([seed]))
            edited = model.edit(w, seed % directions, plan.degree, truncation=plan.truncation, seeds=[seed])
            for images, (image,) in zip((minus, plain, plus), edited, strict=True):
                images.append(image)
        looked = [self._look(np.stack(images), "edits") for images in (minus, plain, plus)]
        scores = [self._compare(pairs(looked[1], changed), "edits") for changed in (looked[0], looked[2])]
        return {**describe(looked[0] + looked[2]), "that_keep_the_finger": self._matches(np.array(scores))}

    def reconstruction(self) -> dict[str, object]:
        """Of reconstructions, compared with the impressions whose templates they were made from (type I) and
        with others of the same fingers (type II)."""
        again = self._look(self._model.reconstruct(self._templates), "reconstructions")
        scores = {
            name: self._compare(pairs(again, wanted), name)
            for name, wanted in (("type_1", self._sources), ("type_2", self._others))
        }
        return {
            **describe(again),
            **{f"{name}_match": self._matches(each) for name, each in scores.items()},
            "type_1_median_score": float(np.median(scores["type_1"])),
            "non_mated_median_score": float(np.median(self._non_mated)),
        }

    def _impressions(self, fingers: range, number: int) -> tuple[Images, Sequence]:
        window = (self._side, self._side)
        made = [make_finger(seed, window) for seed in fingers]
        images, templates = impressions(made, [number] * len(made))
        return images, templates

    def _synthesize(self, seeds: range) -> Images:
        batches = [seeds[first : first + BATCH] for first in range(0, len(seeds), BATCH)]
        return np.concatenate(
            [self._model.synthesize(batch, truncation=self._plan.truncation) for batch in batches]
        )

    def _look(self, images: Images, what: str) -> list[Looked]:
        return spread(self._pool, look_at, list(images), what)

    def _compare(self, chosen: Sequence[tuple[Print, Print]], what: str) -> Scores:
        return compare(self._pool, chosen, what)

    def _matches(self, scores: Scores) -> dict[str, float]:
        return {name: share(scores, threshold(self._non_mated, rate)) for name, rate in RATES.items()}


def prints(looked: Sequence[Looked]) -> list[Print]:
    return [each.print for each in looked]


def pairs(one: Sequence[Looked], other: Sequence[Looked]) -> list[tuple[Print, Print]]:
    """One print of each, in order."""
    return list(zip(prints(one), prints(other), strict=True))


def describe(looked: Sequence[Looked]) -> dict[str, object]:
    """Percentiles of what can be measured in the images, None where it is in none, and the share of each
    pattern."""
    measured: dict[str, list[float]] = {
        "quality": [each.print.quality for each in looked],
        "minutiae": [each.print.minutiae for each in looked],
        "ridge_period": [each.period for each in looked],
    }
    found = Counter(each.pattern for each in looked)
    return {
        **{name: _percentiles(values) for name, values in measured.items()},
        "patterns": {kind.value: found[kind] / len(looked) for kind in PatternClass},
    }


def _percentiles(values: Sequence[float]) -> list[float] | None:
    known = [value for value in values if not math.isnan(value)]
    return np.percentile(known, PERCENTILES).tolist() if known else None


def judge(model: Model, plan: Plan) -> dict[str, object]:
    """All figures of a bundle."""
    with worker_per_core() as pool:
        judging = Judge(model, plan, pool)
        figures: dict[str, object] = {
            "held_out_fingers": judging.truth(),
            "synthesis": judging.synthesis(),
            "edits": judging.edits(),
        }
        if model.bundle.manifest.encoder:
            figures["reconstruction"] = judging.reconstruction()
        return figures


@command_line_errors
@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("bundle", required=False, type=click.Path(path_type=Path))
@click.option(
    "--seeds", type=click.IntRange(min=2), default=Plan.seeds, show_default=True, help="fingers to synthesise"
)
@click.option(
    "--fingers",
    type=click.IntRange(min=2),
    default=Plan.fingers,
    show_default=True,
    help="held-out procedural fingers",
)
@click.option(
    "--training-fingers",
    type=click.IntRange(min=1),
    default=Plan.training_fingers,
    show_default=True,
    help="procedural fingers 0, 1, … that seeds are compared with",
)
@click.option(
    "--pairs",
    type=click.IntRange(min=1),
    default=Plan.pairs,
    show_default=True,
    help="most pairs of one kind that are compared",
)
@click.option(
    "--truncation", type=Number(-10, 10), help="of synthesis  [default: what the bundle recommends]"
)
@click.option("--degree", default=Plan.degree, show_default=True, help="of the edits")
def main(bundle: Path | None, **options) -> None:
    """Print the figures of a bundle (by default the packaged one) as JSON.

    A thousand full prints and two hundred fingers take about an hour and a half on two cores.
    """
    with load(bundle) as model:
        click.echo(json.dumps(judge(model, Plan(**options)), indent=2))


if __name__ == "__main__":
    main()
