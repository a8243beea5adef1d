"""Ridge growth: noise turned into ridges by repeated filtering along the orientation field.

Every pixel has its own Gabor kernel (orientation and period of that place), held as one weight image for
each kernel offset: no filter bank, so no seams between its bins.
Source of the idea: Cappelli, Erol, Maio and Maltoni, "Synthetic fingerprint-image generation", ICPR 2000.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

RADIUS = 6  # of the kernels, in pixels of the growth grid (250 ppi)


def grow(noise: Tensor, angle: Tensor, period: Tensor, rounds: int = 30) -> Tensor:
    """Ridges in (-1, 1), positive on a ridge, float32 (N, H, W).

    `noise` float32 (N, H, W) is what they grow from; `angle` (N, H, W) the orientation in radians, y up;
    `period` (N, H, W) in pixels of this grid, about 3.5 to 6.
    """
    centre, pairs = _kernels(angle, period)
    ridges = noise
    for _ in range(rounds):
        ridges = torch.tanh(_filter(2.0 * ridges, centre, pairs))
    return _filter(ridges, centre, pairs)


def upsample(ridges: Tensor) -> Tensor:
    """Twice the size by appending zeros to the spectrum: (N, H, W) → (N, 2H, 2W), H and W even."""
    height, width = ridges.shape[-2:]
    spectrum = torch.fft.rfft2(ridges)
    half = height // 2
    wide = spectrum.new_zeros((*spectrum.shape[:-2], 2 * height, width + 1))
    wide[..., :half, : width // 2] = spectrum[..., :half, : width // 2]
    wide[..., -half:, : width // 2] = spectrum[..., -half:, : width // 2]
    return 4.0 * torch.fft.irfft2(wide, s=(2 * height, 2 * width))


def _kernels(angle: Tensor, period: Tensor) -> tuple[Tensor, list[tuple[int, int, Tensor]]]:
    """Weights (N, H, W) of the middle and of each pair of opposite offsets (a Gabor kernel is even)."""
    along = (torch.cos(angle), -torch.sin(angle))  # unit vector of the ridge in pixels, y down
    k = 2 * math.pi / period
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
        envelopes.append(torch.exp(-0.5 * ((a / width) ** 2 + (b / length) ** 2)))
        waves.append(torch.cos(k * a))
    total, wave_total, square_total = (torch.ones_like(angle) for _ in range(3))
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


def _filter(image: Tensor, centre: Tensor, pairs: list[tuple[int, int, Tensor]]) -> Tensor:
    height, width = image.shape[-2:]
    padded = F.pad(image[:, None], [RADIUS] * 4, mode="reflect")[:, 0]
    total = centre * image
    for dx, dy, weight in pairs:
        one = padded[:, RADIUS + dy : RADIUS + dy + height, RADIUS + dx : RADIUS + dx + width]
        other = padded[:, RADIUS - dy : RADIUS - dy + height, RADIUS - dx : RADIUS - dx + width]
        total.addcmul_(weight, one + other)
    return total
