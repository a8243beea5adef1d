"""Training with a progress bar, for the command line."""

from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from .. import distributed
from ..trainers.training_loop import Interruption, Trainer, train


def train_with_bar(
    name: str,
    trainer: Trainer,
    out: Path,
    images: int,
    checkpoint_every: int,
    interrupted: Interruption,
    **options: Any,
) -> None:
    """As `loop.train`, `options` too, on the terminal; leaves the program when interrupted."""
    hidden = not distributed.is_main()
    with tqdm(desc=name, total=images, unit="image", smoothing=0.05, disable=hidden) as bar:
        for seen, losses in train(trainer, out, images, checkpoint_every, interrupted, **options):
            if not bar.n:  # what an earlier run has seen is no part of the speed
                bar.initial = bar.n = bar.last_print_n = seen - trainer.batch_size
            bar.update(seen - bar.n)
            bar.set_postfix({key: f"{value:.3f}" for key, value in losses.items()}, refresh=False)
    if trainer.images_seen < images:
        if not hidden:
            click.echo(
                f"interrupted after {trainer.images_seen} images; the same command continues", err=True
            )
        raise SystemExit(130)
