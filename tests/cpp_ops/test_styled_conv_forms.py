"""StyledConv and StyledUpConv in this processor's form and in the portable one, which no build here takes."""

import ctypes
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fingergen.cpp_ops.reference import styled_conv

OPS = Path(__file__).parents[2] / "cpp_ops"
HARNESS = Path(__file__).parent / "harness" / "styled_conv.cpp"
FORMS = {"this processor's": [], "portable": ["-DFINGERGEN_PORTABLE"]}
POINTER = ctypes.POINTER(ctypes.c_float)


@pytest.fixture(scope="module", params=FORMS)
def layer(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., np.ndarray]:
    library = tmp_path_factory.mktemp("forms") / "layer.so"
    sources = [HARNESS, *sorted((OPS / "styled_conv").glob("*.cpp"))]
    command = ["g++", "-std=c++17", "-O2", "-fno-trapping-math", "-Wno-psabi", "-shared", "-fPIC", f"-I{OPS}"]
    subprocess.run([*command, *FORMS[request.param], *map(str, sources), "-o", str(library)], check=True)
    run = ctypes.CDLL(str(library)).styled_conv

    def call(x, style, weight, noise, bias, taps=None) -> np.ndarray:
        n, inputs, height, width = x.shape
        up = 1 if taps is None else 2
        y = np.empty((n, len(weight), up * height, up * width), np.float32)
        sizes = (ctypes.c_int64 * 6)(n, len(weight), inputs, height, width, len(noise))
        arrays = [x, style, weight, noise, bias, taps, y]
        run(sizes, *(None if each is None else each.ctypes.data_as(POINTER) for each in arrays))
        return y

    return call


@pytest.mark.slow  # two builds
@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize(
    ("size", "outputs", "inputs"),
    [
        ((1, 1), 19, 5),
        ((4, 4), 19, 5),
        ((7, 13), 19, 5),
        ((33, 65), 19, 5),
        ((70, 9), 19, 5),
        ((21, 9), 403, 417),  # of so many weights only the taps are kept
    ],
)
def test_every_form_computes_the_definition(
    layer: Callable[..., np.ndarray], size: tuple[int, int], outputs: int, inputs: int, up: bool
) -> None:
    rng = np.random.default_rng(size[0])

    def draw(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    height, width = (2 * side if up else side for side in size)
    arrays = {
        "x": draw(2, inputs, *size),
        "style": draw(2, inputs) + 1,
        "weight": draw(outputs, inputs, 3, 3),
        "noise": draw(1, 1, height, width),
        "bias": draw(outputs),
        "taps": np.array([1, 3, 3, 1], np.float32) / 4 if up else None,
    }
    expected = styled_conv(**arrays)
    assert np.abs(layer(**arrays) - expected).max() < 1e-4 * np.abs(expected).max()
