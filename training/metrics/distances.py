"""How far two sets of feature vectors are apart, written from the definitions."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

Features = NDArray[np.float64]  # (N, F), a row a sample

SUBSETS = 100  # that the kernel distance is averaged over
SUBSET_SIZE = 1000


@dataclass(frozen=True, eq=False)
class Gaussian:
    """A normal distribution: mean (F,) and covariance (F, F)."""

    mean: Features
    covariance: Features

    @classmethod
    def of(cls, features: Features) -> "Gaussian":
        """The one with the mean and the (unbiased) covariance of the samples, two or more."""
        return cls(features.mean(axis=0), np.atleast_2d(np.cov(features, rowvar=False)))


def frechet_distance(one: Gaussian, other: Gaussian) -> float:
    """Squared Fréchet distance, "FID": |μ₁ - μ₂|² + Tr(Σ₁ + Σ₂ - 2 (Σ₁Σ₂)^½) (Heusel et al., 2017).

    Of n samples it is too large by about 1 / n: compare only figures of equal numbers of images.
    """
    # Σ₁Σ₂ has the eigenvalues of Σ₁^½ Σ₂ Σ₁^½, which is symmetric: real roots, singular or not.
    values, vectors = np.linalg.eigh(one.covariance)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    together = np.linalg.eigvalsh(root @ other.covariance @ root)
    traces = np.trace(one.covariance) + np.trace(other.covariance)
    shift = np.square(one.mean - other.mean).sum()
    return float(shift + traces - 2 * np.sqrt(together.clip(0)).sum())


def kernel_distance(one: Features, other: Features, seed: int = 0) -> float:
    """Squared maximum mean discrepancy, "KID", with the kernel (x·y / F + 1)³ (Bińkowski et al., 2018).

    Unbiased, so that it may be negative, if no sample occurs twice: the mean over `SUBSETS` random subsets of
    `SUBSET_SIZE` samples each, or of as many as the smaller set has, drawn without replacement.

    Args:
        one: features (N, F) of one set, N at least 2.
        other: features (M, F) of the other, M at least 2.
        seed: of the choice of subsets.

    Returns:
        The distance; 0 on average for two sets of one distribution.
    """
    size = min(len(one), len(other), SUBSET_SIZE)
    if size == len(one) == len(other):
        return _discrepancy(one, other)
    rng = np.random.default_rng(seed)
    parts = ([rng.choice(each, size, replace=False) for each in (one, other)] for _ in range(SUBSETS))
    return float(np.mean([_discrepancy(*part) for part in parts]))


def _discrepancy(one: Features, other: Features) -> float:
    within = sum(
        (kernel.sum() - np.trace(kernel)) / (len(kernel) * (len(kernel) - 1))
        for kernel in (_kernel(one, one), _kernel(other, other))
    )
    return float(within - 2 * _kernel(one, other).mean())


def _kernel(one: Features, other: Features) -> Features:
    return (one @ other.T / one.shape[1] + 1) ** 3


def diversity(features: Features) -> float:
    """Mean distance between two samples, of the first `SUBSET_SIZE`; 0 where all are alike."""
    return float(pdist(features[:SUBSET_SIZE]).mean())
