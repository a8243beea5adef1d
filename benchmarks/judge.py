"""How good are a bundle's fingerprints? Judges that are not ours look at them and at procedural fingers.

The judges are those of `training.judges` (extra `eval`). Procedural fingers whose seeds lie beyond any
training set stand for the truth: they give the figures to compare with, the threshold of a match, and
templates to reconstruct.

    python -m fingergen.benchmarks.judge [BUNDLE] --seeds 100 --fingers 40
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from pathlib import Path

import click
import numpy as np
from tqdm import tqdm

from fingergen.runtime import Model, load
from fingergen.runtime.errors import BadInput, command_line_errors
from fingergen.training.fingers import impressions, make_finger
from fingergen.training.judges import PPI, describe, look, similarity

DIRECTIONS = 8  # of SeFa that edits are judged along
HELD_OUT = 10_000_000  # first finger that no training set holds


def share(scores: Iterable[float], threshold: float) -> float:
    """Part of the scores that lie above the threshold."""
    return float(np.mean([score > threshold for score in scores]))


def judge(
    model: Model, seeds: int, fingers: int, truncation: float | None, degree: float
) -> dict[str, object]:
    """All figures of a bundle; two seconds or so an image."""
    side = model.bundle.manifest.image.output_size
    if round(model.ppi()) != PPI:
        raise BadInput(
            f"bundle {model.bundle.manifest.name}: its images have {model.ppi():g} ppi; the judges want 500"
        )
    held_out = [make_finger(HELD_OUT + i, (side, side)) for i in range(fingers)]
    first, templates = impressions(held_out, [0] * fingers, (side, side))
    second, _ = impressions(held_out, [1] * fingers, (side, side))
    sources = [look(image) for image in tqdm(first.numpy(), "held-out fingers", leave=False)]
    others = [look(image) for image in tqdm(second.numpy(), "second impressions", leave=False)]
    non_mated = [similarity(*pair) for pair in combinations(sources, 2)]
    # The largest score of different fingers: with n of them, a false-match rate below 2 / n(n-1).
    threshold = max(non_mated)

    images = model.synthesize(range(seeds), truncation=truncation)
    made = [look(image) for image in tqdm(images, "seeds", leave=False)]
    between = [similarity(*pair) for pair in combinations(made, 2)]
    figures: dict[str, object] = {
        "held_out_fingers": describe(sources),
        "match_threshold": threshold,
        "pairs_behind_threshold": len(non_mated),
        "held_out_mated_match": share(map(similarity, sources, others), threshold),
        "synthesis": describe(made),
        "pairs_of_seeds_that_match": share(between, threshold),
        "largest_score_between_seeds": max(between),
    }
    figures["edits_that_keep_the_finger"] = share(
        edit_scores(model, range(min(seeds, fingers)), truncation, degree), threshold
    )
    if model.bundle.manifest.encoder:
        again = [look(image) for image in tqdm(model.reconstruct(templates), "reconstructions", leave=False)]
        figures["reconstruction"] = describe(again)
        figures["reconstruction_type_1_match"] = share(map(similarity, again, sources), threshold)
        figures["reconstruction_type_2_match"] = share(map(similarity, again, others), threshold)
        figures["reconstruction_mean_score"] = float(np.mean(list(map(similarity, again, sources))))
        figures["non_mated_mean_score"] = float(np.mean(non_mated))
    return figures


def edit_scores(
    model: Model, seeds: Sequence[int], truncation: float | None, degree: float
) -> Iterator[float]:
    """Scores of edits, either way, with their originals; the seeds take turns with the first directions."""
    directions = min(DIRECTIONS, len(model.bundle.latents.sefa_directions))
    for seed in tqdm(seeds, "edits", leave=False):
        w = model.map(model.z([seed]))
        edited = model.edit(w, seed % directions, degree, truncation=truncation, seeds=[seed])
        minus, original, plus = (look(image) for (image,) in edited)
        yield similarity(minus, original)
        yield similarity(plus, original)


@command_line_errors
@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("bundle", required=False, type=click.Path(path_type=Path))
@click.option(
    "--seeds", type=click.IntRange(min=2), default=100, show_default=True, help="fingers to synthesise"
)
@click.option(
    "--fingers", type=click.IntRange(min=2), default=40, show_default=True, help="held-out procedural fingers"
)
@click.option("--truncation", type=float, help="of synthesis  [default: what the bundle recommends]")
@click.option("--degree", default=5.0, show_default=True, help="of the edits")
def main(bundle: Path | None, seeds: int, fingers: int, truncation: float | None, degree: float) -> None:
    """Print the figures of a bundle (by default the packaged one) as JSON."""
    with load(bundle) as model:
        click.echo(json.dumps(judge(model, seeds, fingers, truncation, degree), indent=2))


if __name__ == "__main__":
    main()
