"""What `gpu_check` finds: a line for each library, kernel and backend."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from fingergen import cpp_ops
from fingergen.runtime.backends import Precision, open_backend, usable_cores
from fingergen.runtime.errors import FingerGenError
from fingergen.runtime.images import to_levels
from fingergen.runtime.model import Model

from .bench import Plan, Result, measure
from .contenders import CPU, NAMES, Entry, OurBackend, choose
from .job import Job
from .kernels import OPS, cases, compile_for_gpu, run_cases

PSNR_DB = {"fp32": 60.0, "fp16": 50.0, "bf16": 30.0}
"""Least agreement with the CPU's float32 images."""

PIXEL_CHECK_BATCH = 8
CPU_PEERS = ("onnxruntime-plain", "openvino", "pytorch")


@dataclass(frozen=True)
class Check:
    """One line of the table. `passed` None: it could not be run, and `result` says why."""

    what: str
    result: str
    passed: bool | None


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
            if isinstance(entry.contender, OurBackend):
                yield pixel_check(job, entry)
        except Exception as error:  # whatever it is, the others are still to be checked
            what = f"{entry.contender.name}, {entry.precision}"
            yield Check(what, f"{type(error).__name__}: {error}", False)
    plan = Plan(batches, [usable_cores()], rounds=100, seconds=seconds, warm_up=3)
    results, _ = measure(job, entries, plan)
    yield from map(backend_check, results)
    for name, reason in left_out.items():
        if not name.startswith(f"{CPU} "):
            yield Check(name, reason, None)


def pixel_check(job: Job, entry: Entry) -> Check:
    """A backend's images in 256 levels, made on the device, against what the host makes of float32 ones."""
    opened = open_backend(entry.contender.name, job.bundle, precision=cast(Precision, entry.precision))
    with Model(job.bundle, opened) as model:
        w = model.styles(model.map(job.inputs(PIXEL_CHECK_BATCH)))
        noise = model.noise_buffers("const", None, len(w))
        difference = np.abs(opened.render(w, noise).astype(int) - to_levels(opened.synthesize(w, noise)))
    result = (
        f"{(difference > 0).mean():.2%} of the pixels differ, by {difference.max()} of 256 levels at most"
    )
    return Check(f"{entry.contender.name}, {entry.precision}, pixels", result, bool(difference.max() <= 1))


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
