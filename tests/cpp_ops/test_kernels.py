"""The kernels alone, under AddressSanitizer and UBSan: the CPU's, and CUDA's with a loop for the threads.

That checks the CUDA kernels' arithmetic and bounds on any machine; whether a GPU agrees, only a GPU can tell.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest

from fingergen.benchmarks.gpu import kernels as section
from fingergen.benchmarks.gpu.kernels import bandwidth_checks, compare_kernels, network_kernels
from fingergen.benchmarks.gpu.page import Check, Row
from fingergen.benchmarks.gpu.settings import find_nvcc
from fingergen.benchmarks.speed import kernels as harness_program
from fingergen.benchmarks.speed.kernels import (
    OPS,
    TOOLS,
    TYPES,
    VARIANTS,
    Call,
    Timing,
    cases,
    compile_for_cpu,
    compile_for_gpu,
    random_cases,
    run_cases,
    sanitize,
    time_calls,
)
from fingergen.runtime.errors import FingerGenError

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TENSORRT = ROOT / "build" / "cpp_ops" / "headers" / "tensorrt"  # where a build in the source tree puts them
HEADERS = TENSORRT if TENSORRT.is_dir() else None
TINY = {"resolution": 16, "style_dim": 8, "n_mlp": 1, "channel_base": 64, "channel_max": 8}

if shutil.which("g++") is None:
    pytest.skip("no g++ to build the kernels with", allow_module_level=True)


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("harness") / "harness"
    strict = ["-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    compile_for_cpu(ROOT, program, HEADERS, strict)
    return program


@pytest.fixture(scope="module")
def portable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without instructions that not every x86-64 processor has."""
    program = tmp_path_factory.mktemp("portable") / "harness"
    compile_for_cpu(ROOT, program, None, ["-DFINGERGEN_PORTABLE", "-O2"])
    return program


@pytest.mark.parametrize("way", VARIANTS)
@pytest.mark.parametrize(("op", "dtype"), [(op, dtype) for op in OPS for dtype in TYPES[op]])
def test_kernels_equal_the_references(harness: Path, op: str, dtype: type[np.floating], way: str) -> None:
    if way == "plugin" and HEADERS is None:
        pytest.skip("no TensorRT headers: none were fetched by a build in this source tree")
    some = cases(op, dtype)
    assert len(some) > (60 if op == "UpFirDn2d" else 5)
    for case, result in zip(some, run_cases(harness, op, way, some), strict=True):
        difference = np.abs(result.astype(np.float64) - case.expected)
        assert (difference <= case.tolerance).all(), case.call


def test_ridges_have_the_same_bits_from_every_kernel(harness: Path, portable: Path) -> None:
    """AVX2 where this processor has it, plain x86-64, a GPU's arithmetic; over many rounds."""
    some = [
        Call.ridge_growth((2, 50, 70), 30, 6).case(np.random.default_rng(7)),
        *cases("RidgeGrowth", np.float32),
    ]
    results = [
        run_cases(program, "RidgeGrowth", way, some)
        for program, way in ((harness, "cpu"), (harness, "cuda"), (portable, "cpu"))
    ]
    for vectors, device, plain in zip(*results, strict=True):
        np.testing.assert_array_equal(vectors, device)
        np.testing.assert_array_equal(vectors, plain)


def test_the_check_for_gpus_finds_them_equal(harness: Path) -> None:
    checks = list(compare_kernels(harness, "cuda"))
    assert len(checks) == 5 and all(check.passed for check in checks)
    assert "and 60 of random shapes" in checks[0].result


def test_shapes_of_a_network(harness: Path) -> None:
    checks = list(network_kernels(harness, "tiny", TINY))
    assert [check.passed for check in checks] == [True] * 4
    assert [check.result.partition(",")[0] for check in checks] == [
        "the 3 shapes of the tiny model",  # activations at 4, 8, 16
        "the 3 shapes of the tiny model",
        "the 4 shapes of the tiny model",  # blurs, and the image's upsampling, which float16 leaves alone
        "the 2 shapes of the tiny model",
    ]


def test_random_cases_are_the_same_each_time_and_of_many_kinds() -> None:
    some = random_cases("UpFirDn2d", np.float16, 20, 5)
    assert [case.call for case in some] == [
        case.call for case in random_cases("UpFirDn2d", np.float16, 20, 5)
    ]
    assert len({case.call.sizes for case in some}) == 20
    assert sum(case.call.sizes[4:6] == (4, 4) for case in some) >= 10
    assert [case.call for case in some] != [
        case.call for case in random_cases("UpFirDn2d", np.float16, 20, 6)
    ]


def test_times_come_with_the_bytes_moved(harness: Path) -> None:
    """Twice the memory traffic of a filter is that of a copy of half of it, and takes time."""
    relu = Call.fused_leaky_relu(np.float32, (2, 3, 5, 7))
    fir = Call.upfirdn2d(np.float16, (1, 2, 9, 9), (4, 4), 1, 1, (1, 1, 1, 1))
    first, second = time_calls(harness, [relu, fir])
    assert first.bytes == 4 * (2 * 210 + 3)
    assert second.bytes == 2 * (2 * 81 + 16 + 2 * 64)
    assert min(first.seconds, first.copy_seconds, second.seconds, second.copy_seconds) > 0


