"""Who can do a job here: the runtime's backends, and the peers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

from fingergen.runtime import backends
from fingergen.runtime.backends import AUTO, BACKENDS
from fingergen.runtime.errors import BadInput

from .baselines import PEERS
from .workload import Job, Runner

CPU = "onnxruntime"
"""Our backend on the CPU, which runs everywhere: the measure of all others."""

NAMES = (CPU, *(name for name in BACKENDS if name != CPU), *PEERS)
DEFAULT = tuple(name for name in NAMES if name in (*AUTO, *PEERS))
"""Not what runs on request only."""

PRECISIONS = ("fp32", "fp16", "bf16")


class Contender(Protocol):
    """`precisions`: those it computes in. `threaded`: the number of CPU threads matters."""

    name: str
    precisions: Sequence[str]
    threaded: bool

    def unavailable(self, job: Job, precision: str) -> str | None:
        """Why it cannot do the job here in one of its precisions, and the fix; None where it can."""

    def open_runner(self, job: Job, precision: str, threads: int) -> Runner:
        """Ready to run."""


class OurBackend:
    """A backend of the runtime."""

    precisions: Sequence[str] = backends.PRECISIONS

    def __init__(self, name: str) -> None:
        self.name = name
        self.threaded = name == CPU

    def unavailable(self, job: Job, precision: str) -> str | None:
        return backends.unavailable(self.name, job.bundle, precision=cast(backends.Precision, precision))

    def open_runner(self, job: Job, precision: str, threads: int) -> Runner:
        chosen = cast(backends.Precision, precision)
        return Runner.of_backend(job, backends.open_backend(self.name, job.bundle, threads, precision=chosen))


class Peer:
    """A module of `peers`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._module = import_module(f".baselines.{PEERS[name]}", __package__)
        self.precisions: Sequence[str] = self._module.PRECISIONS
        self.threaded: bool = self._module.THREADED

    def unavailable(self, job: Job, precision: str) -> str | None:
        return self._module.unavailable(job)

    def open_runner(self, job: Job, precision: str, threads: int) -> Runner:
        return self._module.open_runner(job, precision, threads)


@dataclass(frozen=True)
class Entry:
    """A contender in one precision."""

    contender: Contender
    precision: str


def contender(name: str) -> Contender:
    """One of `NAMES`."""
    return OurBackend(name) if name in BACKENDS else Peer(name)


def choose(
    job: Job, names: Iterable[str], precisions: Sequence[str], required: bool = False
) -> tuple[list[Entry], dict[str, str]]:
    """Which of `names` can do the job here, in those of `precisions` that they have; and why others cannot.

    `required`: `BadInput` where one can in none of the precisions.
    """
    entries: list[Entry] = []
    left_out: dict[str, str] = {}
    for name in dict.fromkeys(names):
        candidate = contender(name)
        known = [precision for precision in precisions if precision in candidate.precisions]
        reasons = {precision: candidate.unavailable(job, precision) for precision in known}
        entries += [Entry(candidate, precision) for precision, reason in reasons.items() if reason is None]
        if None in reasons.values():
            left_out |= {f"{name} {precision}": reason for precision, reason in reasons.items() if reason}
            continue
        left_out[name] = next(
            filter(None, reasons.values()), f"has {' and '.join(candidate.precisions)} only"
        )
        if required:
            raise BadInput(f"{name}: {left_out[name]}")
    return entries, left_out
