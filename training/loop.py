"""The loop that every trainer runs in: batches drawn ahead, metrics, states and samples, resumable."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from fingergen.runtime.errors import BadInput, FingerGenError

from . import processes
from .runs import Interruption, Run

STATE = "state.pt"
LOG_STEPS = 16  # a logged row is the mean over so many steps

Batch = TypeVar("Batch")


class Trainer(Protocol[Batch]):
    """What the loop drives. A step's randomness comes from the seed and `images_seen` alone."""

    images_seen: int
    batch_size: int

    def draw(self, images_seen: int) -> Batch:
        """The batch to train on once `images_seen` images have been seen; called ahead, in another thread."""
        ...

    def step(self, batch: Batch) -> dict[str, float]:
        """Advance by one batch; the losses."""
        ...

    def sample(self, run: Run) -> None:
        """Write sheets of samples and figures on pairs held out."""
        ...

    def save(self, path: Path) -> None:
        """Write, atomically, everything that `load` needs to go on."""
        ...

    def load(self, path: Path) -> None:
        """Continue from a state that `save` wrote; BadInput if it is of another run."""
        ...


def step_rng(seed: int, images_seen: int) -> np.random.Generator:
    """Randomness of the batch that is drawn once `images_seen` images have been seen."""
    return np.random.Generator(np.random.Philox(key=[seed, images_seen]))


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
    processes.average_gradients(p for group in optimizer.param_groups for p in group["params"])
    if scaler:
        scaler.step(optimizer)
        scaler.update()
    else:
        optimizer.step()


def train(
    trainer: Trainer, out: Path, images: int, checkpoint_every: int, interruption: Interruption
) -> Iterator[tuple[int, dict[str, float]]]:
    """Train in the folder `out` until `images` have been seen; yields (images seen, losses) after each step.

    Continues from `out/state.pt` if it is there. Every `checkpoint_every` images, and at the end or when
    interrupted, it writes samples and the state. FingerGenError if a loss is no finite number.

    Of several processes the main one writes, so all must see the same folder; they stop at the same step.
    """
    if trainer.batch_size % processes.count():
        raise BadInput(
            f"--batch {trainer.batch_size}: must be a multiple of the {processes.count()} processes"
        )
    if (out / STATE).exists():
        trainer.load(out / STATE)
    run = Run(out, trainer.images_seen) if processes.is_main() else None
    saved = trainer.images_seen
    recent: dict[str, list[float]] = {}
    stop = any(processes.mean({"stop": bool(interruption)}).values())

    def keep() -> None:
        if run:
            trainer.sample(run)
            trainer.save(out / STATE)

    with ThreadPoolExecutor(max_workers=1) as pool:
        ahead = pool.submit(trainer.draw, trainer.images_seen)
        try:
            while trainer.images_seen < images and not stop:
                batch = ahead.result()
                ahead = pool.submit(trainer.draw, trainer.images_seen + trainer.batch_size)
                losses = trainer.step(batch)
                trainer.images_seen += trainer.batch_size
                *means, stopping = processes.mean({**losses, "stop": bool(interruption)}).values()
                losses, stop = dict(zip(losses, means, strict=True)), stopping > 0
                if not np.isfinite(means).all():
                    raise FingerGenError(
                        f"training diverged after {trainer.images_seen} images (a loss is not finite): "
                        "start afresh with a lower --learning-rate and another --out"
                    )
                for name, value in losses.items():
                    recent.setdefault(name, []).append(value)
                if len(next(iter(recent.values()))) == LOG_STEPS:
                    if run:
                        run.log(
                            trainer.images_seen, {name: float(np.mean(each)) for name, each in recent.items()}
                        )
                    recent.clear()
                if trainer.images_seen // checkpoint_every > saved // checkpoint_every:
                    keep()
                    saved = trainer.images_seen
                yield trainer.images_seen, losses
            if trainer.images_seen != saved:
                keep()
        finally:
            if run:
                run.close()
    processes.barrier()  # what the main process wrote is there for all
