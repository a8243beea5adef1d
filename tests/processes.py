"""Programs as processes of their own: several at once, killed, or on a full disk."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MODULES = {"fg-run": "runtime.cli", "fg-train": "training.cli", "fg-export": "export.cli"}
TESTS = Path(__file__).parents[1]  # for extractors that tests define
Ended = tuple[int, list[str]]  # exit code, lines on standard error


def start(program: str, *words: object) -> subprocess.Popen[str]:
    """Start a program with one thread per library."""
    code = f"from fingergen.{MODULES[program]} import main; main(prog_name={program!r})"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(TESTS)}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def printed(code: str, name: str, value: str | None) -> str:
    """What a program prints where the environment variable `name` has this value, or none."""
    environment = {key: each for key, each in os.environ.items() if key != name}
    if value is not None:
        environment[name] = value
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def ended(process: subprocess.Popen[str]) -> Ended:
    """Wait for a process; how it ended, without the lines that report progress."""
    _, text = process.communicate(timeout=300)
    lines = [line for line in text.replace("\r", "\n").splitlines() if line.strip()]
    return process.returncode, [line for line in lines if not line.endswith("…")]


def both(program: str, one: list[object], other: list[object]) -> list[Ended]:
    """Run a program twice at the same time; how both ended, the winner first."""
    processes = [start(program, *words) for words in (one, other)]
    return sorted(map(ended, processes))


def kill_when(process: subprocess.Popen[str], begun: Callable[[], bool]) -> None:
    """Kill a process as soon as it has `begun` what it is to be killed in."""
    deadline = time.monotonic() + 120
    while not begun():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert ended(process)[0] == -signal.SIGKILL, "it ended before it could be killed"


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system with room for `size`, mounted on `folder`."""
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("mounts a small file system, as root only")
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("may not mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
