"""The custom ops' kernels, each alone: against their NumPy references, under checkers, and timed.

A small program (`tests/cpp_ops/harness`) runs them: built with the sources of this repository for a GPU, or
for a CPU that stands in for one. It reads cases from standard input and answers on standard output.
"""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import SupportsInt

import numpy as np
from numpy.typing import NDArray

from fingergen.cpp_ops.reference import fused_leaky_relu, ridge_growth, upfirdn2d
from fingergen.runtime.errors import FingerGenError

Array = NDArray[np.floating]

HARNESS = Path("tests") / "cpp_ops" / "harness"
TYPES: dict[str, tuple[type[np.floating], ...]] = {
    "FusedLeakyReLU": (np.float32, np.float16),
    "UpFirDn2d": (np.float32, np.float16),
    "RidgeGrowth": (np.float32,),
}
"""What each op computes with."""

OPS = tuple(TYPES)
"""In the order of the program's `Op`."""

NETWORK_OPS = ("FusedLeakyReLU", "UpFirDn2d")
"""Those in StyleGAN2's networks."""

VARIANTS = {"cpu": 0, "cuda": 1, "plugin": 2}
"""What computes: the CPU kernel, the CUDA kernel, the CUDA kernel called by the TensorRT plugin."""

RESOLUTION = {"float32": 4e-6, "float16": 1e-3}
"""Tolerance, relative, and absolute for sums of about ten terms of size 1; arithmetic is in float32."""

GROWTH_ERROR = 2e-3
"""Tolerance of RidgeGrowth, relative: kernels are kept in 16 bits, and rounds magnify errors in places."""

TOOLS = ("memcheck", "racecheck", "initcheck")
"""Of NVIDIA's compute-sanitizer: accesses outside of memory, races in shared memory, memory never written."""

FOUND = 9  # exit code of a program in which the sanitizer found something


