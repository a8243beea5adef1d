"""The custom ops' kernels, each alone, against their NumPy references.

A small program (`tests/cpp_ops_harness`) runs them: built with the sources of this repository for a GPU, or
for a CPU that stands in for one. It reads cases from standard input and answers on standard output.
"""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fingergen.cpp_ops.reference import fused_leaky_relu, upfirdn2d
from fingergen.runtime.errors import FingerGenError

Array = NDArray[np.floating]

OPS = ("FusedLeakyReLU", "UpFirDn2d")
WAYS = {"cpu": 0, "cuda": 1, "plugin": 2}
"""What computes: the CPU kernel, the CUDA kernel, the CUDA kernel called by the TensorRT plugin."""

RESOLUTION = {"float32": 4e-6, "float16": 1e-3}
"""Tolerance, relative, and absolute for sums of about ten terms of size 1; arithmetic is in float32."""


@dataclass(frozen=True, eq=False)
class Case:
    """One call: sizes and attributes as the program reads them, its arrays, and what must come out."""

    sizes: tuple[int, ...]  # n, c, height, width, kernel height and width, up, down, pads x0, x1, y0, y1
    x: Array
    parameter: Array  # bias, or FIR kernel
    expected: Array

    @property
    def tolerance(self) -> Array:
        """Largest admissible error of each value."""
        resolution = RESOLUTION[self.x.dtype.name]
        return resolution * (10 + np.abs(self.expected.astype(np.float64)))


def cases(op: str, dtype: type[np.floating]) -> list[Case]:
    """Cases of one of `OPS`, always the same.

    Odd and empty shapes, vectors that do and do not fill up, for UpFirDn2d all factors 1-4, kernels of the
    networks' size and others, asymmetric and negative pads.
    """
    return _fused_leaky_relu_cases(dtype) if op == "FusedLeakyReLU" else _upfirdn2d_cases(dtype)


def run_cases(program: Path, op: str, way: str, some: Sequence[Case]) -> list[Array]:
    """The program's answers to `some` cases; `FingerGenError` with its words where it fails."""
    sent = b"".join(
        np.array([op == "UpFirDn2d", case.x.dtype == np.float16, WAYS[way], *case.sizes], np.int64).tobytes()
        + case.x.tobytes()
        + case.parameter.tobytes()
        for case in some
    )
    done = subprocess.run([program], input=sent, capture_output=True)
    if done.returncode != 0 or len(done.stdout) != sum(case.expected.nbytes for case in some):
        said = done.stderr.decode(errors="replace").strip()
        raise FingerGenError(f"{op}, {way}: the kernels' program ended with {done.returncode}: {said}")
    ends = itertools.accumulate((case.expected.nbytes for case in some), initial=0)
    return [
        np.frombuffer(done.stdout, case.x.dtype, case.expected.size, begin).reshape(case.expected.shape)
        for case, begin in zip(some, ends, strict=False)
    ]


def sources(repository: Path, plugins: bool) -> list[Path]:
    """What the program consists of."""
    ops = repository / "cpp_ops"
    kernels = [
        ops / op / f"{op}.{kind}" for op in ("fused_leaky_relu", "upfirdn2d") for kind in ("cpp", "cu")
    ]
    plugin = [ops / "tensorrt" / "plugins.cpp"] if plugins else []
    return [*kernels, *plugin, repository / "tests" / "cpp_ops_harness" / "main.cpp"]


def compile_for_gpu(repository: Path, program: Path, nvcc: str, tensorrt_headers: Path | None) -> None:
    """Build the program for the GPU of this machine; `FingerGenError` where nvcc fails."""
    command = [nvcc, "-std=c++17", "-O2", "-arch=native", f"-I{repository / 'cpp_ops'}"]
    if tensorrt_headers is not None:
        command += ["-DFINGERGEN_PLUGINS", "-isystem", str(tensorrt_headers)]
    command += [*map(str, sources(repository, tensorrt_headers is not None)), "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise FingerGenError(f"nvcc failed: {done.stderr.strip() or done.stdout.strip()}")


def _fused_leaky_relu_cases(dtype: type[np.floating]) -> list[Case]:
    rng = np.random.default_rng(0)
    found = []
    for shape in [
        (1, 1, 1, 1),
        (3, 8, 1, 1),
        (2, 5, 1, 1),
        (2, 3, 3, 5),
        (5, 16, 4, 4),
        (1, 2, 65, 40),
        (0, 3, 2, 2),
    ]:
        x, bias = rng.standard_normal(shape).astype(dtype), rng.standard_normal(shape[1]).astype(dtype)
        found.append(Case((*shape, *[0] * 8), x, bias, fused_leaky_relu(x, bias)))
    return found


def _upfirdn2d_cases(dtype: type[np.floating]) -> list[Case]:
    rng = np.random.default_rng(1)
    found = []
    for up, down in itertools.product(range(1, 5), repeat=2):
        for taps in [(4, 4), (4, 4), (4, 4), (1, 1), (3, 5), (6, 2)]:
            shape = (*rng.integers(1, 4, 2), *rng.integers(1, 24, 2))
            pad = [int(p) for p in rng.integers(-4, 7, 4)]
            x, kernel = rng.standard_normal(shape).astype(dtype), rng.standard_normal(taps).astype(dtype)
            try:
                expected = upfirdn2d(x, kernel, up, down, pad)
            except ValueError:
                continue  # nothing left to filter
            found.append(Case((*map(int, shape), *taps, up, down, *pad), x, kernel, expected))
    return found
