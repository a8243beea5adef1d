"""`fg-bench proof`: what a network learns from a set, tested on fingers that the set does not have."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fingergen.runtime.cli.kit import SEED
from fingergen.runtime.cli.progress import ended_by_sigterm
from fingergen.runtime.errors import BadInput, say
from fingergen.runtime.files import remove_partial
from fingergen.runtime.pipeline.tables import align

if TYPE_CHECKING:
    from .descriptor import Prints
    from .image_sets import ImageSet

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
PAIRS = 100_000  # most pairs of different fingers that a test compares
EXAMPLES = """
\b
Examples:
  fg-bench proof fingers --test other-renderer --out proof
  fg-bench proof fingers --against seeds --test hard-preset --real my-fvc-folder --out proof
"""


@click.command(epilog=EXAMPLES)
@click.argument("training", type=FOLDER)
@click.option("--against", type=FOLDER, multiple=True, help="Another set to train on, to compare with.")
@click.option("--test", "tests", type=FOLDER, multiple=True, help="A mated set of other fingers to test on.")
@click.option("--real", type=FOLDER, multiple=True, help="A folder of real prints, for tests alone.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for the trainings; an interrupted one is resumed.",
)
@click.option(
    "--steps", type=click.IntRange(1), default=3000, show_default=True, help="Steps of each training."
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of each training.")
@click.option("--finger-pattern", help="Regular expression for the part of a file's name that is its finger.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def proof(
    training: Path,
    against: tuple[Path, ...],
    tests: tuple[Path, ...],
    real: tuple[Path, ...],
    out: Path,
    steps: int,
    seed: int,
    finger_pattern: str | None,
    as_json: bool,
) -> None:
    """Train a small descriptor network on TRAINING alone, and test it on fingers that it never saw.

    TRAINING is a mated set, as `fg-run dataset` writes it. The error rates of the tests show what a set is
    worth for training; compare them with those of a network trained on another set. Real prints are never
    trained on.
    """
    try:
        from fingergen.training.data.splits import FingerRule

        from .descriptor import describe, read_prints, similarities, train
        from .error_rates import error_rates
        from .image_sets import read_folder
        from .matching import mated_pairs, non_mated_pairs, scores_of
    except ModuleNotFoundError as error:
        raise BadInput(
            f"proof needs {error.name}, which is not installed: pip install 'fingergen[eval]'"
        ) from None
    if not tests and not real:
        raise BadInput("proof: give a set to test on, with --test or --real")
    rule = FingerRule(finger_pattern)

    def read_all(folders: Iterable[Path]) -> list[tuple[ImageSet, Prints]]:
        sets = [read_folder(folder, rule) for folder in folders]
        for images in sets:
            if not len(mated_pairs(images)):
                raise BadInput(f"{images.name}: no finger has two impressions to compare")
        return [(images, read_prints(images)) for images in sets]

    tested, learned = read_all((*tests, *real)), read_all((training, *against))
    for (images, prints), (known, shown) in itertools.product(tested, learned):
        if common := _common(prints, shown):
            raise BadInput(f"{images.name}: {common} images are in {known.name} too; give other fingers")
    out.mkdir(parents=True, exist_ok=True)
    remove_partial(out)
    results: list[dict[str, Any]] = []
    for known, shown in learned:
        labels = "\n".join(file.finger for file in known.files)
        key = hashlib.sha256(shown.tobytes() + labels.encode(errors="surrogateescape")).hexdigest()[:8]
        with ended_by_sigterm(f"the training is kept in {out}; the same command goes on"):
            network = train(known, shown, steps, out / f"{known.name}-{key}-{seed}.pt", seed)
        for images, prints in tested:
            mated, other = mated_pairs(images, PAIRS), non_mated_pairs(images, PAIRS)
            described = describe(network, prints)
            found = (similarities(described, pairs) for pairs in (mated, other))
            scores = scores_of(images, mated, next(found), other, next(found))
            rates = {name: asdict(rate) for name, rate in error_rates(scores).items()}
            results.append(
                {
                    "training": known.name,
                    "test": images.name,
                    "steps": steps,
                    "fingers": len(images.fingers()),
                    "mated_pairs": len(mated),
                    "non_mated_pairs": len(other),
                    **rates,
                }
            )
    if as_json:
        click.echo(json.dumps(results, indent=2))
        return
    for line in _table(results).splitlines():
        say(line)


def _common(one: Prints, other: Prints) -> int:
    """How many prints of one set are in another."""
    return len({each.tobytes() for each in one} & {each.tobytes() for each in other})


def _table(results: list[dict[str, Any]]) -> str:
    rows = [("trained on", "tested on", "fingers", "EER (95 % interval)", "TAR at FMR 1 %")]
    rows += [
        (
            each["training"],
            each["test"],
            f"{each['fingers']}",
            _rate(each["eer"]),
            _rate(each["tar_at_fmr_0.01"]),
        )
        for each in results
    ]
    return "\n".join(align(rows, 2))


def _rate(rate: dict[str, float | None]) -> str:
    if rate["value"] is None:
        return "-"
    return f"{rate['value']:.1%} ({rate['low']:.1%} to {rate['high']:.1%})"
