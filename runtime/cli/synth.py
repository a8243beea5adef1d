"""`fg-run synth`: seeds to fingerprints."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import click

from ..fingers import Impression, SensorArea
from ..images import Pixels
from ..model import Model, NoiseMode
from ..pipeline.request import Pair, SynthesisRequest
from ..pipeline.steps import SynthesisInputs
from ..pipeline.synthesis import Synthesis
from ..pipeline.throughput import ImagePipeline
from ..pipeline.writer import Planned, PlannedImage, PlannedSeeds
from ..seeds import SEEDS as ALL_SEEDS
from ..seeds import Ranges
from .area import AreaChoice, area, described
from .kit import (
    LAYERS,
    SEED,
    SEEDS,
    WRITING,
    Number,
    Running,
    TemplateFormat,
    Writing,
    as_one,
    noise,
    running,
    size,
    truncation,
)
from .output import Output

DEFAULT_SECONDS = 10.0
REFRESH = 0.5  # seconds between two figures of the live line


@dataclass(frozen=True)
class SynthWriting(Writing):
    """Where images go. At full speed they may go nowhere."""

    templates: Sequence[str]
    throughput: bool
    seconds: float | None

    def __post_init__(self) -> None:
        if self.templates and self.out is None:
            raise click.UsageError("--template-format needs --out")
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
        "--template-format",
        "templates",
        type=TemplateFormat(),
        multiple=True,
        help="Also write the true template of each print, in this format; may be given several times. Needs"
        " noise ridges.",
    ),
    click.option(
        "--throughput",
        is_flag=True,
        help="Run at full speed, and report images/s and where the time goes. Without --out, images are"
        " discarded.",
    ),
    click.option(
        "--seconds",
        type=Number(0, 1e9, min_open=True),
        help="With --throughput: start no batch after this time.  "
        f"[default: {DEFAULT_SECONDS:g} without seeds]",
    ),
)


@click.command()
@click.option("--seeds", type=SEEDS, help="Seeds, such as 7, 0-99 or 0-9,20.")
@click.option("--count", type=click.IntRange(1, 10**8), help="Number of seeds, from --seed on.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="First seed of --count.")
@truncation
@noise
@click.option("--mix", "mix_seeds", type=SEED, help="Seed of a finger that is mixed into every image.")
@click.option("--mix-layers", type=LAYERS, help="Style inputs that are mixed, such as 0-3.  [default: all]")
@click.option(
    "--alpha", "mix_alpha", type=Number(0, 1), default=1.0, show_default=True, help="Weight of --mix."
)
@size
@area
@synth_writing
@click.option(
    "--batch", type=click.IntRange(1), help="Images per call of the backend.  [default: the fastest]"
)
@running
def synth(
    seeds: Sequence[int] | None,
    count: int | None,
    seed: int,
    truncation: float | None,
    noise: NoiseMode | None,
    mix_seeds: int | None,
    mix_layers: Sequence[int] | None,
    mix_alpha: float,
    size: int | None,
    area: AreaChoice,
    writing: SynthWriting,
    batch: int | None,
    running: Running,
) -> None:
    """Synthesize fingerprints. A seed names a finger: it gives the same image in any batch, on any thread.

    \b
    Examples:
      fg-run synth --seeds 0-15 --grid sheet.png
      fg-run synth --count 1000 --out prints --truncation 0.7
      fg-run synth --count 1000 --out prints --truncation 0.7 --resume
      fg-run synth --seeds 7 --mix 8 --mix-layers 0-3 --alpha 0.5 --out mixed --format tiff
      fg-run synth --count 100 --sensor fap20 --out fap20
      fg-run synth --count 100 --out prints --template-format json --template-format iso19794-2-2005
      fg-run synth --throughput
      fg-run synth --throughput --count 100000 --out prints
    """
    endless = writing.throughput and seeds is None and count is None
    chosen = range(seed, ALL_SEEDS) if endless else _chosen(seeds, count, seed)
    if mix_seeds is None and (mix_layers is not None or mix_alpha != 1):
        option = "--alpha" if mix_layers is None else "--mix-layers"
        raise click.UsageError(f"{option} needs --mix SEED")
    request = SynthesisRequest(chosen, truncation, noise, mix_seeds, mix_layers, mix_alpha, size)
    with running.load() as model:
        synthesis = _Synth(model, request, writing, running.workers, area.of_bundle(model, size))
        if writing.throughput:
            synthesis.measure(batch, None if endless else len(chosen))
        else:
            synthesis.write(batch or model.backend.batch)


def _chosen(seeds: Sequence[int] | None, count: int | None, first: int) -> Sequence[int]:
    if seeds is not None and count is None:
        if first:
            raise click.UsageError("--seed is the first of --count; give all of them by --seeds")
        twice = seeds.repeated() if isinstance(seeds, Ranges) else None
        if twice is not None:  # there is one file per seed
            raise click.UsageError(f"--seeds: {twice} stands there more than once")
        return seeds
    if seeds is not None or count is None:
        raise click.UsageError("give --seeds or --count")
    if first + count > ALL_SEEDS:
        raise click.UsageError("--count: the last seed would be above 2**64 - 1")
    return range(first, first + count)


class _Synth:
    """One run of the command. Seeds are looked at when their turn comes, so that it holds few at a time."""

    def __init__(
        self,
        model: Model,
        request: SynthesisRequest,
        writing: SynthWriting,
        workers: int | None,
        shown: SensorArea | None,
    ) -> None:
        self._model = model
        self._taken: dict[int, Impression] | None = {} if writing.templates else None
        self._steps = Synthesis(model, request, self._taken)
        settled = request._replace(
            truncation=self._steps.truncation, noise=self._steps.noise, seeds=self._missing()
        )
        self._pairs = settled.pairs()
        self._planned = PlannedSeeds(request.seeds)  # type: ignore[arg-type]
        self._writing = writing
        self._kept = 0
        shared = model.provenance("synth", **settled.provenance(), area=described(shown))
        self._output = Output(writing, shared, model.ppi(request.size), workers, shown, writing.templates)

    def write(self, batch: int) -> None:
        """Write the images, or show them on a sheet, or both."""
        self._output.begin_seeds(self._planned)
        run = self._run(batch, float("inf"))

        def made() -> Generator[PlannedImage]:
            with closing(run.images(self._pairs)) as images:
                for (seed, _), image in images:
                    yield self._output.impression(Planned.of_seed(seed), image)

        self._output.collect(self._planned, made(), len(self._planned))
        self._output.report(self._planned, len(self._planned) - self._kept)

    def measure(self, batch: int | None, count: int | None) -> None:
        """Make the images, `count` of them or as many as fit into the time, and print the report."""
        from ..pipeline.batch_size import best_batch, try_batches  # here: most runs measure nothing

        self._output.begin_seeds(self._planned)
        trials = [] if batch else try_batches(self._steps)
        if self._taken:
            self._taken.clear()  # of the trials
        usual = DEFAULT_SECONDS if count is None else float("inf")
        run = self._run(batch or best_batch(trials), self._writing.seconds or usual)
        with closing(run.images(self._pairs)) as images:
            _show(images, count)
        report = run.report
        if self._writing.as_json:
            tried = [trial._asdict() for trial in trials]
            where = str(self._writing.out) if self._writing.out else None
            click.echo(json.dumps({**report.to_json(), "batches_tried": tried, "out": where}, indent=2))
            return
        click.echo(report.table())
        if trials:
            rates = ", ".join(f"{trial.batch}: {trial.images_per_second:.1f}" for trial in trials)
            click.echo(f"\nbatches tried on the device, images/s: {rates}")

    def _missing(self) -> Iterator[int]:
        for seed in self._planned.seeds:
            if self._output.is_missing(Planned.of_seed(seed)):
                yield seed
            else:
                self._kept += 1

    def _run(self, batch: int, seconds: float) -> ImagePipeline[Pair, SynthesisInputs]:
        def write(pair: Pair, image: Pixels) -> None:
            seed, _ = pair
            truth = self._taken.pop(seed).template_at(image.shape[1]) if self._taken is not None else None
            self._output.impression(Planned.of_seed(seed), image, truth).write()

        return ImagePipeline(
            self._steps, batch, self._output.workers, write if self._writing.out else None, seconds
        )


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