def test_bandwidth_of_a_network(harness: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(section, "TIMED", ((np.float16, 2),))
    monkeypatch.setattr(section, "BUSY", 0)  # shapes this small keep no memory busy
    *rows, relu, fir = bandwidth_checks(harness, "tiny", TINY)
    assert len(rows) == 3 + 2 + 2 and all(isinstance(row, Row) for row in rows)
    assert isinstance(relu, Check) and relu.what == "FusedLeakyReLU, bandwidth, tiny model, float16, batch 2"
    assert isinstance(fir, Check) and "of a copy of as many bytes" in fir.result


@pytest.mark.parametrize(("share", "passed"), [(0.81, True), (0.79, False)])
def test_the_goal_of_bandwidth(share: float, passed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """One call of all misses it: the op fails."""

    def timings(program: Path, calls: list[Call]) -> list[Timing]:
        good = Timing(1e-3, 0.9e-3, 10**9)
        return [good] * (len(calls) - 1) + [Timing(1e-3, share * 1e-3, 10**9)]

    monkeypatch.setattr(section, "time_calls", timings)
    monkeypatch.setattr(section, "TIMED", ((np.float32, 64),))
    *rows, relu, fir = bandwidth_checks(Path(), "tiny", TINY)
    assert isinstance(relu, Check) and relu.passed
    assert isinstance(fir, Check) and fir.passed is passed
    last = rows[-1]
    assert isinstance(last, Row) and last.cells["at least 80%"] == ("passed" if passed else "**failed**")
    assert last.cells["GB/s"] == "1000" and last.cells["of the copy"] == f"{share:.0%}"


@pytest.mark.parametrize(("copy_seconds", "checked"), [(1.9e-6, True), (2.1e-6, False)])
def test_bandwidth_is_checked_where_memory_is_the_limit(copy_seconds, checked, monkeypatch) -> None:
    """Half of what the quickest copy moves: of less, an op is not too slow but its tensors too small."""

    def timings(program: Path, calls: list[Call]) -> list[Timing]:
        return [Timing(1e-3, 1e-3, 10**9)] + [Timing(1, copy_seconds, 10**6)] * (len(calls) - 1)

    monkeypatch.setattr(section, "time_calls", timings)
    monkeypatch.setattr(section, "TIMED", ((np.float32, 64),))
    *rows, relu, fir = bandwidth_checks(Path(), "tiny", TINY)
    assert isinstance(relu, Check) and relu.passed is not checked
    assert isinstance(fir, Check) and fir.passed is (False if checked else None)
    last = rows[-1]
    assert isinstance(last, Row) and last.cells["at least 80%"] == ("**failed**" if checked else "too small")


def test_the_program_compiles_for_hopper(tmp_path: Path) -> None:
    """The timing with CUDA's events included; nothing here runs it."""
    nvcc = find_nvcc()
    if nvcc is None:
        pytest.skip("no nvcc")
    compile_for_gpu(ROOT, tmp_path / "kernels", nvcc, HEADERS, "sm_90")
    assert (tmp_path / "kernels").stat().st_size > 0


SANITIZERS = {
    "clean": 'shift 6; exec "$@"',
    "error": "echo '========= Invalid __global__ read of size 4 bytes' > $6; exit 9",
    "refuses": "echo '========= Device not supported' >&2; exit 1",
    "silent": "exit 0",
    "slow": "exec sleep 60",
}


@pytest.mark.parametrize("kind", SANITIZERS)
@pytest.mark.parametrize("tool", TOOLS[:1])
def test_what_a_sanitizer_says(kind: str, tool: str, harness: Path, tmp_path: Path) -> None:
    sanitizer = tmp_path / "compute-sanitizer"
    # its arguments: --tool T --error-exitcode 9 --log-file F PROGRAM
    sanitizer.write_text(f"#!/bin/sh\n{SANITIZERS[kind]}\n")
    sanitizer.chmod(0o755)
    some = random_cases("UpFirDn2d", np.float32, 2, 1)

    def result() -> str | None:
        return sanitize(harness, str(sanitizer), tool, "cuda", some, 0.5 if kind == "slow" else 30)

    if kind == "clean":
        assert result() is None
    elif kind == "error":
        assert result() == "Invalid __global__ read of size 4 bytes"
    else:
        words = {"refuses": "ended with 1: .*Device not supp", "slow": "stopped", "silent": "ended with 0"}
        with pytest.raises(FingerGenError, match=words[kind]):
            result()


def test_a_program_that_breaks_off(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'an illegal memory access was encountered' >&2\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(FingerGenError, match=r"cuda: .* ended with 3: an illegal memory access"):
        list(compare_kernels(broken, "cuda"))
    with pytest.raises(FingerGenError, match=r"timing of the kernels: .* ended with 3: an illegal"):
        time_calls(broken, [Call.fused_leaky_relu(np.float32, (1, 1, 1, 1))])


def test_wrong_kernels_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One value of one case is wrong in its last digits."""

    def nearly(program: Path, op: str, way: str, some: list[harness_program.Case]) -> list[np.ndarray]:
        results = [case.expected.copy() for case in some]
        results[-2].flat[-1] += 0.05 if op == "UpFirDn2d" else 0
        return results

    monkeypatch.setattr(section, "run_cases", nearly)
    checks = {check.what: check.passed for check in compare_kernels(tmp_path, "cuda")}
    assert checks == {
        "FusedLeakyReLU, cuda, float32": True,
        "FusedLeakyReLU, cuda, float16": True,
        "UpFirDn2d, cuda, float32": False,
        "UpFirDn2d, cuda, float16": False,
        "RidgeGrowth, cuda, float32": True,
    }
