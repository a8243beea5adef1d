"""Ridge noise: which layer takes what, and that NumPy and PyTorch make the same images of it."""

import numpy as np
import pytest
import torch

from fingergen.runtime.bundle.ridge_noise import NoiseLayer, noise_images, of_white, ridge_noise_layers


def sizes(resolution: int) -> list[int]:
    return [4] + [1 << exponent for exponent in range(3, resolution.bit_length()) for _ in range(2)]


@pytest.fixture
def finger() -> tuple[np.ndarray, np.ndarray]:
    """Ridge maps and masks of contact (2, 1, 32, 32)."""
    rng = np.random.default_rng(0)
    contact = rng.random((2, 1, 32, 32), np.float32)
    return (2 * rng.random((2, 1, 32, 32), np.float32) - 1) * contact, contact


def white(resolution: int, images: int) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.standard_normal((images, 1, size, size), np.float32) for size in sizes(resolution)]


@pytest.mark.parametrize(
    ("resolution", "ppi", "ridges"),
    [(256, 250.0, [128, 256]), (128, 250.0, [64, 128]), (512, 500.0, [128, 256]), (64, 250.0, [32, 64])],
)
def test_the_finest_layers_take_the_ridge_map(resolution: int, ppi: float, ridges: list[int]):
    layers = ridge_noise_layers(resolution, ppi)
    taken = [(layer.source, size) for layer, size in zip(layers, sizes(resolution), strict=True)]
    assert taken[0] == ("white", 4)
    assert all(source == "white" for source, _ in taken[2::2])
    assert [size for source, size in taken[1::2] if source == "ridges"] == ridges
    assert [size for source, size in taken[1::2] if source == "contact"] == [
        1 << exponent for exponent in range(3, resolution.bit_length()) if 1 << exponent < ridges[0]
    ]


def test_noise_images_are_averages_times_gain(finger: tuple[np.ndarray, np.ndarray]):
    ridges, contact = finger
    layers = [NoiseLayer("white"), NoiseLayer("contact", 1.5), NoiseLayer("white"), NoiseLayer("ridges", 2.0)]
    layers += [NoiseLayer("white"), NoiseLayer("ridges", 1.0), NoiseLayer("white")]
    drawn = white(32, 2)
    made = noise_images(layers, ridges, contact, drawn[::2])
    assert [image.shape for image in made] == [image.shape for image in drawn]
    for number in (0, 2, 4, 6):
        assert made[number] is drawn[number]
    np.testing.assert_allclose(
        made[1][1, 0, 2, 3], 1.5 * (2 * contact[1, 0, 8:12, 12:16].mean() - 1), rtol=1e-5
    )
    np.testing.assert_allclose(made[3][0, 0, 5, 7], 2.0 * ridges[0, 0, 10:12, 14:16].mean(), rtol=1e-5)
    np.testing.assert_array_equal(made[5], ridges)


def test_training_and_runtime_make_the_same_noise(finger: tuple[np.ndarray, np.ndarray]):
    layers = ridge_noise_layers(32, 250.0)
    drawn = of_white(layers, white(32, 2))
    expected = noise_images(layers, *finger, drawn)
    tensors = [torch.from_numpy(image) for image in drawn]
    made = noise_images(layers, *map(torch.from_numpy, finger), tensors)
    for one, other in zip(made, expected, strict=True):
        np.testing.assert_allclose(one.numpy(), other, atol=1e-6)
