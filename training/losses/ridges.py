"""Do ridges run where the ridge map says, whatever their contrast, brightness and pressure?"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .squares import sums_along

WINDOW_INCHES = 0.036  # side of the square that a correlation is taken over: about two ridges
PER_WINDOW = 4  # squares begin every quarter of their side: a closer grid says no more
LEAST_VARIANCE = 1e-3  # of images and ridge maps in [-1, 1]; below, there is nothing to correlate
AROUND_INCHES = 0.06  # side of the square whose mean is what a rim stands out from: about three ridges
RIM = 0.003, 0.5  # contact where ridges fade out; less is too little for 8 bits
WHOLE = 0.99  # least mean contact of a square that counts: at the edge of contact, prints fade


def ridge_loss(images: Tensor, reals: Tensor, ridges: Tensor, contact: Tensor, ppi: float) -> Tensor:
    """How much less an image shows of its ridge map than the real impression does; its mean over the contact.

    Dry or uneven skin breaks ridges: an image that shows them as clearly as the map does is no better.

    Args:
        images: (N, C, R, R) in [-1, 1], ridges dark.
        reals: (N, C, R, R), the real impressions of the same ridge maps.
        ridges: (N, 1, R, R), ridge maps: -1 in a valley, 1 on a ridge.
        contact: (N, 1, R, R), masks of contact in [0, 1].
        ppi: Pixels per inch.

    Returns:
        Scalar: what local correlations with the map lack, 0 to 2.
    """
    dark = _moments(-ridges, ppi)
    with torch.no_grad():
        reached = _correlation(reals, dark, ppi)
        counted = (_window_means(contact, ppi) > WHOLE).float()
    lacking = (reached - _correlation(images, dark, ppi)).clamp(min=0)
    return (lacking * counted).sum() / counted.sum().clamp(min=1.0)


def rim_loss(images: Tensor, reals: Tensor, contact: Tensor, ppi: float) -> Tensor:
    """How differently ridges fade out beyond the edge of contact; its mean over the images.

    The differences are a few gray levels, but extractors such as MINDTCT take the ends of ridges that break
    off for minutiae.

    Args:
        images: (N, C, R, R) in [-1, 1].
        reals: (N, C, R, R), the real impressions of the same fingers.
        contact: (N, 1, R, R), masks of contact in [0, 1].
        ppi: Pixels per inch.

    Returns:
        Scalar, the L1 distance of what stands out from its surroundings.
    """
    difference = (images - reals).mean(dim=1, keepdim=True)
    side = 2 * round(AROUND_INCHES * ppi / 2) + 1
    band = difference - _box(difference, side, 1)
    return (band.abs() * ((contact > RIM[0]) & (contact < RIM[1]))).mean()


class _Moments(NamedTuple):
    """Values (N, 1, R, R), and their means and deviations over windows, (N, 1, H, W)."""

    values: Tensor
    mean: Tensor
    deviation: Tensor


def _moments(values: Tensor, ppi: float) -> _Moments:
    mean = _window_means(values, ppi)
    variance = _window_means(values.square(), ppi) - mean.square()
    return _Moments(values, mean, (variance.clamp(min=0) + LEAST_VARIANCE).sqrt())


def _correlation(images: Tensor, dark: _Moments, ppi: float) -> Tensor:
    """Local correlations of images and negated ridge maps, (N, 1, H, W)."""
    gray = _moments(images.mean(dim=1, keepdim=True), ppi)
    covariance = _window_means(gray.values * dark.values, ppi) - gray.mean * dark.mean
    return covariance / (gray.deviation * dark.deviation)


def _window_means(x: Tensor, ppi: float) -> Tensor:
    """Means of (N, 1, R, R) over windows: (N, 1, H, W)."""
    window = 2 * round(WINDOW_INCHES * ppi / 2) + 1
    return _box(x, window, max(1, window // PER_WINDOW))


def _box(x: Tensor, side: int, stride: int) -> Tensor:
    """Means of (N, 1, R, R) over squares of an odd side, one every `stride` pixels."""
    rows = sums_along(F.pad(x, [side // 2] * 4, mode="reflect"), side, 2)[:, :, ::stride]
    return sums_along(rows, side, 3)[..., ::stride] / side**2
