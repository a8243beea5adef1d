"""The training loop: steps, logs, samples, metrics and checkpoints; it can be interrupted and resumes."""

import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from fingergen.runtime.errors import BadInput, BadOption, FingerGenError
from fingergen.runtime.seeds import Purpose, stream

from .. import distributed
from ..checkpoints.manager import CheckpointManager, Savable
from ..data.prefetch import prefetch
from .run_dir import RunDirectory

LOG_STEPS = 16  # a logged row is the mean over so many steps, or over those since the last checkpoint
KEEP = 3  # newest checkpoints

Batch = TypeVar("Batch")


class Interruption:
    """Becomes true on SIGINT or SIGTERM, so that a loop can stop at a step's end and save its state."""

    def __init__(self) -> None:
        self.requested = False

    def __bool__(self) -> bool:
        return self.requested


@contextmanager
def interruption() -> Iterator[Interruption]:
    """Catch the first SIGINT or SIGTERM; the second one ends the process at once."""
    state = Interruption()
    previous: dict[int, Any] = {}

    def request(number: int, _frame: FrameType | None) -> None:
        state.requested = True
        signal.signal(number, previous[number])

    for number in (signal.SIGINT, signal.SIGTERM):
        previous[int(number)] = signal.signal(number, request)
    try:
        yield state
    finally:
        for code, handler in previous.items():
            signal.signal(code, handler)


class Trainer(Savable, Protocol[Batch]):
    """What the loop drives.

    All random numbers of a step follow from the run's seed and `images_seen`, so that a resumed run needs no
    stored random state. Of several processes each loads and trains on its own shard of the batch.
    """

    batch_size: int  # images per step, over all processes

    def load_batch(self, images_seen: int) -> Batch:
        """Load this process's shard of the batch that follows after `images_seen` images; called ahead, in
        another thread or process."""
        ...

    def step(self, batch: Batch) -> dict[str, float]:
        """Take one optimizer step per network on a batch; returns the losses by name."""
        ...

    def sample(self, run: RunDirectory) -> None:
        """Write sheets of samples, and figures on held-out data, into the run directory."""
        ...


# -- what trainers share ------------------------------------------------------------------------------------


def step_rng(seed: int, images_seen: int) -> np.random.Generator:
    """NumPy's random numbers of one batch.

    Args:
        seed: Of the run, in [0, 2**64).
        images_seen: Images before this batch, in [0, 2**62).

    Returns:
        A generator that no other seed or batch shares.
    """
    return stream(seed, Purpose.TRAINING_BATCH, images_seen)


def seed_torch(seed: int, images_seen: int) -> None:
    """Seed PyTorch's random numbers of the step that follows after `images_seen` images."""
    torch.manual_seed(int(np.random.SeedSequence([seed, images_seen]).generate_state(1, np.uint64)[0] >> 1))


