"""PyTorch as in `pytorch`, on the first GPU."""

from __future__ import annotations

from ..workload import Job, Runner
from . import pytorch

PRECISIONS = ("fp32", "fp16", "bf16")
THREADED = False


def unavailable(job: Job) -> str | None:
    """None where PyTorch can use a GPU."""
    reason = pytorch.unavailable(job)
    if reason is None:
        import torch

        if not torch.cuda.is_available():
            return "PyTorch finds no GPU that it can use"
    return reason


def open_runner(job: Job, precision: str, threads: int) -> Runner:
    """`threads` do not matter here."""
    return pytorch.open_runner(job, precision, threads, device="cuda")
