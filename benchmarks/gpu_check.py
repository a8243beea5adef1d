"""What only a machine with an NVIDIA GPU can tell, in one run and one table.

    python benchmarks/gpu_check.py --out docs/gpu_result.md

in the source tree builds the package with its CUDA code, as `pip install .` does, compares the kernels on the
GPU with their references and every installed backend with the CPU's float32 result, and times them.
"""

# A script and a module: its imports are absolute, for a script has no package.

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from fingergen import cpp_ops
from fingergen.benchmarks.bench import Plan, Result, measure
from fingergen.benchmarks.contenders import CPU, NAMES, choose
from fingergen.benchmarks.job import Job
from fingergen.benchmarks.kernels import OPS, cases, compile_for_gpu, run_cases
from fingergen.benchmarks.machine import describe_machine, find_gpus
from fingergen.runtime.backends import usable_cores
from fingergen.runtime.errors import BadInput, FingerGenError, command_line_errors
from fingergen.runtime.files import write_atomically
from fingergen.runtime.model import open_bundle

PSNR_DB = {"fp32": 60.0, "fp16": 50.0, "bf16": 30.0}
"""Least agreement with the CPU's float32 images. TF32, which GPUs may use for fp32, rounds as fp16 does."""

CPU_PEERS = ("onnxruntime-plain", "openvino", "pytorch")


@dataclass(frozen=True)
class Check:
    """One line of the table. `passed` None: it could not be run, and `result` says why."""

    what: str
    result: str
    passed: bool | None


@command_line_errors
@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--bundle", type=click.Path(path_type=Path), help="[default: the packaged demo bundle]")
@click.option("--checkpoint", type=click.Path(exists=True, path_type=Path), help="The bundle's, for PyTorch.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Markdown file for the result.")
@click.option(
    "--batch", "batches", multiple=True, type=click.IntRange(1), default=(1, 8, 64), show_default=True
)
@click.option("--seconds", type=float, default=60.0, show_default=True, help="For the timings.")
@click.option("--installed", is_flag=True, help="Check the package as it is installed; build nothing.")
def main(
    bundle: Path | None,
    checkpoint: Path | None,
    out: Path | None,
    batches: Sequence[int],
    seconds: float,
    installed: bool,
) -> None:
    """Build the CUDA code, compare it and every backend with the CPU on this machine's GPU, and time them."""
    if not find_gpus():
        raise FingerGenError("this needs an NVIDIA GPU and its driver; nvidia-smi lists none here")
    if not installed:
        with tempfile.TemporaryDirectory() as folder:
            build_package(source_tree(), Path(folder))
            # The package is loaded already: the new one needs a new process.
            path = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
            command = [sys.executable, "-m", "fingergen.benchmarks.gpu_check", *sys.argv[1:], "--installed"]
            sys.exit(subprocess.run(command, env={**os.environ, "PYTHONPATH": path}).returncode)
    job = Job(open_bundle(bundle), checkpoint=checkpoint)
    checks = [*library_checks(), *kernel_checks(source_tree()), *backend_checks(job, batches, seconds)]
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
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(folder),
        str(source),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise FingerGenError(f"pip install failed: {(done.stderr or done.stdout).strip()[-500:]}")


def library_checks() -> Iterator[Check]:
    """Whether the op libraries were built with their CUDA kernels."""
    for name in cpp_ops.LIBRARIES:
        status = cpp_ops.status(name)
        result = "built with CUDA" if status.cuda else f"{status.reason}; {status.fix}"
        yield Check(f"{name} ops library", result, status.cuda)


