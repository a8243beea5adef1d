"""`fg-bench gpu`: what only a machine with an NVIDIA GPU can show, in one run and one page.

In the source tree it builds the package with its CUDA code, as `pip install .` does, and runs the sections
of `sections`. See `docs/gpu.md`.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from fingergen.runtime.errors import BadInput, FingerGenError, say

from ..options import Listed
from ..speed.machine import describe_machine, find_gpus
from .page import Page
from .sections import SECTIONS, run_section
from .settings import Settings, find_nvcc

MODELS = "models"
RELEASE: Mapping[str, Any] = {}  # a `Generator`'s defaults: SynFing's
DEMO: Mapping[str, Any] = {
    "resolution": 512,
    "style_dim": 64,
    "n_mlp": 2,
    "widths": {4: 48, 8: 48, 16: 48, 32: 48, 64: 32, 128: 16, 256: 8, 512: 8},
    "image_padding": "replicate",
    "styled_noise": True,
    "raw_z": True,
}
TINY: Mapping[str, Any] = {
    "resolution": 16,
    "style_dim": 32,
    "n_mlp": 2,
    "channel_base": 128,
    "channel_max": 8,
}
REHEARSAL = "rehearsal on a CPU with tiny networks: its figures mean nothing"
WORK = Path("build") / "gpu_check"
EXAMPLES = """
\b
Examples, in the source tree:
  fg-bench gpu --out docs/gpu_result.md
  fg-bench gpu --out docs/gpu_result.md --installed --only speed,training --seconds 280
  fg-bench gpu --rehearse
"""


@click.command(epilog=EXAMPLES)
@click.option(
    "--only",
    type=Listed("sections", tuple(SECTIONS)),
    help=f"Sections to run, separated by commas: {', '.join(SECTIONS)}.  [default: all]",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    help="Time limit of each section.  [default: "
    + ", ".join(f"{name} {section.seconds}" for name, section in SECTIONS.items())
    + "]",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Markdown file for the result, written as it grows; parts of sections that do not run stay.",
)
@click.option(
    "--checkpoint",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Generator to measure.  [default: one of SynFing's size with random weights]",
)
@click.option(
    "--batch", "batches", type=Listed("numbers"), default="1,8,64", show_default=True, help="Images per call."
)
@click.option(
    "--work",
    type=click.Path(file_okay=False, path_type=Path),
    help=f"Folder for files that later runs can reuse.  [default: {WORK}]",
)
@click.option("--installed", is_flag=True, help="Check the package as it is installed; build nothing.")
@click.option(
    "--rehearse", is_flag=True, help="Rehearse the check on the CPU, with tiny networks; it needs no GPU."
)
def gpu(
    only: Sequence[str] | None,
    seconds: float | None,
    out: Path | None,
    checkpoint: Path | None,
    batches: Sequence[int],
    work: Path | None,
    installed: bool,
    rehearse: bool,
) -> None:
    """Build the CUDA code, and check and time everything that claims to run on this machine's GPU."""
    if not rehearse and not find_gpus():
        raise FingerGenError("this needs an NVIDIA GPU and its driver; nvidia-smi lists none here")
    source = source_tree()
    if not installed and not rehearse:
        with tempfile.TemporaryDirectory() as name:
            build_package(source, Path(name))
            # The package is loaded already: the new one needs a new process.
            path = os.pathsep.join(filter(None, [name, os.environ.get("PYTHONPATH")]))
            command = [sys.executable, "-m", "fingergen.benchmarks.cli", *sys.argv[1:], "--installed"]
            sys.exit(subprocess.run(command, env={**os.environ, "PYTHONPATH": path}).returncode)
    settings = make_settings(source, work or source / WORK, checkpoint, tuple(batches), rehearse)
    page = Page(out, tuple(SECTIONS), notes(rehearse))
    for name in chosen(only):
        say(f"{name} …", err=True)
        page.add(name)
        for item in run_section(SECTIONS[name], settings, seconds or SECTIONS[name].seconds):
            page.add(name, item)
    click.echo(page.text(), nl=False)
    if page.failed:
        raise FingerGenError("something failed: see the table")


def chosen(only: Sequence[str] | None) -> list[str]:
    """The sections to run, in their order: with the models, if one needs them."""
    names = set(only or SECTIONS)
    if any(SECTIONS[name].needs_models for name in names):
        names.add(MODELS)
    return [name for name in SECTIONS if name in names]


def make_settings(
    source: Path, work: Path, checkpoint: Path | None, batches: tuple[int, ...], rehearse: bool
) -> Settings:
    """What the sections go by; the folder `work` is made."""
    work.mkdir(parents=True, exist_ok=True)
    if rehearse:
        return Settings(source, work, {"tiny": TINY}, (1, 2), device="cpu", largest_batch=4, rounds=3)
    networks: dict[str, Path | Mapping[str, Any]] = {"release-size": RELEASE, "demo-size": DEMO}
    if checkpoint is not None:
        networks = {checkpoint.stem: checkpoint.resolve(), **networks}
    return Settings(source, work, networks, batches)


def notes(rehearse: bool) -> list[str]:
    """What a figure means little without."""
    nvcc = find_nvcc()
    compiler = subprocess.run([nvcc, "--version"], capture_output=True, text=True).stdout if nvcc else ""
    release = next((line for line in compiler.splitlines() if "release" in line), "no nvcc")
    return [
        *([REHEARSAL] if rehearse else []),
        *describe_machine().lines(),
        release,
        f"`fg-bench {shlex.join(sys.argv[1:])}`",
    ]


def source_tree() -> Path:
    """The working directory; `BadInput` where it is not the repository."""
    folder = Path.cwd()
    if not (folder / "tests" / "cpp_ops" / "harness").is_dir() or not (folder / "setup.py").is_file():
        raise BadInput(
            f"{folder}: not FingerGen's source tree; run this there, for it compiles what is in it"
        )
    return folder


def build_package(source: Path, folder: Path) -> None:
    """Install the package, CUDA code and all, into `folder`; `FingerGenError` where pip fails."""
    click.echo("building the package with its CUDA code …", err=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    done = subprocess.run([*command, str(folder), str(source)], capture_output=True, text=True)
    if done.returncode:
        raise FingerGenError(f"pip install failed: {(done.stderr or done.stdout).strip()[-500:]}")
