"""`fg-run synth`: seeds to fingerprints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import click

from ..latents import check_layers
from ..model import NoiseMode, Synthesis
from .kit import LAYERS, SEED, SEEDS, Number, Running, noise, running, size, truncation
from .output import Output, Planned
from .throughput import SynthWriting, run_at_full_speed, synth_writing


@click.command()
@click.option("--seeds", type=SEEDS, help="Seeds, such as 7, 0-99 or 0-9,20.")
@click.option("--count", type=click.IntRange(1, 10**8), help="Number of seeds, from --seed on.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="First seed of --count.")
@truncation
@noise
@click.option("--mix", type=SEED, help="Seed of a finger that is mixed into every image.")
@click.option("--mix-layers", type=LAYERS, help="Style inputs that are mixed, such as 0-3.  [default: all]")
@click.option("--alpha", type=Number(0, 1), default=1.0, show_default=True, help="Share of --mix.")
@size
@synth_writing
@click.option("--batch", type=click.IntRange(1), help="Images a call of the backend.  [default: its best]")
@running
def synth(
    seeds: Sequence[int] | None,
    count: int | None,
    seed: int,
    truncation: float | None,
    noise: NoiseMode | None,
    mix: int | None,
    mix_layers: Sequence[int] | None,
    alpha: float,
    size: int | None,
    writing: SynthWriting,
    batch: int | None,
    running: Running,
) -> None:
    """Synthesise fingerprints. A seed names a finger: it gives the same image in any batch, on any thread.

    \b
    Examples:
      fg-run synth --seeds 0-15 --grid sheet.png
      fg-run synth --count 1000 --out prints --truncation 0.7
      fg-run synth --count 1000 --out prints --truncation 0.7 --resume
      fg-run synth --seeds 7 --mix 8 --mix-layers 0-3 --alpha 0.5 --out mixed --format tiff
      fg-run synth --throughput
      fg-run synth --throughput --count 100000 --out prints
    """
    endless = writing.throughput and seeds is None and count is None
    chosen = range(seed, 2**64) if endless else _chosen(seeds, count, seed)
    if mix is None and (mix_layers is not None or alpha != 1):
        option = "--alpha" if mix_layers is None else "--mix-layers"
        raise click.UsageError(f"{option} needs --mix SEED")
    mixing = {} if mix is None else {"mix": mix, "mix_layers": mix_layers, "alpha": alpha}
    with running.load() as model:
        truncation, noise = model.settings(truncation, noise)
        check_layers(mix_layers, model.num_ws)
        shared = model.provenance("synth", truncation=truncation, noise=noise, size=size, **mixing)
        output = Output(writing, shared, model.ppi(size), running.workers)
        if writing.throughput:
            todo: Iterable[int] = (seed for seed in chosen if output.is_missing(Planned.of_seed(seed)))
            if not endless:
                todo = list(todo)  # all are looked at before the work
            steps = Synthesis(model, truncation, noise, mix_layers, alpha, size)
            return run_at_full_speed(steps, todo, mix, writing, output, batch, running.workers)
        planned = [Planned.of_seed(seed) for seed in chosen]
        missing = [
            (seed, plan) for seed, plan in zip(chosen, planned, strict=True) if output.is_missing(plan)
        ]
        images = model.stream(
            (seed for seed, _ in missing), truncation, noise, mix, mix_layers, alpha, size, batch
        )
        plans = [plan for _, plan in missing]
        output.write(planned, plans, zip(plans, images, strict=True))


def _chosen(seeds: Sequence[int] | None, count: int | None, first: int) -> Sequence[int]:
    if seeds is not None and count is None:
        twice = [] if isinstance(seeds, range) else [s for s, times in Counter(seeds).items() if times > 1]
        if twice:  # a file a seed
            raise click.UsageError(f"--seeds: {twice[0]} stands there more than once")
        return seeds
    if seeds is not None or count is None:
        raise click.UsageError("give --seeds or --count")
    if first + count > 2**64:
        raise click.UsageError("--count: the last seed would be above 2**64 - 1")
    return range(first, first + count)
