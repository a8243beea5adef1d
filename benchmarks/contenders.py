"""Who can do a job here: the runtime's backends, and the peers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

from fingergen.runtime import backends
from fingergen.runtime.backends import BACKENDS
from fingergen.runtime.errors import BadInput
from fingergen.runtime.model import Model

from .job import Job, Runner
from .peers import PEERS

NAMES = (*BACKENDS, *PEERS)
"""Contenders, ours first."""


class Contender(Protocol):
    """What a module of `peers` has."""

    @property
    def PRECISIONS(self) -> tuple[str, ...]: ...

    def unavailable(self, job: Job) -> str | None: ...

    def open_runner(self, job: Job, precision: str, threads: int) -> Runner: ...


@dataclass(frozen=True)
class OurBackend:
    """A backend of the runtime as a contender."""

    name: str
    PRECISIONS: tuple[str, ...] = ("fp32",)

    def unavailable(self, job: Job) -> str | None:
        return backends.unavailable(self.name, job.bundle)

    def open_runner(self, job: Job, precision: str, threads: int) -> Runner:
        backend = backends.open_backend(self.name, job.bundle, threads)
        model = Model(job.bundle, backend)
        if job.task == "synthesis":
            return Runner(lambda z: model.generate(model.map(z)), backend.description, close=model.close)
        return Runner(
            lambda maps: model.generate(backend.encode(maps), decoder=True),
            backend.description,
            close=model.close,
        )


def contender(name: str) -> Contender:
    """One of `NAMES`."""
    if name in BACKENDS:
        return OurBackend(name)
    return cast(Contender, import_module(f".peers.{PEERS[name]}", __package__))


def choose(job: Job, names: Iterable[str] | None) -> tuple[dict[str, Contender], dict[str, str]]:
    """The contenders that can do the job here, and why the others cannot.

    `names` None: of all; else `BadInput` where one of `names` cannot.
    """
    found: dict[str, Contender] = {}
    left_out: dict[str, str] = {}
    for name in dict.fromkeys(NAMES if names is None else names):
        candidate = contender(name)
        reason = candidate.unavailable(job)
        if reason is None:
            found[name] = candidate
        else:
            left_out[name] = reason
    if names is not None and left_out:
        raise BadInput("; ".join(f"{name}: {reason}" for name, reason in left_out.items()))
    return found, left_out
