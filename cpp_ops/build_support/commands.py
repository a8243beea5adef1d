"""Running other programs for the build: quietly, with a log, and with their failure in one line."""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class Unavailable(Exception):
    """Something that the build needs cannot be had: what is wrong, and what to do about it."""

    def __init__(self, reason: str, fix: str):
        super().__init__(f"{reason}; {fix}")
        self.reason = reason
        self.fix = fix


class CommandFailed(Exception):
    """A program failed; the message is its name and the first line of its output that says why."""


def run(
    command: Sequence[str | Path],
    log: Path,
    environment: Mapping[str, str] | None = None,
    timeout: float | None = None,
    folder: Path | None = None,
) -> str:
    """Standard output of a command. All that it prints is added to `log`; `environment` is added to ours."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            env={**os.environ, **(environment or {})},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CommandFailed(f"{Path(words[0]).name}: {error}") from error
    with log.open("a", encoding="utf-8") as file:
        file.write(f"$ {' '.join(words)}\n{done.stdout}{done.stderr}\n")
    if done.returncode != 0:
        raise CommandFailed(f"{Path(words[0]).name}: {_cause(done.stderr + done.stdout)}")
    return done.stdout


def _cause(output: str) -> str:
    """The first line that looks like a compiler's or client's error, else any that names one, or the last."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("CMake Error at")]  # the next line says which
    for sign in (r"\bfatal\b|: error\b|^E: |^ERROR: ", "(?i)error"):
        for line in lines:
            if re.search(sign, line):
                return line
    return lines[-1] if lines else "it failed without a word"
