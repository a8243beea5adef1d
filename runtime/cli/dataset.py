"""`fg-run dataset`: fingers with mated impressions, their templates, and a table of what every file is."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Literal

import click

from ..backends import usable_cores
from ..datasets.request import MOST_DIRECTIONS, DatasetRequest
from ..fingers import FingerPosition
from ..model import NoiseMode
from .area import AreaChoice, area
from .dataset_cluster import SetWriting, set_writing
from .dataset_run import Arrangement, DatasetRun, arrangement, use_existing
from .kit import LAYERS, SEED, Number, Ranges, Running, noise, running, size, truncation
from .sensor import Prints, prints


@click.command()
@click.option("--fingers", type=click.IntRange(1, 10**8), help="Number of fingers.")
@click.option(
    "--subjects",
    type=click.IntRange(1, 10**7),
    help="Number of subjects with ten fingers each, in place of --fingers; classes are drawn at the"
    " frequencies of each finger.",
)
@click.option(
    "--impressions", type=click.IntRange(1, 1000), default=2, show_default=True, help="Images of each finger."
)
@click.option(
    "--rolled",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Grown fingers: how many impressions of each, the first ones, are rolled from nail to nail.",
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the first finger.")
@click.option(
    "--directions",
    type=Ranges("directions"),
    help=f"SeFa directions to draw from, such as 0-3,7.  [default: the first {MOST_DIRECTIONS}; with ridge"
    " noise none]",
)
@click.option(
    "--degree",
    type=Number(0, 1000),
    default=5.0,
    show_default=True,
    help="The farthest that an impression goes along its direction, either way.",
)
@click.option(
    "--layers",
    type=LAYERS,
    help="Style inputs that are edited, such as 0-3.  [default: what the bundle recommends]",
)
@click.option(
    "--renderer",
    type=click.Choice(["model", "sensor"]),
    default="model",
    show_default=True,
    help="What makes images: the bundle; or a sensor that grown fingers touch, without a bundle. The options"
    " of the other have no effect.",
)
@arrangement
@prints
@truncation
@noise
@size
@area
@set_writing
@click.option("--batch", type=click.IntRange(1), help="Images a call of the backend.  [default: its best]")
@running
def dataset(
    fingers: int | None,
    subjects: int | None,
    impressions: int,
    rolled: int,
    seed: int,
    directions: Sequence[int] | None,
    degree: float,
    layers: Sequence[int] | None,
    renderer: Literal["model", "sensor"],
    arrangement: Arrangement,
    prints: Prints,
    truncation: float | None,
    noise: NoiseMode | None,
    size: int | None,
    area: AreaChoice,
    writing: SetWriting,
    batch: int | None,
    running: Running,
) -> None:
    """Write a dataset of mated impressions: FINGER_IMPRESSION images of fingers that seeds name.

    Impression 1 is the finger as synth makes it. With ridge noise, and with --renderer sensor, fingers are
    grown from the seeds: each impression has its own placement, distortion, contact and skin, and its true
    template beside it. Impressions of other bundles are edits along a SeFa direction, direction and degree
    drawn by the seed, and have no template.

    The same command writes the same images, on any number of machines (--shard), and more fingers or
    impressions leave those as they are: after an interruption, or to make the set larger, add --resume.
    dataset.json says how all were made; impressions.csv, written last, has a row per image.

    \b
    Examples:
      fg-run dataset --fingers 1000 --impressions 4 --out prints
      fg-run dataset --fingers 8 --impressions 6 --grid mates.png
      fg-run dataset --renderer sensor --preset easy --fingers 1000 --impressions 4 --out prints
      fg-run dataset --renderer sensor --fingers 110 --impressions 8 --layout fvc --pairs --out fvc
      fg-run dataset --renderer sensor --fingers 100000 --layout shards --shard 1/8 --out set
      fg-run dataset --renderer sensor --sensor fap30-1000ppi --fingers 100 --out fine
      fg-run dataset --renderer sensor --fingers 100000 --ray auto --url s3://bucket/set
      fg-run dataset --verify --out prints
    """
    workers = running.workers or usable_cores()
    if subjects is not None:
        if fingers is not None or prints.position is not None:
            raise click.UsageError("--subjects: gives the fingers; leave out --fingers and --finger")
        fingers = subjects * len(FingerPosition)
    if writing.ray is not None and (arrangement.shard != (1, 1) or arrangement.merge or arrangement.verify):
        raise click.UsageError("--ray: makes a whole set; it goes with neither --shard, --merge nor --verify")
    if arrangement.merge or arrangement.verify:
        if fingers is not None:
            raise click.UsageError("--verify and --merge take a set as it is; leave out --fingers")
        return use_existing(arrangement, writing, workers)
    if fingers is None:
        raise click.UsageError("give --fingers or --subjects")
    writing.check_sheet(range(fingers * impressions))
    with ExitStack() as stack:
        model = stack.enter_context(running.load()) if renderer == "model" else None
        shown = area.chosen(size=prints.window) if model is None else area.of_bundle(model, size)
        request = DatasetRequest(
            fingers=fingers,
            impressions=impressions,
            seed=seed,
            subjects=subjects is not None,
            rolled=rolled,
            renderer=renderer,
            preset=prints.preset,
            pattern=prints.kind,
            position=prints.position,
            effects=prints.effects,
            window=prints.window,
            area=shown,
            templates=prints.templates,
            directions=directions,
            degree=degree,
            layers=layers,
            truncation=truncation,
            noise=noise,
            size=size,
            layout=arrangement.layout,
            database=arrangement.database,
            image_format=writing.image_format,
            gate=arrangement.bounds,
            distinct=arrangement.distinct,
            transactions=arrangement.transactions,
        )
        opened = request.open(model, workers, batch)
        backend = None if model is None else model.backend.name
        DatasetRun(request, opened, arrangement, writing, running, workers, backend).write()
