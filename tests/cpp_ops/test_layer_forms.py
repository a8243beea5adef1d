"""Whole layers in this processor's form and in the portable one, which no build here takes."""

import ctypes
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fingergen.cpp_ops import reference
from fingergen.runtime import images

OPS = Path(__file__).parents[2] / "cpp_ops"
HARNESS = Path(__file__).parent / "harness" / "layers.cpp"
FORMS = {"this processor's": [], "portable": ["-DFINGERGEN_PORTABLE"]}
LAYERS = ("modulation", "styled_conv", "to_levels", "to_rgb")
POINTER = ctypes.POINTER(ctypes.c_float)

pytestmark = pytest.mark.slow  # two builds


@pytest.fixture(scope="module", params=FORMS)
def layers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    library = tmp_path_factory.mktemp("forms") / "layers.so"
    sources = [HARNESS, *(source for layer in LAYERS for source in sorted((OPS / layer).glob("*.cpp")))]
    command = ["g++", "-std=c++17", "-O2", "-fno-trapping-math", "-Wno-psabi", "-shared", "-fPIC", f"-I{OPS}"]
    subprocess.run([*command, *FORMS[request.param], *map(str, sources), "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


def pointers(*arrays: NDArray | None) -> list[object]:
    return [None if each is None else each.ctypes.data_as(POINTER) for each in arrays]


def sizes(*values: int) -> ctypes.Array:
    return (ctypes.c_int64 * len(values))(*values)


def draw(seed: int, *shapes: Sequence[int]) -> list[NDArray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


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
def test_styled_conv(layers: ctypes.CDLL, size: tuple[int, int], outputs: int, inputs: int, up: bool) -> None:
    out = [2 * side if up else side for side in size]
    shapes = (2, inputs, *size), (2, inputs), (outputs, inputs, 3, 3), (1, 1, *out), (outputs,), (2, 1)
    x, style, weight, noise, bias, strength = draw(size[0], *shapes)
    style += 1
    taps = np.array([1, 3, 3, 1], np.float32) / 4 if up else None
    y = np.empty((2, outputs, *out), np.float32)
    arrays = pointers(x, style, weight, noise, bias, taps, strength, y)
    layers.styled_conv(sizes(2, outputs, inputs, *size, 1), *arrays)
    expected = reference.styled_conv(x, style, weight, noise, bias, taps, strength)
    assert np.abs(y - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize(("side", "channels", "inputs"), [(1, 1, 5), (13, 3, 7), (96, 1, 9)])
def test_to_rgb(layers: ctypes.CDLL, side: int, channels: int, inputs: int) -> None:
    shapes = (2, inputs, 2 * side, 2 * side), (2, inputs), (channels, inputs), (channels,)
    arrays = draw(side, *shapes, (2, channels, side, side), (4,), (2 * side,))
    y = np.empty((2, channels, 2 * side, 2 * side), np.float32)
    layers.to_rgb(sizes(2, channels, inputs, side), *pointers(*arrays, y))
    expected = reference.to_rgb(*arrays)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_to_levels(layers: ctypes.CDLL) -> None:
    halves = (np.arange(-3, 260) + 0.5) / 127.5 - 1
    around = np.concatenate([halves, np.nextafter(halves, 2), np.nextafter(halves, -2), [-np.inf, np.inf]])
    x = np.concatenate([around.astype(np.float32), *draw(0, (300_000,))])
    y = np.empty(len(x), np.uint8)
    layers.to_levels(ctypes.c_int64(len(x)), *pointers(x, y))
    np.testing.assert_array_equal(y, images.to_levels(x))


def test_modulation(layers: ctypes.CDLL) -> None:
    w, weight, bias = draw(0, (2, 3, 64), (64, 21), (21,))
    style = np.empty((2, 21), np.float32)
    layers.modulation(sizes(2, w[0].size, 64, 21), *pointers(w[:, 1], weight, bias, style))
    np.testing.assert_allclose(style, reference.modulation(w, 1, weight, bias), rtol=0, atol=1e-5)
