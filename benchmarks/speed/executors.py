"""What can run a workload here: the runtime's backends, and the baselines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from fingergen.runtime import backends
from fingergen.runtime.backends import AUTO, BACKENDS
from fingergen.runtime.errors import BadInput

from .baselines import BASELINES, PyTorchCompiled
from .workload import Runner, Workload

CPU = "onnxruntime"
"""Our backend on the CPU, which runs everywhere: the reference of all others."""

ON_CPU = (CPU, "openvino")

NAMES = (CPU, *(name for name in BACKENDS if name != CPU), *BASELINES)
DEFAULT = tuple(name for name in NAMES if name in (*AUTO, *BASELINES) and name != PyTorchCompiled.name)
"""Those that run unless others are asked for; not what takes minutes to begin."""

PRECISIONS = ("fp32", "fp16", "bf16")


class Executor(Protocol):
    """Runs a workload: a backend of the runtime or a baseline.

    Attributes:
        name: one of `NAMES`.
        precisions: those of `PRECISIONS` that it computes in.
        threaded: whether the number of CPU threads matters.
    """

    @property
    def name(self) -> str: ...

    @property
    def precisions(self) -> Sequence[str]: ...

    @property
    def threaded(self) -> bool: ...

    def unavailable(self, workload: Workload, precision: str) -> str | None:
        """Why it cannot run a workload here.

        Args:
            workload: What is to be run.
            precision: One of `precisions`.

        Returns:
            One line with the fix; None where it can.
        """

    def open_runner(self, workload: Workload, precision: str, threads: int) -> Runner:
        """Load the networks.

        Args:
            workload: What is to be run.
            precision: One of `precisions`.
            threads: CPU threads, 1 or more; ignored unless `threaded`.

        Returns:
            What makes batches.

        Raises:
            BadInput: The bundle or checkpoint cannot be run.
        """


class OurBackend:
    """A backend of the runtime."""

    precisions: Sequence[str] = backends.PRECISIONS

    def __init__(self, name: str) -> None:
        self.name = name
        self.threaded = name in ON_CPU

    def unavailable(self, workload: Workload, precision: str) -> str | None:
        return backends.unavailable(self.name, workload.bundle, precision=cast(backends.Precision, precision))

    def open_runner(self, workload: Workload, precision: str, threads: int) -> Runner:
        chosen = cast(backends.Precision, precision)
        opened = backends.open_backend(self.name, workload.bundle, threads, precision=chosen)
        return Runner.of_backend(workload, opened)


@dataclass(frozen=True)
class Entry:
    """An executor in one precision."""

    executor: Executor
    precision: str


def executor(name: str) -> Executor:
    """Returns the executor of this name, one of `NAMES`."""
    return OurBackend(name) if name in BACKENDS else BASELINES[name]


def choose(
    workload: Workload, names: Iterable[str], precisions: Sequence[str], required: bool = False
) -> tuple[list[Entry], dict[str, str]]:
    """Find the executors that can run a workload here.

    Args:
        workload: what is to be run.
        names: executors, of `NAMES`.
        precisions: of `PRECISIONS`; an executor takes part in those that it has.
        required: whether each of `names` must run in one precision at least.

    Returns:
        The executors that can run, by name and precision, and name → reason of those left out.

    Raises:
        BadInput: a required executor cannot run.
    """
    entries: list[Entry] = []
    left_out: dict[str, str] = {}
    for name in dict.fromkeys(names):
        candidate = executor(name)
        known = [precision for precision in precisions if precision in candidate.precisions]
        reasons = {precision: candidate.unavailable(workload, precision) for precision in known}
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
