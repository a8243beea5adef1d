"""What does each SeFa direction of a bundle change? Measured, and shown.

For each of the first directions, images of the same seeds are compared, edited one way and the other. A
trait's change counts in standard deviations of that trait over the seeds: so all can be compared.

    python -m fingergen.benchmarks.quality.directions [BUNDLE] --grid directions.png
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import numpy as np
from afis.algorithms.orientation import estimate_orientation
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from fingergen.runtime import Model, load
from fingergen.runtime.errors import command_line_errors
from fingergen.runtime.files import write_atomically
from fingergen.runtime.images import Pixels, contact_sheet, encode_image

from .comparisons import spread, worker_per_core
from .ridge_patterns import ridge_period

SHOWN = 3  # seeds of a row on the sheet
LOCAL = 12.0  # pixels, standard deviation of a Gaussian that sees no single ridge of 500 ppi


def ridge_share(image: NDArray[np.floating]) -> float:
    """Part of the pixels that are darker than their surroundings: how wide ridges are beside valleys."""
    return float((image < gaussian_filter(image, LOCAL)).mean())


def unevenness(image: NDArray[np.floating]) -> float:
    """Standard deviation of the surroundings' grey: blotches, uneven contact."""
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
    "ridge period": lambda image: ridge_period(image.astype(np.uint8)),
    "slant": slant,
    "steepness": steepness,
}


def traits(image: Pixels) -> list[float]:
    """Every trait of a uint8 (H, W) image."""
    return [trait(image.astype(np.float64)) for trait in TRAITS.values()]


def changes(
    model: Model, directions: int, seeds: Sequence[int], degree: float
) -> tuple[list[dict[str, float]], list[list[Pixels]]]:
    """Of each direction: how far each trait is moved from -degree to +degree, in its standard deviations over
    the seeds; and a row of images for the sheet, three of each of the first `SHOWN` seeds."""
    w = model.map(model.z(seeds))
    figures, rows = [], []
    with worker_per_core() as pool:
        for index in range(directions):
            minus, plain, plus = model.edit(w, index, degree, seeds=seeds)
            measured = [
                np.array(spread(pool, traits, list(images), f"direction {index}"))
                for images in (minus, plain, plus)
            ]
            moved = (measured[2] - measured[0]).mean(axis=0) / measured[1].std(axis=0)
            figures.append(dict(zip(TRAITS, moved.round(2).tolist(), strict=True)))
            rows.append([images[i] for i in range(SHOWN) for images in (minus, plain, plus)])
    return figures, rows


@command_line_errors
@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("bundle", required=False, type=click.Path(path_type=Path))
@click.option(
    "--directions", type=click.IntRange(1), default=8, show_default=True, help="of the first so many"
)
@click.option(
    "--seeds", type=click.IntRange(SHOWN), default=48, show_default=True, help="to take figures from"
)
@click.option("--degree", default=5.0, show_default=True, help="of the edits, either way")
@click.option("--grid", type=click.Path(dir_okay=False, path_type=Path), help="PNG of three seeds' edits")
def main(bundle: Path | None, directions: int, seeds: int, degree: float, grid: Path | None) -> None:
    """Print what the first SeFa directions of a bundle (by default the packaged one) change, as JSON."""
    with load(bundle) as model:
        directions = min(directions, len(model.bundle.latents.sefa_directions))
        figures, rows = changes(model, directions, range(seeds), degree)
        if grid is not None:
            labels = [f"{index}: {sign}" for index in range(directions) for sign in "-0+" * SHOWN]
            sheet = contact_sheet([image for row in rows for image in row], 3 * SHOWN, labels=labels)
            note = model.provenance("edit", degree=degree)
            write_atomically(grid, encode_image(sheet, ".png", model.ppi(), note))
    click.echo(json.dumps(dict(enumerate(figures)), indent=2))


if __name__ == "__main__":
    main()
