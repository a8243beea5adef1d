"""The result of a benchmark, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any

from fingergen.runtime.pipeline.tables import align

from .machine import Machine
from .measure import Result

FEW_ROUNDS = 100
COLUMNS = (
    *("executor", "precision", "threads", "batch"),
    *("best ms", "p50 ms", "p90 ms", "p95 ms", "p99 ms"),
    *("images/s", "speed", "max error"),
)
LEFT = 2  # columns of text; the others are numbers


@dataclass(frozen=True)
class Report:
    """`left_out`: executors that took no part, and why."""

    bundle: str
    bundle_sha256: str
    task: str
    machine: Machine
    rounds: int
    warm_up: int
    results: Sequence[Result]
    left_out: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `json.dumps`."""
        return asdict(self)

    def table(self) -> str:
        """Text for a terminal: the machine, a row a setting, and what the figures mean."""
        rows = [COLUMNS, *(_row(result) for result in self.results)]
        described = dict.fromkeys(
            f"{result.setting.executor}: {result.description}" for result in self.results
        )
        return "\n".join(
            [
                f"{self.task}, bundle {self.bundle}, {self.rounds} rounds after {self.warm_up} of warm-up",
                *self.machine.lines(),
                "",
                *align(rows, LEFT),
                "",
                *described,
                *(f"{name}: not timed: {reason}" for name, reason in self.left_out.items()),
                *self._notes(),
            ]
        )

    def _notes(self) -> list[str]:
        notes = [
            "speed: times as fast as the first row of the same batch, median of the rounds' ratios",
            "max error: largest difference from that row's images, nominally in [-1, 1]",
        ]
        if self.rounds < FEW_ROUNDS:
            notes.append(f"p99 of {self.rounds} rounds is little else than the slowest")
        return notes


def _row(result: Result) -> tuple[str, ...]:
    setting = result.setting
    error = "-" if result.max_abs_error is None else f"{result.max_abs_error:.1e}"
    return (
        setting.executor,
        setting.precision,
        str(setting.threads or "-"),
        str(setting.batch),
        *(f"{value:.1f}" for value in astuple(result.latency_ms)),
        f"{result.images_per_second:.1f}",
        f"{result.relative_speed:.2f}",
        error,
    )
