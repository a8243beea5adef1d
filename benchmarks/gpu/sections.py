"""The sections of `fg-bench gpu`, each run in a process of its own: one that hangs is ended, one that dies
ends no other."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from .page import Check, Item, guarded
from .settings import Deadline, Settings

GRACE = 10.0  # seconds that a section may outlast its deadline by before it is ended
SectionFunction = Callable[[Settings, Deadline], Iterator[Item]]


@dataclass(frozen=True)
class Section:
    """One part of the page.

    Attributes:
        name: its heading.
        seconds: it may take by default.
        run: yields what it finds, as soon as that is known.
        needs_models: whether it runs the networks that the section `models` exports.
    """

    name: str
    seconds: int
    run: SectionFunction
    needs_models: bool = False


# Imported in the section's own process only: they need PyTorch, CUDA and TensorRT, and may end the process.


def _kernels(settings: Settings, deadline: Deadline) -> Iterator[Item]:
    from . import kernels

    return kernels.run(settings, deadline)


def _models(settings: Settings, deadline: Deadline) -> Iterator[Item]:
    from . import models

    return models.run(settings, deadline)


def _backends(settings: Settings, deadline: Deadline) -> Iterator[Item]:
    from . import backends

    return backends.run(settings, deadline)


def _speed(settings: Settings, deadline: Deadline) -> Iterator[Item]:
    from . import speed

    return speed.run(settings, deadline)


def _training(settings: Settings, deadline: Deadline) -> Iterator[Item]:
    from . import training

    return training.run(settings, deadline)


def _tensorrt(settings: Settings, deadline: Deadline) -> Iterator[Item]:
    from . import tensorrt

    return tensorrt.run(settings, deadline)


SECTIONS = {
    section.name: section
    for section in (
        Section("kernels", 60, _kernels),
        Section("models", 90, _models),
        Section("backends", 70, _backends, needs_models=True),
        Section("speed", 160, _speed, needs_models=True),
        Section("training", 110, _training),
        Section("tensorrt", 60, _tensorrt, needs_models=True),
    )
}
"""All sections by name, in the order of the page: some nine minutes together."""


def run_section(section: Section, settings: Settings, seconds: float, grace: float = GRACE) -> Iterator[Item]:
    """Run a section in a process of its own. Never raises.

    Args:
        section: what to run.
        settings: of all sections.
        seconds: until its deadline.
        grace: seconds that it may outlast its deadline by before it is ended.

    Yields:
        What it finds; where it broke off, a check that failed or says what is missing.
    """
    name = section.name
    spawn = multiprocessing.get_context("spawn")  # CUDA works in no forked process
    receiver, sender = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_work, args=(section, settings, seconds, sender))
    process.start()
    sender.close()  # so that the end of the process is the end of the pipe
    deadline = Deadline(seconds + grace)
    try:
        while receiver.poll(deadline.left):
            try:
                yield receiver.recv()
            except EOFError:
                process.join()
                if process.exitcode:
                    yield Check(name, f"its process ended with {_exit(process.exitcode)}", False)
                return
        more = f"give --only {name} --seconds more than {seconds:.0f}"
        yield Check(f"{name}: the rest", f"stopped after {seconds:.0f} s; {more}", None)
    finally:
        _end(process)
        receiver.close()


def _work(section: Section, settings: Settings, seconds: float, found: Connection) -> None:
    os.setpgid(0, 0)  # compilers and the like end with it
    os.dup2(2, 1)  # standard output is for the page
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(settings.work / "inductor"))  # for later runs
    for item in guarded(section.name, section.run, settings, Deadline(seconds)):
        found.send(item)
    found.close()


def _end(process: BaseProcess) -> None:
    """With all that it started."""
    if process.pid is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()  # where it had no group of its own yet
    process.join(GRACE)


def _exit(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
