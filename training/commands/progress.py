"""Training with a progress bar, for the command line."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from tensorboard.summary.writer import event_file_writer
from tqdm import tqdm

from .. import distributed
from ..memory import reuse_freed_memory
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
    """As `train`, `options` too, on the terminal; leaves the program when interrupted."""
    reuse_freed_memory()
    hidden = not distributed.is_main()
    bar = tqdm(desc=name, total=images, unit="image", smoothing=0.05, disable=hidden)
    with bar, _one_line(out):
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


@contextmanager
def _one_line(folder: Path) -> Iterator[None]:
    """Name the folder in errors that name no file, as those of a full disk, and show them once.

    TensorBoard writes on a thread. An error there ends the thread, and its next call raises the error.
    """
    usual = threading.excepthook

    def report(ended: threading.ExceptHookArgs) -> None:
        if type(ended.thread).__module__ != event_file_writer.__name__:
            usual(ended)

    threading.excepthook = report
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(folder)) from error
        raise
    finally:
        threading.excepthook = usual