def descend(
    optimizer: torch.optim.Optimizer,
    loss: Tensor | Iterable[Tensor],
    scaler: torch.amp.GradScaler | None = None,
) -> None:
    """Take one optimizer step down the gradient of a loss, averaged over the processes.

    Args:
        optimizer: Its parameters' gradients are replaced.
        loss: Scalar; or several, whose sum is meant: each is differentiated before the next is computed.
        scaler: Keeps small float16 gradients from vanishing; skips the step where they overflow.
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


@torch.no_grad()
def update_ema(ema: Iterable[Tensor], current: Iterable[Tensor], images: int, half_life: float) -> None:
    """Move an exponential moving average of weights towards the current ones.

    Args:
        ema: Tensors of the average, changed in place; those of integers become the current ones.
        current: Tensors of the network, in the same order.
        images: Images of the step.
        half_life: Images after which half of what the average held is forgotten.
    """
    decay = 0.5 ** (images / half_life)
    for mean, value in zip(ema, current, strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)


def restore(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load an optimizer's moments; learning rate and betas stay those of the configuration."""
    rates = [{"lr": group["lr"], "betas": group["betas"]} for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group.update(rate)


# -- the loop -----------------------------------------------------------------------------------------------


class Metrics(Protocol):
    """Metrics of what is being trained, computed every `every` images; they must leave the run as it was."""

    every: int
    names: Sequence[str]

    def compute(self) -> dict[str, float]:
        """Name → value; the same values for the same weights."""
        ...


class _Means:
    """Losses, averaged over the steps since they were last logged."""

    def __init__(self) -> None:
        self.steps: dict[str, list[float]] = {}

    def add(self, losses: dict[str, float]) -> bool:
        """Add the losses of a step; returns whether a row is due."""
        for name, value in losses.items():
            self.steps.setdefault(name, []).append(value)
        return max(map(len, self.steps.values())) == LOG_STEPS

    def log(self, run: RunDirectory, images_seen: int) -> None:
        """Write the means as a row of `metrics.jsonl`, and begin anew."""
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
    """Train in a run directory until a number of images has been seen, resuming what it holds.

    Killed at any moment, a run that is started again ends with the weights that it would have had otherwise.
    Of several processes the main one writes, so all must see the same directory; they stop at the same step.

    Args:
        trainer: Networks, optimizers and data.
        out: Run directory; training continues from its newest checkpoint that is not damaged.
        images: Images to see in total, over all processes and earlier runs.
        checkpoint_every: Images between checkpoints and samples; they are also written whenever `metrics` are
            computed, at the end and when interrupted.
        interruption: Ends the training after the step at which it becomes true.
        keep: Newest checkpoints to keep.
        best_by: Figure of `metrics.jsonl` whose best checkpoint is kept too.
        metrics: Computed by the main process, and logged.
        workers: Processes that load batches ahead; 0: a thread.

    Yields:
        Images seen and the losses of the step, averaged over the processes, after each step.

    Raises:
        BadInput: If the batch cannot be shared by the processes, the directory holds another run, or
            `best_by` names no figure.
        FingerGenError: If a loss is not finite.
    """
    if trainer.batch_size % distributed.count():
        raise BadOption(
            "batch", trainer.batch_size, f"must be a multiple of the {distributed.count()} processes"
        )

    # Resume.
    manager = CheckpointManager(out, keep, best_by)
    manager.resume(trainer)
    if distributed.mean_figures({"images": trainer.images_seen})["images"] != trainer.images_seen:
        raise BadInput(
            f"{out}: processes find different checkpoints there; give an --out that all machines share"
        )
    run = RunDirectory(out, trainer.images_seen) if distributed.is_main() else None
    if run:
        manager.sweep()
    means = _Means()
    saved = trainer.images_seen
    stop = any(distributed.mean_figures({"stop": bool(interruption)}).values())

    def checkpoint(measure: bool) -> None:
        """Log, sample, compute the metrics, save."""
        if run is None:
            return
        means.log(run, trainer.images_seen)
        trainer.sample(run)
        if metrics and measure:
            run.log(trainer.images_seen, metrics.compute())
        figures = run.figures(trainer.images_seen)
        manager.save(trainer, figures.get(best_by) if best_by else None)
        if best_by and best_by not in {*figures, *(metrics.names if metrics else ())}:
            known = ", ".join(sorted(figures))
            raise BadOption("best-by", best_by, f"no such figure; there are {known}")

    starts = range(trainer.images_seen, images, trainer.batch_size)
    with closing(prefetch(trainer.load_batch, starts, workers)) as batches:
        try:
            while trainer.images_seen < images and not stop:
                # Take a step.
                losses = trainer.step(next(batches))
                before, trainer.images_seen = trainer.images_seen, trainer.images_seen + trainer.batch_size

                # Agree on losses and interruption over the processes.
                *values, stopping = distributed.mean_figures({**losses, "stop": bool(interruption)}).values()
                losses, stop = dict(zip(losses, values, strict=True)), stopping > 0
                if not np.isfinite(values).all():
                    raise FingerGenError(
                        f"training diverged after {trainer.images_seen} images (a loss is not finite): "
                        "start afresh with a lower --learning-rate and another --out"
                    )

                # Log losses.
                if run and means.add(losses):
                    means.log(run, trainer.images_seen)

                # Sample, compute metrics, save a checkpoint.
                measure = metrics is not None and crosses(before, trainer.images_seen, metrics.every)
                if measure or crosses(before, trainer.images_seen, checkpoint_every):
                    checkpoint(measure)
                    saved = trainer.images_seen
                yield trainer.images_seen, losses

            # The end, or an interruption.
            if trainer.images_seen != saved:
                checkpoint(measure=trainer.images_seen >= images)
        finally:
            if run:
                run.close()
    distributed.barrier()  # other processes find what the main process wrote


def crosses(before: int, after: int, every: int) -> bool:
    """Whether a multiple of `every` lies between two counts, the second included."""
    return after // every > before // every
