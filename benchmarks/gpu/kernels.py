"""The custom ops' CUDA kernels: right, clean, and as quick as memory is."""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fingergen import cpp_ops
from fingergen.runtime.errors import FingerGenError

from ..speed.kernels import (
    NETWORK_OPS,
    OPS,
    TOOLS,
    TYPES,
    Case,
    Timing,
    cases,
    compile_for_cpu,
    compile_for_gpu,
    random_cases,
    run_cases,
    sanitize,
    time_calls,
)
from .page import MARKS, Check, Item, Row, guarded
from .settings import Deadline, Settings, find_nvcc

RANDOM_CASES, SEED = 60, 2026
GOAL = 0.8  # of the bandwidth of a copy
BUSY = 0.5  # a copy below this share of the quickest copy's bandwidth waits for launches, not for memory
SANITIZER = "compute-sanitizer"
TIMED = ((np.float16, 1), (np.float16, 64), (np.float32, 64))  # precision, batch


def run(settings: Settings, deadline: Deadline) -> Iterator[Item]:
    """Libraries, then the kernels on the GPU: errors, what the sanitizer finds, bandwidth."""
    yield from library_checks()
    nvcc = find_nvcc()
    if settings.on_gpu and nvcc is None:
        yield Check("kernels", "no CUDA compiler (nvcc) on the PATH", None)
        return
    named = os.environ.get("FINGERGEN_TENSORRT_INCLUDE")
    headers = Path(named) if named else settings.source / "build" / "cpp_ops" / "headers" / "tensorrt"
    with_plugins = (headers / "NvInferRuntime.h").is_file()
    if not with_plugins:
        yield Check("TensorRT plugins", f"no TensorRT headers in {headers}", None)
    program = settings.work / "kernels"
    try:
        if nvcc is None or not settings.on_gpu:
            compile_for_cpu(settings.source, program, headers if with_plugins else None)
        else:
            compile_for_gpu(settings.source, program, nvcc, headers if with_plugins else None)
    except FingerGenError as error:
        yield Check("kernels", str(error), False)
        return
    yield from kernel_checks(
        program, settings.networks, ["cuda", "plugin"] if with_plugins else ["cuda"], deadline
    )


def kernel_checks(
    program: Path,
    networks: Mapping[str, Path | Mapping[str, Any]],
    variants: Sequence[str],
    deadline: Deadline,
) -> Iterator[Item]:
    """All that is checked of the kernels in the program, which is compiled."""
    sizes = {name: network for name, network in networks.items() if not isinstance(network, Path)}
    for variant in variants:
        yield from guarded(f"kernels, {variant}", compare_kernels, program, variant)
    for name, network in sizes.items():
        yield from guarded(f"kernels, {name} model", network_kernels, program, name, network)
    yield from sanitizer_checks(program, deadline)
    for name, network in sizes.items():
        yield from guarded(f"bandwidth, {name} model", bandwidth_checks, program, name, network)


def library_checks() -> Iterator[Check]:
    """Whether the op libraries were built with their CUDA kernels."""
    for name in cpp_ops.LIBRARIES:
        status = cpp_ops.status(name)
        result = "built with CUDA" if status.cuda else f"{status.reason}; {status.fix}"
        yield Check(f"{name} ops library", result, status.cuda)


def compare_kernels(program: Path, variant: str) -> Iterator[Check]:
    """A line an op and type: the largest error of fixed and of random cases against the NumPy reference."""
    for op in OPS:
        for dtype in TYPES[op]:
            fixed, drawn = cases(op, dtype), random_cases(op, dtype, RANDOM_CASES, SEED)
            about = f"{len(fixed)} cases and {len(drawn)} of random shapes"
            yield _compare(
                program, variant, f"{op}, {variant}, {np.dtype(dtype).name}", [*fixed, *drawn], about
            )


def network_kernels(program: Path, name: str, sizes: Mapping[str, Any]) -> Iterator[Check]:
    """The same for the shapes that a network has."""
    from .layers import layers, op_calls

    rng = np.random.default_rng(SEED)
    for op in NETWORK_OPS:
        for dtype in TYPES[op]:
            calls = [
                call for call in op_calls(layers(sizes), 1, dtype) if (call.op, call.dtype) == (op, dtype)
            ]
            about = f"the {len(calls)} shapes of the {name} model"
            what = f"{op}, cuda, {np.dtype(dtype).name}, {name} model"
            yield _compare(program, "cuda", what, [call.case(rng) for call in calls], about)