def kernel_checks(source: Path) -> Iterator[Check]:
    """The CUDA kernels, and the TensorRT plugins that call them, on the GPU against the references."""
    nvcc = os.environ.get("CUDACXX") or shutil.which("nvcc")
    if nvcc is None:
        yield Check("kernels", "no CUDA compiler (nvcc) on the PATH", None)
        return
    named = os.environ.get("FINGERGEN_TENSORRT_INCLUDE")
    headers = Path(named) if named else source / "build" / "cpp_ops" / "headers" / "tensorrt"
    with_plugins = (headers / "NvInferRuntime.h").is_file()
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "kernels"
        try:
            compile_for_gpu(source, program, nvcc, headers if with_plugins else None)
            yield from compare_kernels(program, "cuda")
            if with_plugins:
                yield from compare_kernels(program, "plugin")
        except FingerGenError as error:  # a finding like others: the backends are still to be checked
            yield Check("kernels", str(error), False)
    if not with_plugins:
        yield Check("TensorRT plugins", f"no TensorRT headers in {headers}", None)


def compare_kernels(program: Path, way: str) -> Iterator[Check]:
    """A line an op and type: the largest error of all cases against the NumPy reference."""
    for op in OPS:
        for dtype in (np.float32, np.float16):
            some = cases(op, dtype)
            worst, passed = 0.0, True
            for case, result in zip(some, run_cases(program, op, way, some), strict=True):
                error = np.abs(result.astype(np.float64) - case.expected)
                worst = max(worst, float(error.max(initial=0.0)))
                passed = passed and bool((error <= case.tolerance).all())
            what = f"{op}, {way}, {np.dtype(dtype).name}"
            yield Check(what, f"{len(some)} cases, max error {worst:.1e}", passed)


def backend_checks(job: Job, batches: Sequence[int], seconds: float) -> Iterator[Check]:
    """Our backends and PyTorch on the GPU: their images against the CPU's in float32, and their speed."""
    names = [name for name in NAMES if name not in CPU_PEERS]  # the CPU first: all are compared with it
    found, left_out = choose(job, names, list(PSNR_DB))
    entries = [entry for entry in found if entry.contender.name == CPU and entry.precision == "fp32"]
    for entry in found:
        if entry.contender.name == CPU:
            continue
        try:
            runner = entry.contender.open_runner(job, entry.precision, usable_cores())
            runner.run(job.inputs(1))
            runner.close()
            entries.append(entry)
        except Exception as error:  # whatever it is, the others are still to be checked
            what = f"{entry.contender.name}, {entry.precision}"
            yield Check(what, f"{type(error).__name__}: {error}", False)
    plan = Plan(batches, [usable_cores()], rounds=100, seconds=seconds, warm_up=3)
    results, _ = measure(job, entries, plan)
    yield from map(backend_check, results)
    for name, reason in left_out.items():
        if not name.startswith(f"{CPU} "):
            yield Check(name, reason, None)


def backend_check(result: Result) -> Check:
    """A line a backend, precision and batch."""
    setting, latency = result.setting, result.latency_ms
    figures = (
        f"{result.images_per_second:.1f} images/s, p50 {latency.p50:.2f} ms, p99 {latency.p99:.2f} ms,"
        f" {result.relative_speed:.2f} x the CPU"
    )
    what = f"{setting.contender}, {setting.precision}, batch {setting.batch}"
    if result.max_abs_error is None:
        return Check(what, f"{figures}; random weights, not compared", True)
    psnr = result.psnr_db
    agreement = (
        "equal images" if psnr is None else f"PSNR {psnr:.1f} dB, max error {result.max_abs_error:.1e}"
    )
    return Check(what, f"{figures}; {agreement}", psnr is None or psnr >= PSNR_DB[setting.precision])


def markdown(machine: Sequence[str], bundle: str, checks: Sequence[Check]) -> str:
    """The result as a page of `docs/`."""
    marks: Mapping[bool | None, str] = {True: "passed", False: "**failed**", None: "not verified"}
    rows = [
        f"| {check.what} | {marks[check.passed]} | {' '.join(check.result.split())} |" for check in checks
    ]
    return "\n".join(
        [
            "# Result on a GPU",
            "",
            "Printed by `benchmarks/gpu_check.py`; not edited.",
            "",
            *(f"- {line}" for line in machine),
            f"- Bundle: {bundle}",
            "",
            "| what | | result |",
            "| --- | --- | --- |",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    main()
