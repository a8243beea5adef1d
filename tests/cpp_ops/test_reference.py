"""The NumPy twins against independent implementations (SciPy, plain loops)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import convolve2d

from fingergen import cpp_ops
from fingergen.cpp_ops.reference import fused_leaky_relu, ridge_growth, upfirdn2d


def test_fused_leaky_relu_is_the_formula():
    x = np.array([[[-2.0, 3.0], [0.5, -0.5]]], dtype=np.float32)  # (1, 2, 2)
    bias = np.array([1.0, -1.0], dtype=np.float32)
    expected = np.sqrt(2) * np.array([[[-0.2, 4.0], [-0.1, -0.3]]])
    np.testing.assert_allclose(fused_leaky_relu(x, bias), expected, rtol=1e-6)
    np.testing.assert_allclose(fused_leaky_relu(x, bias, negative_slope=1.0, scale=1.0)[0, 0], [-1, 4])
    assert fused_leaky_relu(x.astype(np.float16), bias).dtype == np.float16


@settings(max_examples=60, deadline=None)
@given(
    up=st.integers(1, 4),
    down=st.integers(1, 4),
    pad=st.tuples(*[st.integers(-3, 5)] * 4),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    taps=st.tuples(st.integers(1, 5), st.integers(1, 5)),
)
def test_upfirdn2d_against_scipy(up, down, pad, size, taps):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, *size))
    kernel = rng.standard_normal(taps)
    x0, x1, y0, y1 = pad
    height, width = size[0] * up + y0 + y1, size[1] * up + x0 + x1
    if height < taps[0] or width < taps[1]:
        with pytest.raises(ValueError, match="too small"):
            upfirdn2d(x, kernel, up, down, pad)
        return
    result = upfirdn2d(x, kernel, up, down, pad)
    for image, plane in zip(x.reshape(-1, *size), result.reshape(-1, *result.shape[2:]), strict=True):
        padded = np.zeros((height, width))
        for i in range(size[0]):
            for j in range(size[1]):
                if 0 <= i * up + y0 < height and 0 <= j * up + x0 < width:
                    padded[i * up + y0, j * up + x0] = image[i, j]
        np.testing.assert_allclose(plane, convolve2d(padded, kernel, "valid")[::down, ::down], atol=1e-12)


def test_upfirdn2d_empty_batch_and_bad_arguments():
    kernel = np.ones((2, 2), np.float32)
    assert upfirdn2d(np.zeros((0, 3, 4, 5), np.float32), kernel, up=2).shape == (0, 3, 7, 9)
    with pytest.raises(ValueError, match="up >= 1"):
        upfirdn2d(np.zeros((1, 1, 4, 4)), kernel, up=0)
    with pytest.raises(ValueError, match="kernel"):
        upfirdn2d(np.zeros((4, 4)), kernel)
    with pytest.raises(ValueError, match="bias"):
        fused_leaky_relu(np.zeros((1, 3, 2)), np.zeros(2))


def test_library_names_a_file_or_says_what_to_do():
    for name in cpp_ops.LIBRARIES:
        found = cpp_ops.status(name)
        if found.path is not None:
            assert cpp_ops.library(name) == found.path
        else:
            with pytest.raises(cpp_ops.LibraryNotBuilt, match=f"{name}.*not built: .+; .+"):
                cpp_ops.library(name)
    with pytest.raises(ValueError, match="openvino"):
        cpp_ops.library("openvino")


def test_ridge_growth_against_plain_loops():
    """One round at one place, written out: the wave of its own period is answered by itself."""
    rng = np.random.default_rng(0)
    noise, radius, place = rng.standard_normal((1, 1, 12, 15)), 4, (6, 9)
    orientation, period = rng.uniform(-3, 3, noise.shape), rng.uniform(3, 5, noise.shape)
    theta, p = orientation[0, 0][place], period[0, 0][place]
    # How the field turns in a sample to the right and up: axes, so angles count double.
    doubled = np.exp(2j * orientation[0, 0])
    (y, x), turns = place, lambda after, before: np.angle(after / before) / 4
    right, up = turns(doubled[y, x + 1], doubled[y, x - 1]), turns(doubled[y - 1, x], doubled[y + 1, x])
    bend = p * (right * np.cos(theta) + up * np.sin(theta))
    assert 0.3 < abs(bend) < 1  # neither straight nor as bent as it may be
    weights = {}
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            if np.hypot(dx, dy) <= radius + 0.5:
                # Across and along the ridge: turn (dx, -dy), which has y up, by -theta.
                turned = complex(dx, -dy) * np.exp(-1j * theta)
                across = turned.imag - bend * turned.real**2 / (2 * p)
                size = (across / (0.45 * p)) ** 2 + (turned.real / (0.55 * p)) ** 2
                weights[dx, dy] = np.exp(-size / 2), np.cos(2 * np.pi * across / p)
    envelope, wave = np.array(list(weights.values())).T
    kernel = envelope * (wave - np.average(wave, weights=envelope))
    kernel /= kernel @ wave
    samples = [noise[0, 0, place[0] + dy, place[1] + dx] for dx, dy in weights]
    (once,) = ridge_growth(noise, orientation, period, rounds=0, radius=radius)[:, 0]
    assert once[place] == pytest.approx(kernel @ samples)
    again = ridge_growth(np.tanh(2 * once)[None, None], orientation, period, rounds=0, radius=radius)
    np.testing.assert_allclose(ridge_growth(noise, orientation, period, 1, radius), again, rtol=1e-12)


def test_ridge_growth_keeps_its_own_wave():
    """Along straight fields a wave passes each filter unchanged, and a flat image vanishes."""
    shape, theta, period = (1, 1, 40, 40), 0.4, 4.4
    y, x = np.mgrid[:40, :40].astype(np.float64)
    wave = np.cos(2 * np.pi * (x * np.sin(theta) + y * np.cos(theta)) / period).reshape(shape)
    fields = np.full(shape, theta), np.full(shape, period)
    inner = np.s_[..., 6:-6, 6:-6]
    np.testing.assert_allclose(ridge_growth(wave, *fields, rounds=0)[inner], wave[inner], atol=1e-3)
    np.testing.assert_allclose(ridge_growth(np.ones(shape), *fields, rounds=0), 0, atol=1e-12)


@pytest.mark.parametrize("middle", [(20.5, 20.5), (-3.0, 18.0)])
def test_ridge_growth_keeps_rings(middle: tuple[float, float]) -> None:
    """Rings pass a filter as they are, straight kernels would fade those of a few periods."""
    y, x = np.mgrid[:40, :40].astype(np.float64)
    x0, y0 = middle
    period, distance = 4.4, np.hypot(x - x0, y - y0)
    rings = np.cos(2 * np.pi * distance / period)[None, None]
    orientation = np.arctan2(-(y - y0), x - x0)[None, None] + np.pi / 2
    kept = ridge_growth(rings, orientation, np.full_like(rings, period), rounds=0)
    bent = (period / distance > 0.3) & (period / distance < 0.5)
    bent[:6] = bent[-6:] = bent[:, :6] = bent[:, -6:] = False
    assert bent.sum() > 20
    np.testing.assert_allclose(kept[0, 0][bent], rings[0, 0][bent], atol=0.05)


@pytest.mark.parametrize("shape", [(1, 2, 9, 9), (9, 9), (1, 1, 6, 9)])
def test_ridge_growth_refuses_wrong_shapes(shape):
    with pytest.raises(ValueError, match=r"noise|three"):
        ridge_growth(*np.zeros((3, *shape)), radius=6)