@dataclass(frozen=True)
class Call:
    """What a kernel is called with, but for the values.

    `sizes`: n, c, height, width of x; then of UpFirDn2d kernel height and width, up, down, pads x0, x1, y0,
    y1, of RidgeGrowth rounds and radius; then zeros, to twelve numbers.
    """

    op: str
    dtype: type[np.floating]
    sizes: tuple[int, ...]

    @staticmethod
    def fused_leaky_relu(dtype: type[np.floating], shape: Iterable[SupportsInt]) -> Call:
        return Call("FusedLeakyReLU", dtype, (*map(int, shape), *[0] * 8))

    @staticmethod
    def upfirdn2d(
        dtype: type[np.floating],
        shape: Iterable[SupportsInt],
        taps: Iterable[SupportsInt],
        up: int,
        down: int,
        pad: Iterable[SupportsInt],
    ) -> Call:
        return Call("UpFirDn2d", dtype, tuple(map(int, (*shape, *taps, up, down, *pad))))

    @staticmethod
    def ridge_growth(shape: Iterable[SupportsInt], rounds: int, radius: int) -> Call:
        """shape: (N, H, W); float32, which is all that there is."""
        n, height, width = map(int, shape)
        return Call("RidgeGrowth", np.float32, (n, 1, height, width, rounds, radius, *[0] * 6))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape (N, C, H, W) of the input x."""
        return self.sizes[:4]

    def header(self, variant: str) -> bytes:
        """As the program reads it."""
        half = self.dtype is np.float16
        return np.array([OPS.index(self.op), half, VARIANTS[variant], *self.sizes], np.int64).tobytes()

    def case(self, rng: np.random.Generator) -> Case:
        """With random values; `ValueError` where nothing is left to filter."""
        x = rng.standard_normal(self.shape).astype(self.dtype)
        if self.op == "FusedLeakyReLU":
            bias = rng.standard_normal(self.shape[1]).astype(self.dtype)
            return Case(self, x, bias, fused_leaky_relu(x, bias))
        if self.op == "RidgeGrowth":
            rounds, radius = self.sizes[4:6]
            orientation = rng.uniform(-4.0, 4.0, self.shape).astype(self.dtype)
            orientation[..., : self.shape[-1] // 2] = 0.4  # ridges straight here and bent there
            period = rng.uniform(3.0, 7.0, self.shape).astype(self.dtype)
            expected = ridge_growth(x, orientation, period, rounds, radius)
            return Case(self, x, np.stack([orientation, period]), expected)
        height, width, up, down, *pad = self.sizes[4:]
        kernel = rng.standard_normal((height, width)).astype(self.dtype)
        return Case(self, x, kernel, upfirdn2d(x, kernel, up, down, pad))


@dataclass(frozen=True, eq=False)
class Case:
    """A call with its arrays, and what must come out."""

    call: Call
    x: Array
    parameter: Array  # bias; FIR kernel; or orientation and period, one after the other
    expected: Array

    @property
    def tolerance(self) -> Array:
        """Largest admissible error of each value."""
        if self.call.op == "RidgeGrowth":
            return GROWTH_ERROR * (1.0 + np.abs(self.expected))
        resolution = RESOLUTION[self.x.dtype.name]
        return resolution * (10 + np.abs(self.expected.astype(np.float64)))


@dataclass(frozen=True)
class Timing:
    """Seconds of a call, and of a copy within the device that moves as many `bytes`, read and written."""

    seconds: float
    copy_seconds: float
    bytes: int


def cases(op: str, dtype: type[np.floating]) -> list[Case]:
    """Cases of one of `OPS`, always the same.

    Odd and empty shapes, vectors that do and do not fill up, for UpFirDn2d all factors 1-4, kernels of the
    networks' size and others, asymmetric and negative pads.
    """
    if op == "RidgeGrowth":
        return _ridge_growth_cases()
    return _fused_leaky_relu_cases(dtype) if op == "FusedLeakyReLU" else _upfirdn2d_cases(dtype)


def random_cases(op: str, dtype: type[np.floating], count: int, seed: int) -> list[Case]:
    """Cases of shapes drawn from `seed`; every other filter is one that the networks have."""
    rng = np.random.default_rng(seed)
    found: list[Case] = []
    while len(found) < count:
        shape = rng.integers(1, (5, 40, 70, 70))
        if op == "FusedLeakyReLU":
            call = Call.fused_leaky_relu(dtype, shape)
        elif op == "RidgeGrowth":
            radius = int(rng.integers(3, 9))  # of less, kernels hardly distinguish a wave from a flat image
            size = rng.integers((1, radius + 1, radius + 1), (3, 50, 70))
            call = Call.ridge_growth(size, int(rng.integers(0, 5)), radius)
        elif len(found) % 2:
            up, down = ((1, 1), (2, 1), (1, 2))[rng.integers(3)]
            call = Call.upfirdn2d(dtype, shape, (4, 4), up, down, rng.integers(-1, 4, 4))
        else:
            up, down = map(int, rng.integers(1, 5, 2))
            call = Call.upfirdn2d(dtype, shape, rng.integers(1, 8, 2), up, down, rng.integers(-4, 9, 4))
        with contextlib.suppress(ValueError):  # nothing left to filter
            found.append(call.case(rng))
    return found


def run_cases(program: Path, op: str, variant: str, some: Sequence[Case]) -> list[Array]:
    """The program's answers to `some` cases; `FingerGenError` with its words where it fails."""
    done = subprocess.run([program], input=_sent(variant, some), capture_output=True)
    if done.returncode != 0 or len(done.stdout) != sum(case.expected.nbytes for case in some):
        said = done.stderr.decode(errors="replace").strip()
        raise FingerGenError(f"{op}, {variant}: the kernels' program ended with {done.returncode}: {said}")
    ends = itertools.accumulate((case.expected.nbytes for case in some), initial=0)
    return [
        np.frombuffer(done.stdout, case.x.dtype, case.expected.size, begin).reshape(case.expected.shape)
        for case, begin in zip(some, ends, strict=False)
    ]


def sanitize(
    program: Path, sanitizer: str, tool: str, variant: str, some: Sequence[Case], seconds: float
) -> str | None:
    """What `tool` of compute-sanitizer, the program `sanitizer`, finds in `some` cases; None: nothing.

    `FingerGenError` where it gives no answer: it does not know the device, say, or takes too long.
    """
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"  # standard output has the results
        command = [sanitizer, "--tool", tool, "--error-exitcode", str(FOUND), "--log-file", str(log)]
        try:
            done = subprocess.run(
                [*command, str(program)], input=_sent(variant, some), capture_output=True, timeout=seconds
            )
        except subprocess.TimeoutExpired:
            raise FingerGenError(f"compute-sanitizer, {tool}: stopped after {seconds:.0f} s") from None
        logged = log.read_text(errors="replace") if log.exists() else ""
    said = "; ".join(filter(None, (line.strip("= \t") for line in logged.splitlines())))
    if done.returncode == FOUND:
        return said[:500] or "it does not say what"
    if done.returncode or len(done.stdout) != sum(case.expected.nbytes for case in some):
        words = f"{said} {done.stderr.decode(errors='replace')}".strip()
        raise FingerGenError(f"compute-sanitizer, {tool}: ended with {done.returncode}: {words[-300:]}")
    return None