def _compare(program: Path, variant: str, what: str, some: Sequence[Case], about: str) -> Check:
    worst, passed = 0.0, bool(some)
    for case, result in zip(some, run_cases(program, some[0].call.op, variant, some), strict=True):
        error = np.abs(result.astype(np.float64) - case.expected)
        worst = max(worst, float(error.max(initial=0.0)))
        passed = passed and bool((error <= case.tolerance).all())
    return Check(what, f"{about}, max error {worst:.1e}", passed)


def sanitizer_checks(program: Path, deadline: Deadline) -> Iterator[Check]:
    """A line a tool of compute-sanitizer."""
    sanitizer = shutil.which(SANITIZER)
    some = [case for op in OPS for dtype in TYPES[op] for case in random_cases(op, dtype, 8, SEED)]
    for tool in TOOLS:
        what = f"{SANITIZER}, {tool}"
        if sanitizer is None:
            yield Check(what, f"no {SANITIZER} on the PATH; it comes with the CUDA toolkit", None)
            continue
        try:
            found = sanitize(program, sanitizer, tool, "cuda", some, max(1.0, deadline.left / 2))
        except FingerGenError as error:
            yield Check(what, str(error), None)
        else:
            yield Check(what, found or f"{len(some)} cases, nothing found", found is None)


def bandwidth_checks(program: Path, name: str, sizes: Mapping[str, Any]) -> Iterator[Item]:
    """The bytes a second of every op at a network's shapes, against a copy of as many bytes."""
    from .layers import layers, op_calls

    for dtype, batch in TIMED:
        calls = op_calls(layers(sizes), batch, dtype)
        timings = time_calls(program, calls)
        best_copy = max(timing.bytes / timing.copy_seconds for timing in timings)
        checked = [
            (call, timing, fast_enough(timing, best_copy))
            for call, timing in zip(calls, timings, strict=True)
        ]
        table = f"Bandwidth of the ops, {name} model, {np.dtype(dtype).name}, batch {batch}"
        for call, timing, verdict in checked:
            yield Row(
                table,
                {
                    "op": call.op,
                    "type": np.dtype(call.dtype).name,
                    "shape": " x ".join(map(str, call.shape)),
                    "MB": f"{timing.bytes / 1e6:.1f}",
                    "µs": f"{1e6 * timing.seconds:.1f}",
                    "µs of a copy": f"{1e6 * timing.copy_seconds:.1f}",
                    "GB/s": f"{timing.bytes / timing.seconds / 1e9:.0f}",
                    "of the copy": f"{timing.copy_seconds / timing.seconds:.0%}",
                    "of the quickest copy": f"{timing.bytes / timing.seconds / best_copy:.0%}",
                    f"at least {GOAL:.0%}": "too small" if verdict is None else MARKS[verdict],
                },
            )
        for op in NETWORK_OPS:
            what = f"{op}, bandwidth, {name} model, {np.dtype(dtype).name}, batch {batch}"
            mine = [(timing, verdict) for call, timing, verdict in checked if call.op == op]
            shares = [timing.copy_seconds / timing.seconds for timing, verdict in mine if verdict is not None]
            if not shares:
                yield Check(what, "no shape is large enough to keep the memory busy", None)
                continue
            result = (
                f"{min(shares):.0%} to {max(shares):.0%} of a copy of as many bytes, median"
                f" {statistics.median(shares):.0%}, in {len(shares)} shapes that keep the memory busy; the"
                f" quickest copy moves {best_copy / 1e9:.0f} GB/s"
            )
            yield Check(what, result, all(verdict is not False for _, verdict in mine))


def fast_enough(timing: Timing, best_copy: float) -> bool | None:
    """Whether it reaches `GOAL`; None if not even a copy of as many bytes comes near `best_copy`, bytes/s."""
    if timing.bytes / timing.copy_seconds < BUSY * best_copy:
        return None
    return timing.copy_seconds >= GOAL * timing.seconds
