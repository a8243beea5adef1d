"""A plot of a benchmark's result."""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path

from fingergen.runtime.errors import BadInput
from fingergen.runtime.files import write_atomically

from .report import Report


def check_plot(path: Path) -> None:
    """`BadInput` where `write_plot` could not write `path`: reported before the work, not after."""
    if path.suffix.lower() != ".png":
        raise BadInput(f"--plot {path}: a PNG is written; give a name that ends in .png")
    if find_spec("matplotlib") is None:
        raise BadInput("--plot needs matplotlib: pip install 'fingergen[bench]'")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"--plot {path}: {error.filename}: {error.strerror}") from None


def write_plot(path: Path, report: Report) -> None:
    """PNG: images/s by batch size, and latency by batch size (p50, with a bar from p50 to p99)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.8), layout="constrained")
    speed, latency = figure.subplots(1, 2)
    variants = dict.fromkeys(
        (r.setting.executor, r.setting.precision, r.setting.threads) for r in report.results
    )
    for variant in variants:
        rows = [
            r
            for r in report.results
            if (r.setting.executor, r.setting.precision, r.setting.threads) == variant
        ]
        rows.sort(key=lambda row: row.setting.batch)
        batches = [row.setting.batch for row in rows]
        threads = "" if variant[2] is None else f", {variant[2]} thread{'s' if variant[2] > 1 else ''}"
        wrong = any(row.wrong for row in rows)
        label = f"{variant[0]} {variant[1]}{threads}{' (wrong images)' if wrong else ''}"
        line = ":" if wrong else "-"
        speed.plot(batches, [row.images_per_second for row in rows], line, marker="o", label=label)
        p50 = [row.latency_ms.p50 for row in rows]
        above = [row.latency_ms.p99 - row.latency_ms.p50 for row in rows]
        below = [0.0] * len(rows)
        latency.errorbar(batches, p50, yerr=(below, above), fmt=line, marker="o", capsize=3)
    all_batches = sorted({result.setting.batch for result in report.results})
    for axes in (speed, latency):
        axes.set_xscale("log", base=2)
        axes.set_xticks(all_batches, [str(batch) for batch in all_batches])
        axes.set_xlabel("images a call")
        axes.grid(alpha=0.3)
    speed.set_ylim(bottom=0)
    speed.set_ylabel("images/s")
    latency.set_yscale("log")
    latency.set_ylabel("latency of a call, ms: p50, bar to p99")
    speed.legend(fontsize="small")
    figure.suptitle(f"{report.task}, bundle {report.bundle}\n{report.machine.lines()[0]}", fontsize="medium")
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120)
    write_atomically(path, stream.getvalue())
