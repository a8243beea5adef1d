"""Ridge growth: noise turned into ridges by repeated filtering along the orientation field.

Source of the idea: Cappelli, Erol, Maio and Maltoni, "Synthetic fingerprint-image generation", ICPR 2000.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

RADIUS = 6  # of the kernels, in pixels of the growth grid (250 ppi)
ROUNDS = 30


def grow(noise: Floats, orientation: Floats, period: Floats) -> Floats:
    """Ridges grown from noise, at twice its resolution.

    Args:
        noise: float32 (H, W) on the growth grid of 250 ppi, standard normal.
        orientation: float32 (H, W), radians counter-clockwise, modulo π.
        period: float32 (H, W), pixels of the growth grid, about 3.5 to 6.

    Returns:
        float32 (2H, 2W) in [-1, 1] at 500 ppi, -1 in a valley and 1 on a ridge.
    """
    center, pairs = _kernels(orientation, period)
    ridges = noise
    for _ in range(ROUNDS):
        ridges = np.tanh(_filter(2.0 * ridges, center, pairs))
    # Steeper: minutiae keep their contrast, where the filters leave the amplitude small.
    return np.tanh(2.0 * _upsample(_filter(ridges, center, pairs)))


def _upsample(ridges: Floats) -> Floats:
    """Twice the size by appending zeros to the spectrum."""
    height, width = ridges.shape
    spectrum = np.fft.rfft2(ridges)
    half = height // 2
    wide = np.zeros((2 * height, width + 1), spectrum.dtype)
    wide[:half, : width // 2] = spectrum[:half, : width // 2]
    wide[-half:, : width // 2] = spectrum[-half:, : width // 2]
    return (4.0 * np.fft.irfft2(wide, s=(2 * height, 2 * width))).astype(np.float32)


def _kernels(angle: Floats, period: Floats) -> tuple[Floats, list[tuple[int, int, Floats]]]:
    """Weights (H, W) of the middle and of each pair of opposite offsets (a Gabor kernel is even)."""
    along = (np.cos(angle), -np.sin(angle))  # unit vector of the ridge in pixels, y down
    k = np.float32(2 * np.pi) / period
    width, length = 0.45 * period, 0.55 * period
    offsets = [
        (dx, dy)
        for dy in range(RADIUS + 1)
        for dx in range(-RADIUS, RADIUS + 1)
        if (dy > 0 or dx > 0) and dx * dx + dy * dy <= (RADIUS + 0.5) ** 2
    ]
    envelopes, waves = [], []
    for dx, dy in offsets:
        b = dx * along[0] + dy * along[1]
        a = dy * along[0] - dx * along[1]
        envelopes.append(np.exp(-0.5 * ((a / width) ** 2 + (b / length) ** 2)))
        waves.append(np.cos(k * a))
    total, wave_total, square_total = (np.ones_like(angle) for _ in range(3))
    for e, w in zip(envelopes, waves, strict=True):
        total += 2.0 * e
        wave_total += 2.0 * e * w
        square_total += 2.0 * e * w * w
    mean = wave_total / total  # taken off, so that the kernel answers 0 to a flat image
    gain = square_total - mean * wave_total  # and 1 to a wave of its own period
    pairs = [
        (dx, dy, e * (w - mean) / gain) for (dx, dy), e, w in zip(offsets, envelopes, waves, strict=True)
    ]
    return (1.0 - mean) / gain, pairs


def _filter(image: Floats, center: Floats, pairs: list[tuple[int, int, Floats]]) -> Floats:
    height, width = image.shape
    padded = np.pad(image, RADIUS, mode="reflect")
    total = center * image
    for dx, dy, weight in pairs:
        one = padded[RADIUS + dy : RADIUS + dy + height, RADIUS + dx : RADIUS + dx + width]
        other = padded[RADIUS - dy : RADIUS - dy + height, RADIUS - dx : RADIUS - dx + width]
        total += weight * (one + other)
    return total
