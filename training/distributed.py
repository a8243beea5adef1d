"""Training on several processes, a GPU or a part of a CPU each, started by `accelerate launch` or `torchrun`.

Every process draws the randomness of a step for the whole batch and keeps its `shard`, and gradients are
averaged over the processes, so that any number of them takes the step that one process would take. There is
no wrapper about the networks: second derivatives and parameters without a gradient need no care. Without a
launcher there is one process, and nothing here costs anything.
"""

import atexit
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar, cast

import torch
from torch import Tensor, distributed, nn

from fingergen.runtime.errors import BadOption

PATIENCE = timedelta(hours=4)  # that processes wait for the main one while it takes samples and measures

Sliceable = TypeVar("Sliceable")


def choose_device(name: str) -> torch.device:
    """`auto` takes a GPU when PyTorch sees one; any other name is PyTorch's own. With several processes,
    this one's device, once it has joined the others."""
    if launched():
        return join(name)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise BadOption(
            "device", name, f"not usable here ({str(error).splitlines()[0]}); try --device cpu"
        ) from error
    return device


def launched() -> bool:
    """Whether a launcher started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def join(device: str) -> torch.device:
    """Join the launcher's other processes; the device that this one computes on.

    `device`: `auto` gives every process a GPU of its machine where there are any; or `cpu`, `cuda`.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise BadOption("device", device, "several processes choose for themselves; give auto, cpu or cuda")
    gpus, here = torch.cuda.device_count(), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    cpu = device == "cpu" or not (gpus or device == "cuda")
    if not cpu and here > gpus:
        raise BadOption(
            "device", device, f"{here} processes on a machine of {gpus} GPUs; start one process per GPU"
        )
    from accelerate import PartialState  # here, because one process has no need of it

    state = PartialState(cpu=cpu, timeout=PATIENCE)
    atexit.register(state.destroy_process_group)
    return state.device


def count() -> int:
    """Number of processes that train together; 1 without a launcher."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def is_main() -> bool:
    """Whether this is the process that writes files and talks to the user."""
    return rank() == 0


def shard(batch: Sliceable) -> Sliceable:
    """This process's part of a whole batch, a tensor or sequence: every `count()`-th sample from `rank()` on.

    A group of four in minibatch statistics, N/4 samples apart, stays together this way.
    """
    return cast(Sliceable, batch[rank() :: count()]) if count() > 1 else batch  # type: ignore[index]


def mean(local: Tensor) -> Tensor:
    """Mean of a tensor over the processes, differentiable to any order."""
    return cast(Tensor, _Mean.apply(local)) if count() > 1 else local


class _Mean(torch.autograd.Function):
    # A process's loss is a part of the mean loss, so what comes back is averaged as what went forth.
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, local: Tensor) -> Tensor:
        total = local.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total / count()

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradient: Tensor) -> Tensor:
        return mean(gradient[0])


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace the gradients by their mean over the processes; parameters without one are left alone.

    The same parameters must have gradients in every process.
    """
    if count() == 1:
        return
    kinds: dict[torch.dtype, list[Tensor]] = {}
    for parameter in parameters:
        if parameter.grad is not None:
            kinds.setdefault(parameter.grad.dtype, []).append(parameter.grad)
    for gradients in kinds.values():
        joined = mean(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, part in zip(gradients, joined.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view(gradient.shape))


def mean_figures(figures: Mapping[str, float]) -> dict[str, float]:
    """Mean of each figure over the processes, all of which must have the same ones."""
    if count() == 1:
        return dict(figures)
    from accelerate import PartialState

    local = torch.tensor(list(figures.values()), dtype=torch.float64, device=PartialState().device)
    return dict(zip(figures, mean(local).tolist(), strict=True))


def barrier() -> None:
    """Wait until every process is here."""
    if count() > 1:
        distributed.barrier()


@contextmanager
def main_first() -> Iterator[None]:
    """The main process goes through the block, then the others: they find the files it made."""
    if not is_main():
        barrier()
    yield
    if is_main():
        barrier()
