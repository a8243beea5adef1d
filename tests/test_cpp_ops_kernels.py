"""The kernels alone, under AddressSanitizer and UBSan: the CPU's, and CUDA's with a loop for the threads.

That checks the CUDA kernels' arithmetic and bounds on any machine; whether a GPU agrees, only a GPU can tell.
"""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from fingergen.benchmarks.gpu_checks import compare_kernels
from fingergen.benchmarks.kernels import OPS, WAYS, cases, run_cases, sources

ROOT = Path(__file__).parent.parent
HARNESS = ROOT / "tests" / "cpp_ops_harness"
TENSORRT = ROOT / "build" / "cpp_ops" / "headers" / "tensorrt"  # where a build in the source tree puts them

if shutil.which("g++") is None:
    pytest.skip("no g++ to build the kernels with", allow_module_level=True)


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("harness") / "harness"
    command = ["g++", "-std=c++17", "-O1"]
    command += ["-Wall", "-Wextra", "-Wno-unknown-pragmas", "-Wno-psabi", "-Werror"]
    command += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    command += [f"-I{HARNESS / 'cuda_on_cpu'}", f"-I{ROOT / 'cpp_ops'}"]
    if TENSORRT.is_dir():
        command += ["-DFINGERGEN_PLUGINS", "-isystem", str(TENSORRT)]
    command += ["-x", "c++", *map(str, sources(ROOT, plugins=TENSORRT.is_dir())), "-o", str(program)]
    subprocess.run(command, check=True)
    return program


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("op", OPS)
def test_kernels_equal_the_references(harness: Path, op: str, dtype: type[np.floating], way: str) -> None:
    if way == "plugin" and not TENSORRT.is_dir():
        pytest.skip("no TensorRT headers: none were fetched by a build in this source tree")
    some = cases(op, dtype)
    assert len(some) > (60 if op == "UpFirDn2d" else 5)
    for case, result in zip(some, run_cases(harness, op, way, some), strict=True):
        difference = np.abs(result.astype(np.float64) - case.expected)
        assert (difference <= case.tolerance).all(), case.sizes


def test_the_check_for_gpus_finds_them_equal(harness: Path) -> None:
    checks = list(compare_kernels(harness, "cuda"))
    assert len(checks) == 4 and all(check.passed for check in checks)
