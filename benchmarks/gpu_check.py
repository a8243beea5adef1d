"""What only a machine with an NVIDIA GPU can tell, in one run and one table.

    python benchmarks/gpu_check.py --out docs/gpu_result.md

in the source tree builds the package with its CUDA code, as `pip install .` does; compares the kernels on the
GPU with their references; exports a generator with float16 graphs and, where TensorRT is installed, engines;
compares every installed backend with the CPU's float32 result; and times them. See `docs/gpu.md`.
"""

# A script and a module: its imports are absolute, for a script has no package.

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from fingergen.benchmarks.gpu_checks import Check, backend_checks, kernel_checks, library_checks, markdown
from fingergen.benchmarks.job import Job
from fingergen.benchmarks.machine import describe_machine, find_gpus
from fingergen.runtime.errors import BadInput, FingerGenError, command_line_errors
from fingergen.runtime.files import write_atomically
from fingergen.runtime.model import open_bundle

EXPORT = (
    "--precision",
    "fp16",
    "--check-seeds",
    "8",
)  # few: float16 is judged here by what the GPU makes of it


@command_line_errors
@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--checkpoint",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Generator to export.  [default: one of SynFing's size with random weights]",
)
@click.option(
    "--bundle",
    type=click.Path(exists=True, path_type=Path),
    help="Run this bundle, exported from --checkpoint; export nothing.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Markdown file for the result.")
@click.option(
    "--batch", "batches", multiple=True, type=click.IntRange(1), default=(1, 8, 64), show_default=True
)
@click.option("--seconds", type=float, default=60.0, show_default=True, help="For the timings.")
@click.option("--installed", is_flag=True, help="Check the package as it is installed; build nothing.")
def main(
    checkpoint: Path | None,
    bundle: Path | None,
    out: Path | None,
    batches: Sequence[int],
    seconds: float,
    installed: bool,
) -> None:
    """Build the CUDA code, compare it and every backend with the CPU on this machine's GPU, and time them."""
    if not find_gpus():
        raise FingerGenError("this needs an NVIDIA GPU and its driver; nvidia-smi lists none here")
    source = source_tree()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not installed:
            build_package(source, folder)
            # The package is loaded already: the new one needs a new process.
            path = os.pathsep.join(filter(None, [name, os.environ.get("PYTHONPATH")]))
            command = [sys.executable, "-m", "fingergen.benchmarks.gpu_check", *sys.argv[1:], "--installed"]
            sys.exit(subprocess.run(command, env={**os.environ, "PYTHONPATH": path}).returncode)
        checks = [*library_checks(), *kernel_checks(source)]
        if bundle is None:
            checkpoint = checkpoint or random_checkpoint(folder / "random.pt")
            bundle = folder / checkpoint.stem
            checks.append(export_bundle(checkpoint, bundle))
        job = Job(open_bundle(bundle), checkpoint=checkpoint)
        checks += backend_checks(job, batches, seconds)
        text = markdown(describe_machine().lines(), job.bundle.manifest.name, checks)
    click.echo(text, nl=False)
    if out is not None:
        write_atomically(out, text.encode())
    if any(check.passed is False for check in checks):
        raise FingerGenError("something failed: see the table")


def source_tree() -> Path:
    """The working directory; `BadInput` where it is not the repository."""
    folder = Path.cwd()
    if not (folder / "tests" / "cpp_ops_harness").is_dir() or not (folder / "setup.py").is_file():
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


def random_checkpoint(path: Path) -> Path:
    """Write a generator of SynFing's size, 256x256 in grey, with random weights."""
    import torch

    from fingergen.training.checkpoints import save_generator
    from fingergen.training.networks import Generator

    torch.manual_seed(0)
    save_generator(path, g_ema=Generator())
    return path


def export_bundle(checkpoint: Path, out: Path) -> Check:
    """A bundle with float16 graphs and, where that works here, TensorRT engines."""
    from fingergen.export.cli import main as fg_export

    def export(*engine: str) -> None:
        with contextlib.redirect_stdout(sys.stderr):
            command = [str(checkpoint), "--out", str(out), *EXPORT, *engine]
            fg_export.main(command, standalone_mode=False)

    try:
        export("--engine", "fp16")
        return Check("export, fp16 engines", "built", True)
    except Exception as error:  # whatever it is, the other backends run without engines
        export()
        missing = isinstance(error, BadInput)  # TensorRT is not installed, say
        return Check("export, fp16 engines", str(error), None if missing else False)


if __name__ == "__main__":
    main()
