"""Runs sections, each in a process of its own: one that hangs is ended, one that dies ends no other."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from importlib import import_module
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from .page import Check, Item
from .settings import Deadline, Settings

GRACE = 10.0  # seconds that a section may outlast its deadline by before it is ended
Run = Callable[[Settings, Deadline], Iterator[Item]]


def run_section(
    name: str, settings: Settings, seconds: float, package: str = __package__, grace: float = GRACE
) -> Iterator[Item]:
    """What the module `name` of `package` finds, as it finds it; where it broke off, a check that fails or
    says what is missing. Never raises.
    """
    spawn = multiprocessing.get_context("spawn")  # CUDA works in no forked process
    receiver, sender = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_work, args=(package, name, settings, seconds, sender))
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


def guarded(what: str, find: Callable[..., Iterator[Item]], *arguments: Any) -> Iterator[Item]:
    """What `find(*arguments)` finds; where it breaks off a check that fails, for more is to be checked."""
    try:
        yield from find(*arguments)
    except Exception as error:  # whatever it is
        traceback.print_exc()
        yield Check(what, f"{type(error).__name__}: {error}", False)


def _work(package: str, name: str, settings: Settings, seconds: float, found: Connection) -> None:
    os.setpgid(0, 0)  # compilers and the like end with it
    os.dup2(2, 1)  # standard output is for the page
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(settings.work / "inductor"))  # for later runs

    def find() -> Iterator[Item]:
        run: Run = import_module(f".{name}", package).run
        yield from run(settings, Deadline(seconds))

    for item in guarded(name, find):
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
