"""`fg-bench minutiae`: whether other precisions and backends keep the minutiae of float32 on the CPU."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import click

import fingergen.runtime as fgr
from fingergen.runtime import Model
from fingergen.runtime.backends import BACKENDS, PRECISIONS, Precision, unavailable
from fingergen.runtime.bundle import open_bundle
from fingergen.runtime.cli.kit import SEED
from fingergen.runtime.cli.progress import ended_by_sigterm
from fingergen.runtime.errors import BadInput, FingerGenError, say
from fingergen.runtime.minutiae import Template
from fingergen.runtime.pipeline.tables import align

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
REFERENCE: tuple[str, Precision] = ("onnxruntime", "fp32")
PIXELS, DEGREES = 4.0, 5.0  # within which a minutia is kept
LEAST_KEPT = 0.98


@click.command()
@click.argument("bundle", required=False, type=FOLDER)
@click.option("--images", type=click.IntRange(1), default=100, show_default=True, help="Images to compare.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the first image.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@ended_by_sigterm("no figures were taken down; run the command again")
def minutiae(bundle: Path | None, images: int, seed: int, as_json: bool) -> None:
    """Compare the minutiae in the images of every backend and precision that runs here.

    MINDTCT finds them. What ONNX Runtime computes on the CPU in float32 is the reference, of which a minutia
    is kept if one lies within 4 pixels and 5 degrees. Exits with 1 where fewer than 98 % are kept. Without a
    BUNDLE, the packaged demo bundle is measured.

    \b
    Examples:
      fg-bench minutiae finger --images 500
    """
    try:
        from fingergen.runtime.datasets.nist import Nist
    except ModuleNotFoundError as error:
        raise BadInput(
            f"minutiae needs {error.name}, which is not installed: pip install 'fingergen[eval]'"
        ) from None
    opened, nist = open_bundle(bundle), Nist()

    def found(model: Model) -> list[Template]:
        return [nist.template(image, model.ppi()) for image in model.stream(range(seed, seed + images))]

    with fgr.load(bundle, REFERENCE[0], precision=REFERENCE[1]) as model:
        reference = found(model)
    rows = []
    for name, precision in product(BACKENDS, PRECISIONS):
        if (name, precision) == REFERENCE or unavailable(name, opened, precision=precision):
            continue
        with fgr.load(bundle, name, precision=precision) as model:
            rows.append({"backend": name, "precision": precision, **parity(found(model), reference)})
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    elif not rows:
        say("no other backend or precision runs this bundle here; fg-run info says why")
    else:
        for line in _table(rows):
            say(line)
    for row in rows:
        if row["kept"] < LEAST_KEPT:
            raise FingerGenError(
                f"{row['backend']}, {row['precision']}: keeps {row['kept']:.2%} of the minutiae, less than"
                f" {LEAST_KEPT:.0%}"
            )


def parity(found: list[Template], reference: list[Template]) -> dict[str, Any]:
    """Compare the minutiae of the same images.

    Args:
        found: of what is tested, one template per image.
        reference: in the same order.

    Returns:
        Numbers of images and of the reference's minutiae; `kept`, the share of these that were found within
        `PIXELS` and `DEGREES`; `added`, the share of those found that the reference lacks.
    """
    from fingergen.runtime.minutiae.agreement import Agreement, agreement  # needs SciPy, of the extra

    pairs = zip(found, reference, strict=True)
    total = sum((agreement(one, other, PIXELS, DEGREES) for one, other in pairs), Agreement())
    kept, added = round(total.recall, 5), round(1 - total.precision, 5)
    return {"images": len(reference), "minutiae": total.true, "kept": kept, "added": added}


def _table(rows: list[dict[str, Any]]) -> list[str]:
    shown = [
        (
            row["backend"],
            row["precision"],
            f"{row['images']}",
            f"{row['minutiae']}",
            f"{row['kept']:.2%}",
            f"{row['added']:.2%}",
        )
        for row in rows
    ]
    return align([("backend", "precision", "images", "minutiae", "kept", "added"), *shown], left=2)
