"""The result of a benchmark, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any

from fingergen.runtime.pipeline.tables import align

from .machine import Machine
from .measure import LARGEST_ERROR, LEAST_PSNR, Result

FEW_ROUNDS = 100
COLUMNS = (
    *("executor", "precision", "threads", "batch"),
    *("best ms", "p50 ms", "p90 ms", "p95 ms", "p99 ms"),
    *("images/s", "speed", "max error", "peak MiB"),
)
LEFT = 2  # columns of text; the others are numbers
_RULE = (*["---"] * LEFT, *["---:"] * (len(COLUMNS) - LEFT))


@dataclass(frozen=True)
class Report:
    """`left_out`: executors that took no part, and why. `incomplete`: what is missing of a run that was ended
    early; None of a whole one.
    """

    bundle: str
    bundle_sha256: str
    task: str
    machine: Machine
    rounds: int
    warm_up: int
    results: Sequence[Result]
    left_out: Mapping[str, str]
    incomplete: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The report as plain values, for `json.dumps`."""
        content = asdict(self)
        for row, result in zip(content["results"], self.results, strict=True):
            row["wrong"] = result.wrong
        return content

    def table(self) -> str:
        """Text for a terminal: the machine, a row a setting, and what the figures mean."""
        rows = [COLUMNS, *(_row(result) for result in self.results)]
        return "\n".join(
            [self._title, *self.machine.lines(), "", *align(rows, LEFT), "", *self._described, *self._notes]
        )

    def markdown(self, command: str) -> str:
        """The same as a section of a Markdown document, with the `command` that made it."""
        rows = [COLUMNS, _RULE, *(_row(result) for result in self.results)]
        table = ["| " + " | ".join(row) + " |" for row in rows]
        notes = [f"- {line}" for line in [*self.machine.lines(), *self._described, *self._notes]]
        return "\n".join([f"### {self._title}", "", f"`{command}`", "", *table, "", *notes, ""])

    @property
    def _title(self) -> str:
        title = f"{self.task}, bundle {self.bundle}, {self.rounds} rounds after {self.warm_up} of warm-up"
        return title if self.incomplete is None else f"{title}; INCOMPLETE: {self.incomplete}"

    @property
    def _described(self) -> list[str]:
        timed = (f"{result.setting.executor}: {result.description}" for result in self.results)
        left_out = (f"{name}: not timed: {reason}" for name, reason in self.left_out.items())
        return [*dict.fromkeys(timed), *left_out]

    @property
    def _notes(self) -> list[str]:
        notes = [
            "speed: times as fast as the first row of the same batch, median of the rounds' ratios",
            "max error: largest difference from that row's images, nominally in [-1, 1]",
        ]
        if any(result.wrong for result in self.results):
            notes.append(
                f"wrong: an error above {LARGEST_ERROR:g} (fp32) or a PSNR below {LEAST_PSNR:g} dB: no speed"
                " to compare"
            )
        if any(result.peak_mib is not None for result in self.results):
            notes.append("peak MiB: of a process that opens the executor and makes calls of this size alone")
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
        "wrong" if result.relative_speed is None else f"{result.relative_speed:.2f}",
        error,
        "-" if result.peak_mib is None else f"{result.peak_mib:.0f}",
    )
