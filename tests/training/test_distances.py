"""Distances between sets of features, against closed forms."""

import numpy as np
import pytest

from fingergen.training.metrics.distances import Gaussian, diversity, frechet_distance, kernel_distance


def test_frechet_distance_of_gaussians_that_commute():
    """For diagonal covariances a, b it is |μ₁ - μ₂|² + Σ (√a - √b)²; a rotation changes nothing."""
    rng = np.random.default_rng(0)
    a, b, shift = rng.uniform(0.1, 3, 5), rng.uniform(0.1, 3, 5), rng.normal(size=5)
    a[0] = 0  # singular
    turn, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    one = Gaussian(np.zeros(5), turn * a @ turn.T)
    other = Gaussian(turn @ shift, turn * b @ turn.T)
    expected = np.square(shift).sum() + np.square(np.sqrt(a) - np.sqrt(b)).sum()
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(other, one) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-6)


def test_frechet_distance_of_gaussians_that_do_not_commute():
    """Tr (Σ₁Σ₂)^½ of 2 x 2 matrices is √(Tr Σ₁Σ₂ + 2 √det Σ₁Σ₂)."""
    one = Gaussian(np.zeros(2), np.array([[2.0, 0.9], [0.9, 1.0]]))
    other = Gaussian(np.ones(2), np.array([[1.0, -0.7], [-0.7, 3.0]]))
    product = one.covariance @ other.covariance
    root = np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
    assert frechet_distance(one, other) == pytest.approx(2 + 3 + 4 - 2 * root)


def test_frechet_distance_of_samples_approaches_that_of_their_gaussians():
    rng = np.random.default_rng(1)
    one, other = rng.normal(0, 1, (20_000, 3)), rng.normal(0.5, 2, (20_000, 3))
    found = frechet_distance(Gaussian.of(one), Gaussian.of(other))
    assert found == pytest.approx(3 * (0.5**2 + 1), rel=0.03)
    assert frechet_distance(Gaussian.of(one), Gaussian.of(one[::-1])) == pytest.approx(0, abs=1e-6)


def test_kernel_distance_of_gaussians():
    """Of N(0, 1) and N(m, 1) in one dimension, from their moments: E k(x, y) with k = (xy + 1)³."""

    def expected_kernel(a: float, b: float) -> float:
        moments = [[1, m, 1 + m**2, m**3 + 3 * m] for m in (a, b)]
        return sum(factor * x * y for factor, x, y in zip((1, 3, 3, 1), *moments, strict=True))

    rng = np.random.default_rng(2)
    expected = expected_kernel(0, 0) + expected_kernel(0.7, 0.7) - 2 * expected_kernel(0, 0.7)
    found = [kernel_distance(rng.normal(0, 1, (300, 1)), rng.normal(0.7, 1, (300, 1))) for _ in range(100)]
    error = np.std(found) / np.sqrt(len(found))
    assert error < 0.1 * expected
    assert abs(np.mean(found) - expected) < 4 * error


def test_kernel_distance_of_many_samples_is_taken_from_subsets(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("fingergen.training.metrics.distances.SUBSET_SIZE", 200)
    rng = np.random.default_rng(2)
    one, other = rng.uniform(0, 1, (600, 2)), rng.uniform(0, 2, (500, 2))
    found = kernel_distance(one, other)
    assert found == kernel_distance(one, other)
    monkeypatch.undo()
    assert found == pytest.approx(kernel_distance(one[:500], other), rel=0.1)


def test_kernel_distance_is_unbiased_for_few_samples():
    """The mean over many small pairs of sets of one distribution is 0; a biased one would be above 1."""
    rng = np.random.default_rng(3)
    found = [kernel_distance(rng.normal(size=(5, 2)), rng.normal(size=(5, 2))) for _ in range(4000)]
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(len(found))
    assert np.mean(found) < 0.5


def test_diversity():
    assert diversity(np.zeros((5, 3))) == 0
    assert diversity(np.array([[0.0, 0], [3, 4], [0, 0]])) == pytest.approx(10 / 3)
