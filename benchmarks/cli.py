"""`fg-bench`: latency and throughput of a bundle."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from fingergen.runtime.backends import usable_cores
from fingergen.runtime.cli.kit import Number
from fingergen.runtime.errors import command_line_errors
from fingergen.runtime.model import open_bundle

from .speed.executors import DEFAULT, NAMES, PRECISIONS, choose
from .speed.machine import describe_machine
from .speed.measure import Plan, measure
from .speed.plot import check_plot, write_plot
from .speed.report import Report
from .speed.workload import TASKS, Job, Task

EXAMPLES = """
\b
Examples:
  fg-bench
  fg-bench finger --batch 1,8,64 --threads 1,4 --plot bench.png
  fg-bench finger --checkpoint generator.pt --backend onnxruntime,pytorch --json
  fg-bench finger --backend openvino --precision fp32,bf16
  fg-bench finger --task reconstruction --rounds 200
"""


class Listed(click.ParamType):
    """Words or numbers with commas between them."""

    def __init__(self, name: str, choices: tuple[str, ...] = ()) -> None:
        self.name = name
        self._choices = choices

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[Any]:
        if not isinstance(value, str):
            return value
        words = list(dict.fromkeys(word.strip() for word in value.split(",")))
        for word in words:
            if self._choices and word not in self._choices:
                self.fail(f"{word!r}: choose among {', '.join(self._choices)}", param, ctx)
            if not self._choices and not (word.isascii() and word.isdecimal() and 1 <= int(word) <= 4096):
                self.fail(f"{word!r}: write numbers from 1 to 4096, such as 1,8,64", param, ctx)
        return words if self._choices else [int(word) for word in words]


@command_line_errors
@click.command(epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fingergen")
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
    "--batch", "batches", type=Listed("sizes"), default="1,8", show_default=True, help="Images a call."
)
@click.option("--threads", type=Listed("numbers"), help="CPU threads.  [default: one a core]")
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
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def main(
    bundle: Path | None,
    task: Task,
    names: list[str] | None,
    checkpoint: Path | None,
    threads: list[int] | None,
    precisions: list[str],
    plot: Path | None,
    as_json: bool,
    **plan: Any,
) -> None:
    """Time a bundle: latency and throughput over batch sizes, threads, precisions and backends.

    Everything is timed in the same rounds, one call each, so that a busy machine slows all alike; speeds are
    relative to the first backend. BUNDLE is a bundle directory; without it, the packaged demo bundle.
    """
    if plot is not None:
        check_plot(plot)
    job = Job(open_bundle(bundle), task, checkpoint)
    entries, left_out = choose(job, names or DEFAULT, precisions, required=bool(names))
    chosen = Plan(threads=threads or [usable_cores()], **plan)
    machine = describe_machine()  # before the run, whose own load is no news
    with click.progressbar(length=chosen.rounds, label="rounds", file=sys.stderr) as bar:
        results, rounds = measure(job, entries, chosen, lambda: bar.update(1))
    report = Report(
        bundle=job.bundle.manifest.name,
        bundle_sha256=job.bundle.sha256,
        task=task,
        machine=machine,
        rounds=rounds,
        warm_up=chosen.warm_up,
        results=results,
        left_out=left_out,
    )
    click.echo(json.dumps(report.to_json(), indent=2) if as_json else report.table())
    if plot is not None:  # last: whatever becomes of it, the figures are there
        write_plot(plot, report)
