"""Whether FingerGen has become slower than it was in a stored run.

Times of two runs do not compare: another machine, another load. What compares is how many times as fast as
other software FingerGen was in the same rounds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fingergen.runtime.backends import BACKENDS
from fingergen.runtime.errors import BadInput

from .report import Report

FIELDS = ("executor", "precision", "threads", "batch")
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Change:
    """How many times as fast as a baseline a backend was then and is now, in one setting of each."""

    backend: str
    baseline: str
    then: float
    now: float

    @property
    def ratio(self) -> float:
        """Rate now over rate before; below 1: slower now."""
        return self.now / self.then

    def line(self) -> str:
        """The change as one line of text."""
        return (
            f"{self.backend}: {self.then:.2f}, now {self.now:.2f} times as fast as {self.baseline}:"
            f" {self.ratio:.2f}"
        )


def read_run(path: Path) -> dict[Key, float]:
    """The relative speeds that `fg-bench speed --json` printed, without those of wrong images.

    Raises:
        BadInput: If the file is not what it printed.
    """
    try:
        return _speeds(json.loads(path.read_bytes()))
    except OSError as error:
        raise BadInput(f"--against {path}: {error.strerror}") from None
    except (ValueError, RecursionError, OverflowError, KeyError, TypeError, AttributeError):
        raise BadInput(f"--against {path}: give what fg-bench speed --json printed") from None


def changes(report: Report, stored: Mapping[Key, float]) -> list[Change]:
    """Of every backend of ours, against every baseline of the same batch, where both runs have both.

    Raises:
        BadInput: If there is none.
    """
    now = _speeds(report.to_json())
    common = [key for key in now if key in stored]
    found = [
        Change(_named(ours), _named(other), stored[ours] / stored[other], now[ours] / now[other])
        for ours in common
        for other in common
        if ours[0] in BACKENDS and other[0] not in BACKENDS and ours[-1] == other[-1]
    ]
    if not found:
        raise BadInput(
            "--against: no backend and baseline of both runs; give the same --backend, --batch and --threads"
        )
    return found


def slower(found: Sequence[Change], tolerance: float) -> list[str]:
    """The backends' settings whose ratios' median, over the baselines, lies below 1 - tolerance."""
    ratios: dict[str, list[float]] = {}
    for change in found:
        ratios.setdefault(change.backend, []).append(change.ratio)
    return [name for name, values in ratios.items() if np.median(values) < 1.0 - tolerance]


def _speeds(run: Mapping[str, Any]) -> dict[Key, float]:
    return {
        tuple(row["setting"][field] for field in FIELDS): float(row["relative_speed"])
        for row in run["results"]
        if row["relative_speed"] is not None
    }


def _named(key: Key) -> str:
    executor, precision, threads, batch = key
    return f"{executor} {precision}{f', threads {threads}' if threads else ''}, batch {batch}"