def time_calls(program: Path, calls: Sequence[Call]) -> list[Timing]:
    """How long the CUDA kernels take; `FingerGenError` where one fails."""
    sent = b"".join(call.header("cuda") for call in calls)
    done = subprocess.run([program, "time"], input=sent, capture_output=True)
    lines = done.stdout.decode(errors="replace").splitlines()
    if done.returncode != 0 or len(lines) != len(calls):
        said = done.stderr.decode(errors="replace").strip()
        raise FingerGenError(f"timing of the kernels: their program ended with {done.returncode}: {said}")
    fields = [line.split() for line in lines]
    return [Timing(float(seconds), float(copy), int(size)) for seconds, copy, size in fields]


def _sent(variant: str, some: Sequence[Case]) -> bytes:
    return b"".join(case.call.header(variant) + case.x.tobytes() + case.parameter.tobytes() for case in some)


def sources(repository: Path, plugins: bool) -> list[Path]:
    """What the program consists of."""
    ops = repository / "cpp_ops"
    kernels = [
        ops / op / f"{op}.{kind}"
        for op in ("fused_leaky_relu", "ridge_growth", "upfirdn2d")
        for kind in ("cpp", "cu")
    ]
    kernels += [ops / "ridge_growth" / f"steps_{each}.cpp" for each in ("avx2", "avx512", "portable")]
    plugin = [ops / "tensorrt" / "plugins.cpp"] if plugins else []
    return [*kernels, *plugin, repository / HARNESS / "main.cpp"]


def compile_for_gpu(
    repository: Path,
    program: Path,
    nvcc: str,
    tensorrt_headers: Path | None,
    architecture: str = "native",
) -> None:
    """Build the program for this machine's GPU, or for `architecture`; `FingerGenError` where nvcc fails."""
    command = [nvcc, "-std=c++17", "-O2", "-lineinfo", f"-arch={architecture}"]
    _compile(command, repository, program, tensorrt_headers)


def compile_for_cpu(
    repository: Path, program: Path, tensorrt_headers: Path | None, more: Sequence[str] = ()
) -> None:
    """Build the program with a loop in place of a GPU's threads; `FingerGenError` where g++ fails."""
    command = ["g++", "-std=c++17", "-O1", "-Wno-unknown-pragmas", "-Wno-psabi", *more]
    command += ["-DFINGERGEN_FLUSH_BYTES=4096", f"-I{repository / HARNESS / 'cuda_on_cpu'}", "-x", "c++"]
    _compile(command, repository, program, tensorrt_headers)


def _compile(command: Sequence[str], repository: Path, program: Path, tensorrt_headers: Path | None) -> None:
    headers = [f"-I{repository / 'cpp_ops'}"]
    if tensorrt_headers is not None:
        headers += ["-DFINGERGEN_PLUGINS", "-isystem", str(tensorrt_headers)]
    files = map(str, sources(repository, tensorrt_headers is not None))
    done = subprocess.run([*command, *headers, *files, "-o", str(program)], capture_output=True, text=True)
    if done.returncode:
        raise FingerGenError(f"{Path(command[0]).name} failed: {done.stderr.strip() or done.stdout.strip()}")


def _fused_leaky_relu_cases(dtype: type[np.floating]) -> list[Case]:
    rng = np.random.default_rng(0)
    shapes = [
        (1, 1, 1, 1),
        (3, 8, 1, 1),
        (2, 5, 1, 1),
        (2, 3, 3, 5),
        (5, 16, 4, 4),
        (1, 2, 65, 40),
        (0, 3, 2, 2),
    ]
    return [Call.fused_leaky_relu(dtype, shape).case(rng) for shape in shapes]


def _upfirdn2d_cases(dtype: type[np.floating]) -> list[Case]:
    rng = np.random.default_rng(1)
    found = []
    for up, down in itertools.product(range(1, 5), repeat=2):
        for taps in [(4, 4), (4, 4), (4, 4), (1, 1), (3, 5), (6, 2)]:
            shape = (*rng.integers(1, 4, 2), *rng.integers(1, 24, 2))
            pad = rng.integers(-4, 7, 4)
            with contextlib.suppress(ValueError):  # nothing left to filter
                found.append(Call.upfirdn2d(dtype, shape, taps, up, down, pad).case(rng))
    return found


def _ridge_growth_cases() -> list[Case]:
    """Widths around those of vectors and blocks, the smallest images, no round and the full number,
    blocks of rows that threads take."""
    rng = np.random.default_rng(2)
    shapes = [
        ((1, 7, 7), 0, 6),
        ((2, 9, 31), 1, 6),
        ((1, 20, 32), 3, 6),
        ((1, 13, 33), 2, 5),
        ((3, 4, 4), 1, 3),
        ((0, 9, 9), 1, 2),
        ((1, 17, 65), 2, 16),
        ((1, 40, 70), 30, 6),
        ((1, 197, 33), 4, 6),  # in two blocks of rows
    ]
    return [Call.ridge_growth(*shape).case(rng) for shape in shapes]
