"""The kernels alone, under AddressSanitizer and UBSan: the CPU's, and CUDA's with a loop for the threads.

That checks the CUDA kernels' arithmetic and bounds on any machine; whether a GPU agrees, only a GPU can tell.
"""

import itertools
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from fingergen.cpp_ops.reference import fused_leaky_relu, upfirdn2d
from numpy.typing import NDArray

HARNESS = Path(__file__).parent / "cpp_ops_harness"
ROOT = Path(__file__).parent.parent
OPS = ROOT / "cpp_ops"
TENSORRT = (
    ROOT / "build" / "cpp_ops" / "headers" / "tensorrt"
)  # where a build in the source tree fetches them to

if shutil.which("g++") is None:
    pytest.skip("no g++ to build the kernels with", allow_module_level=True)

Case = tuple[list[int], NDArray, NDArray, NDArray]  # header, x, parameter, expected result


WAYS = {"cpu": 0, "cuda": 1, "plugin": 2}


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("harness") / "harness"
    sources = [
        OPS / op / f"{op}.{kind}" for op in ("fused_leaky_relu", "upfirdn2d") for kind in ("cpp", "cu")
    ]
    command = [
        "g++",
        "-std=c++17",
        "-O1",
        "-Wall",
        "-Wextra",
        "-Wno-unknown-pragmas",
        "-Wno-psabi",
        "-Werror",
    ]
    command += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    command += [f"-I{HARNESS / 'cuda_on_cpu'}", f"-I{OPS}"]
    if TENSORRT.is_dir():
        command += ["-DFINGERGEN_PLUGINS", "-isystem", str(TENSORRT)]
        sources.append(OPS / "tensorrt" / "plugins.cpp")
    command += ["-x", "c++", *map(str, sources), str(HARNESS / "main.cpp"), "-o", str(program)]
    subprocess.run(command, check=True)
    return program


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> int:
    if request.param == "plugin" and not TENSORRT.is_dir():
        pytest.skip("no TensorRT headers: none were fetched by a build in this source tree")
    return WAYS[request.param]


def check(harness: Path, cases: list[Case]) -> None:
    sent = b"".join(
        np.array(header, np.int64).tobytes() + x.tobytes() + parameter.tobytes()
        for header, x, parameter, _ in cases
    )
    done = subprocess.run([harness], input=sent, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    answer = memoryview(done.stdout)
    for header, _, _, expected in cases:
        result = np.frombuffer(answer[: expected.nbytes], expected.dtype).reshape(expected.shape)
        answer = answer[expected.nbytes :]
        resolution = 4e-6 if expected.dtype == np.float32 else 1e-3
        np.testing.assert_allclose(
            result, expected, rtol=resolution, atol=10 * resolution, err_msg=str(header)
        )
    assert not answer


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_fused_leaky_relu(harness: Path, dtype: type, way: int) -> None:
    rng = np.random.default_rng(0)
    cases: list[Case] = []
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
        header = [0, dtype == np.float16, way, *shape, *[0] * 8]
        cases.append((header, x, bias, fused_leaky_relu(x, bias)))
    check(harness, cases)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_upfirdn2d(harness: Path, dtype: type, way: int) -> None:
    rng = np.random.default_rng(1)
    cases: list[Case] = []
    for up, down in itertools.product(range(1, 5), repeat=2):
        for taps in [(4, 4), (4, 4), (4, 4), (1, 1), (3, 5), (6, 2)]:
            shape = (*rng.integers(1, 4, 2), *rng.integers(1, 24, 2))
            pad = [int(p) for p in rng.integers(-4, 7, 4)]
            x, kernel = rng.standard_normal(shape).astype(dtype), rng.standard_normal(taps).astype(dtype)
            try:
                expected = upfirdn2d(x, kernel, up, down, pad)
            except ValueError:
                continue  # nothing left to filter
            header = [1, dtype == np.float16, way, *map(int, shape), *taps, up, down, *pad]
            cases.append((header, x, kernel, expected))
    assert len(cases) > 60
    check(harness, cases)
