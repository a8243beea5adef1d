"""Ridge growth as a graph: the packaged file is what is built, and means the same without our kernels."""

import numpy as np
import pytest

from fingergen import cpp_ops
from fingergen.cpp_ops import reference
from fingergen.export.onnx_graphs.fingers import growth_model, interpolation
from fingergen.runtime.backends.ort.library import onnxruntime as ort
from fingergen.runtime.fingers.identity.growth import GRAPH, RADIUS, ROUNDS, grow


def session(model: bytes, kernels: bool) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    if kernels:
        options.register_custom_ops_library(str(cpp_ops.library("onnxruntime")))
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def fields(height: int, width: int) -> list[np.ndarray]:
    y, x = np.mgrid[:height, :width] / 20.0
    noise = np.random.default_rng(5).standard_normal((height, width))
    return [field.astype(np.float32) for field in (noise, np.sin(x) + np.cos(y), 4.5 + 0.5 * np.sin(x + y))]


def expected(noise: np.ndarray, orientation: np.ndarray, period: np.ndarray) -> np.ndarray:
    """By the references of the two ops."""
    ridges = reference.ridge_growth(
        *(field[None, None].astype(np.float64) for field in (noise, orientation, period)), ROUNDS, RADIUS
    )
    return np.tanh(2.0 * reference.upfirdn2d(ridges, interpolation(), up=2, pad=[12, 11, 12, 11]))[0, 0]


def test_the_packaged_graph_is_what_is_built():
    assert growth_model().SerializeToString(deterministic=True) == GRAPH.read_bytes(), (
        "run: python -m fingergen.export.onnx_graphs.fingers"
    )


def test_growth_equals_the_references():
    given = fields(40, 52)
    ridges = grow(*given)
    assert ridges.shape == (80, 104) and ridges.dtype == np.float32
    np.testing.assert_allclose(ridges, expected(*given), atol=5e-3)


@pytest.mark.slow
def test_the_function_means_the_same_as_the_kernels():
    """A plain ONNX Runtime runs standard operators; 2e-3 is what the kernels' 16-bit weights cost."""
    given = fields(64, 50)
    inputs = {
        name: field[None, None] for name, field in zip(("noise", "orientation", "period"), given, strict=True)
    }
    (plain,) = session(GRAPH.read_bytes(), kernels=False).run(None, inputs)
    np.testing.assert_allclose(plain[0, 0], expected(*given), atol=1e-4)
    np.testing.assert_allclose(plain[0, 0], grow(*given), atol=5e-3)


def test_interpolation_puts_two_by_two_samples_where_one_was():
    """A wave keeps its amplitude and lies a quarter of a coarse sample to either side."""
    place = np.arange(64.0)
    wave = np.cos(2 * np.pi * place / 4.0)[None, None, None] * np.ones((1, 1, 64, 1))
    fine = reference.upfirdn2d(wave, interpolation(), up=2, pad=[12, 11, 12, 11])[0, 0, 32]
    between = (np.arange(128) - 0.5) / 2.0
    inner = slice(16, -16)
    np.testing.assert_allclose(fine[inner], np.cos(2 * np.pi * between / 4.0)[inner], atol=6e-3)
