"""`fg-run synth --throughput`: the pipeline at full speed, measured."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

import click

from ..backends import usable_cores
from ..images import Pixels
from ..model import Synthesis
from ..pipeline.batch_size import best_batch, try_batches
from ..pipeline.steps import Pair, pair
from ..pipeline.throughput import FullSpeed
from .kit import WRITING, Number, Writing, as_one
from .output import Output, Planned

DEFAULT_SECONDS = 10.0
REFRESH = 0.5  # seconds between two figures of the live line


@dataclass(frozen=True)
class SynthWriting(Writing):
    """Where images go. At full speed they may go nowhere."""

    throughput: bool
    seconds: float | None

    def __post_init__(self) -> None:
        if self.seconds is not None and not self.throughput:
            raise click.UsageError("--seconds needs --throughput")
        if self.throughput and self.grid is not None:
            raise click.UsageError("--grid: --throughput keeps no images for a sheet")
        if not self.throughput or self.out is not None:
            super().__post_init__()


synth_writing = as_one(
    "writing",
    SynthWriting,
    *WRITING,
    click.option(
        "--throughput",
        is_flag=True,
        help="Full speed; show images/s and where the time goes. Without --out images are discarded.",
    ),
    click.option(
        "--seconds",
        type=Number(0, 1e9, min_open=True),
        help=f"With --throughput: begin no batch later.  [default: {DEFAULT_SECONDS:g} without seeds]",
    ),
)


def run_at_full_speed(
    steps: Synthesis,
    seeds: Iterable[int],
    mix: int | None,
    writing: SynthWriting,
    output: Output,
    batch: int | None,
    workers: int | None,
) -> None:
    """Make the images of `seeds`, all of them if they are a list, and print the report."""
    count = len(seeds) if isinstance(seeds, list) else None
    trials = [] if batch else try_batches(steps)
    output.begin(map(Planned.of_seed, seeds) if isinstance(seeds, list) else ())

    def write(pair: Pair, image: Pixels) -> None:
        output.impression(Planned.of_seed(pair[0]), image).write()

    run = FullSpeed(
        steps,
        batch or best_batch(trials),
        workers or usable_cores(),
        None if writing.out is None else write,
        writing.seconds or (DEFAULT_SECONDS if count is None else float("inf")),
    )
    with closing(run.images(pair(seeds, mix))) as images:
        _show(images, count)
    report = run.report
    if writing.as_json:
        tried = [vars(trial) for trial in trials]
        where = str(writing.out) if writing.out else None
        click.echo(json.dumps({**report.to_json(), "batches_tried": tried, "out": where}, indent=2))
        return
    click.echo(report.table())
    if trials:
        tried_rates = ", ".join(f"{trial.batch}: {trial.images_per_second:.1f}" for trial in trials)
        click.echo(f"\nbatches tried on the device, images/s: {tried_rates}")


def _show(images: Iterator[object], count: int | None) -> None:
    """Use the images up, with a live line on a terminal."""
    live = sys.stderr.isatty()
    done = shown = 0
    last = time.monotonic()
    for done, _ in enumerate(images, start=1):
        now = time.monotonic()
        if live and now - last > REFRESH:
            of = f" of {count}" if count is not None else ""
            click.echo(
                f"\r{done}{of} images, {(done - shown) / (now - last):.1f} images/s  ", nl=False, err=True
            )
            shown, last = done, now
    if live:
        click.echo(f"\r{done} images" + 30 * " ", err=True)
