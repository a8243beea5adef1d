"""The loop that every trainer runs in: metrics, states and samples, resumable."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from fingergen.runtime.errors import BadInput, FingerGenError
from fingergen.runtime.seeds import Purpose, stream

from .. import distributed
from ..checkpoints.manager import Savable, States
from ..data.prefetch import drawn_ahead
from .run_dir import Interruption, Run

LOG_STEPS = 16  # a logged row is the mean over so many steps, or those since the last state
KEEP = 3  # last states that are kept

Batch = TypeVar("Batch")


class Trainer(Savable, Protocol[Batch]):
    """What the loop drives. A step's randomness comes from the seed and `images_seen` alone.

    `draw` and `step` deal with this process's shard of the batch; see `processes`.
    """

    batch_size: int

    def draw(self, images_seen: int) -> Batch:
        """The batch to train on once `images_seen` images have been seen; called ahead, in another thread
        or process."""
        ...

    def step(self, batch: Batch) -> dict[str, float]:
        """Advance by one batch; the losses."""
        ...

    def sample(self, run: Run) -> None:
        """Write sheets of samples and figures on pairs held out."""
        ...


def step_rng(seed: int, images_seen: int) -> np.random.Generator:
    """Random numbers of the batch that is drawn once `images_seen` images have been seen."""
    return stream(seed, Purpose.TRAINING_BATCH, images_seen)


def seed_torch(seed: int, images_seen: int) -> None:
    """Make PyTorch's randomness that of the step taken once `images_seen` images have been seen."""
    torch.manual_seed(int(np.random.SeedSequence([seed, images_seen]).generate_state(1, np.uint64)[0] >> 1))


def restore(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load the moments; the learning rate stays that of the configuration."""
    rates = [{"lr": group["lr"], "betas": group["betas"]} for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group.update(rate)


def descend(
    optimizer: torch.optim.Optimizer,
    loss: Tensor | Iterable[Tensor],
    scaler: torch.amp.GradScaler | None = None,
) -> None:
    """One optimiser step down the gradient of `loss`, averaged over the processes.

    Of several losses, it is that of their sum; each is differentiated before the next one is asked for. A
    `scaler` keeps small gradients of float16; it leaves the step out where they overflow.
    """
    optimizer.zero_grad(set_to_none=True)
    for part in [loss] if isinstance(loss, Tensor) else loss:
        (scaler.scale(part) if scaler else part).backward()
    distributed.average_gradients(p for group in optimizer.param_groups for p in group["params"])
    if scaler:
        scaler.step(optimizer)
        scaler.update()
    else:
        optimizer.step()


class Metrics(Protocol):
    """Metrics of what is being trained, computed every `every` images; they must leave the run as it was."""

    every: int
    names: Sequence[str]

    def compute(self) -> dict[str, float]:
        """Name → value; the same values for the same weights."""
        ...


class _Means:
    """Losses, averaged over the steps since the last row."""

    def __init__(self) -> None:
        self.steps: dict[str, list[float]] = {}

    def add(self, losses: dict[str, float]) -> bool:
        """Take in a step's losses; whether a row is due."""
        for name, value in losses.items():
            self.steps.setdefault(name, []).append(value)
        return max(map(len, self.steps.values())) == LOG_STEPS

    def log(self, run: Run, images_seen: int) -> None:
        if self.steps:
            run.log(images_seen, {name: float(np.mean(values)) for name, values in self.steps.items()})
            run.log_speed(images_seen)
            self.steps.clear()


def train(
    trainer: Trainer,
    out: Path,
    images: int,
    checkpoint_every: int,
    interruption: Interruption,
    *,
    keep: int = KEEP,
    best_by: str | None = None,
    metrics: Metrics | None = None,
    workers: int = 0,
) -> Iterator[tuple[int, dict[str, float]]]:
    """Train in the folder `out` until `images` have been seen; yields (images seen, losses) after each step.

    Continues from the newest whole state in `out`. Every `checkpoint_every` images, whenever `metrics` are
    due, and at the end or when interrupted, it writes samples and the state; the last `keep` states are kept,
    and the best one by the figure `best_by` of `metrics.jsonl`. Killed at any moment, a run that is started
    again ends as it would have without. `workers`: of `drawn_ahead`. FingerGenError if a loss is not finite.

    Of several processes the main one writes, so all must see the same folder; they stop at the same step.
    """
    if trainer.batch_size % distributed.count():
        raise BadInput(
            f"--batch {trainer.batch_size}: must be a multiple of the {distributed.count()} processes"
        )
    states = States(out, keep, best_by)
    states.resume(trainer)
    if distributed.mean({"images": trainer.images_seen})["images"] != trainer.images_seen:
        raise BadInput(f"{out}: processes find different states there; give an --out that all machines share")
    run = Run(out, trainer.images_seen) if distributed.is_main() else None
    if run:
        states.sweep()
    means = _Means()
    saved = trainer.images_seen
    stop = any(distributed.mean({"stop": bool(interruption)}).values())

    def write(measure: bool) -> None:
        if run:
            means.log(run, trainer.images_seen)
            trainer.sample(run)
            if metrics and measure:
                run.log(trainer.images_seen, metrics.compute())
            figures = run.figures(trainer.images_seen)
            states.save(trainer, figures.get(best_by) if best_by else None)
            if best_by and best_by not in {*figures, *(metrics.names if metrics else ())}:
                known = ", ".join(sorted(figures))
                raise BadInput(f"--best-by {best_by}: no such figure; there are {known}")

    starts = range(trainer.images_seen, images, trainer.batch_size)
    with closing(drawn_ahead(trainer.draw, starts, workers)) as batches:
        try:
            while trainer.images_seen < images and not stop:
                losses = trainer.step(next(batches))
                before, trainer.images_seen = trainer.images_seen, trainer.images_seen + trainer.batch_size
                *values, stopping = distributed.mean({**losses, "stop": bool(interruption)}).values()
                losses, stop = dict(zip(losses, values, strict=True)), stopping > 0
                if not np.isfinite(values).all():
                    raise FingerGenError(
                        f"training diverged after {trainer.images_seen} images (a loss is not finite): "
                        "start afresh with a lower --learning-rate and another --out"
                    )
                if run and means.add(losses):
                    means.log(run, trainer.images_seen)
                measure = metrics is not None and crosses(before, trainer.images_seen, metrics.every)
                if measure or crosses(before, trainer.images_seen, checkpoint_every):
                    write(measure)
                    saved = trainer.images_seen
                yield trainer.images_seen, losses
            if trainer.images_seen != saved:
                write(measure=trainer.images_seen >= images)
        finally:
            if run:
                run.close()
    distributed.barrier()  # what the main process wrote is there for all


def crosses(before: int, after: int, every: int) -> bool:
    """Whether a multiple of `every` lies between two counts, the second included."""
    return after // every > before // every
