"""`fg-bench speed`: latency and throughput of a bundle."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from fingergen.runtime.backends import usable_cores
from fingergen.runtime.bundle import open_bundle
from fingergen.runtime.cli.kit import Number
from fingergen.runtime.cli.progress import ended_by_sigterm
from fingergen.runtime.errors import FingerGenError, Incomplete
from fingergen.runtime.files import write_atomically

from ..options import Listed
from .executors import DEFAULT, NAMES, PRECISIONS, choose
from .machine import describe_machine
from .measure import Plan, measure
from .memory import with_peak_memory
from .plot import check_plot, write_plot
from .regression import changes, read_run, slower
from .report import Report
from .timing import ENDS
from .workload import TASKS, Task, Workload

EXAMPLES = """
\b
Examples:
  fg-bench speed
  fg-bench speed finger --batch 1,8,64 --threads 1,4 --plot bench.png
  fg-bench speed finger --checkpoint generator.pt --backend onnxruntime,pytorch --json
  fg-bench speed finger --backend openvino-plain --precision fp32,bf16
  fg-bench speed finger --task reconstruction --rounds 200
  fg-bench speed --json > before.json; fg-bench speed --against before.json
"""


@click.command(epilog=EXAMPLES)
@click.argument("bundle", required=False, type=click.Path(path_type=Path))
@click.option(
    "--task",
    type=click.Choice(TASKS),
    default="synthesis",
    show_default=True,
    help="Latents to images, or minutiae maps to images.",
)
@click.option(
    "--backend",
    "names",
    type=Listed("names", NAMES),
    help=f"Among {', '.join(NAMES)}.  [default: all that run here]",
)
@click.option(
    "--batch", "batches", type=Listed("sizes"), default="1,8", show_default=True, help="Images per call."
)
@click.option("--threads", type=Listed("numbers"), help="CPU threads.  [default: one per core]")
@click.option(
    "--precision",
    "precisions",
    type=Listed("names", PRECISIONS),
    default="fp32,fp16",
    show_default=True,
    help=f"Among {', '.join(PRECISIONS)}; a backend takes part in those that it has.",
)
@click.option("--rounds", type=click.IntRange(1, 10**6), default=100, show_default=True)
@click.option(
    "--seconds",
    type=Number(0, 1e9, min_open=True),
    default=60.0,
    show_default=True,
    help="Begin no further round after this long.",
)
@click.option(
    "--warm-up", type=click.IntRange(1, 1000), default=3, show_default=True, help="Rounds not counted."
)
@click.option(
    "--checkpoint",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What the bundle was exported from, for PyTorch.  [default: random weights of the same sizes]",
)
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="PNG to write.")
@click.option(
    "--markdown",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Markdown file to write: the table, the machine and the command.",
)
@click.option(
    "--against",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What --json printed in an earlier run: fail where a backend is slower now, relative to baselines.",
)
@click.option(
    "--tolerance",
    type=Number(0, 0.99),
    default=0.1,
    show_default=True,
    help="Share by which it may be slower than --against.",
)
@click.option("--memory", is_flag=True, help="Also measure each row's peak memory, in a process of its own.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@ended_by_sigterm("no figures were taken down; run the command again")
def speed(
    bundle: Path | None,
    task: Task,
    names: list[str] | None,
    checkpoint: Path | None,
    threads: list[int] | None,
    precisions: list[str],
    plot: Path | None,
    markdown: Path | None,
    against: Path | None,
    tolerance: float,
    memory: bool,
    as_json: bool,
    **plan: Any,
) -> None:
    """Time a bundle: latency and throughput over batch sizes, threads, precisions and backends.

    All settings are timed in the same rounds, one call of each per round, so that a busy machine slows all
    of them alike; speeds are relative to the first backend. BUNDLE is a bundle directory, by default the
    packaged demo bundle.
    """
    if plot is not None:
        check_plot(plot)
    stored = None if against is None else read_run(against)
    workload = Workload(open_bundle(bundle), task, checkpoint)
    entries, left_out = choose(workload, names or DEFAULT, precisions, required=bool(names))
    chosen = Plan(threads=threads or [usable_cores()], **plan)
    machine = describe_machine()  # before the run, whose own load is no news
    ends: list[BaseException] = []
    with click.progressbar(length=chosen.rounds, label="rounds", file=sys.stderr) as bar:
        results, rounds = measure(workload, entries, chosen, lambda: bar.update(1), ends.append)
    incomplete = f"ended in round {rounds + 1} of {chosen.rounds}" if ends else None
    if memory and incomplete is None:
        try:
            results = with_peak_memory(results, workload)
        except ENDS:
            incomplete = "ended before peak memory was measured"
    report = Report(
        bundle=workload.bundle.manifest.name,
        bundle_sha256=workload.bundle.sha256,
        task=task,
        machine=machine,
        rounds=rounds,
        warm_up=chosen.warm_up,
        results=results,
        left_out=left_out,
        incomplete=incomplete,
    )
    click.echo(json.dumps(report.to_json(), indent=2) if as_json else report.table())
    if plot is not None:  # now: whatever becomes of it, the figures are there
        write_plot(plot, report)
    if markdown is not None:
        write_atomically(markdown, report.markdown(shlex.join(["fg-bench", *sys.argv[1:]])).encode())
    if incomplete is not None:
        raise Incomplete(f"{incomplete}; run the command again for all figures")
    if stored is not None:
        found = changes(report, stored)
        click.echo("\n".join(change.line() for change in found), err=as_json)
        if names_slower := slower(found, tolerance):
            raise FingerGenError(f"slower than in {against}: {'; '.join(names_slower)}")
