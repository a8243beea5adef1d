"""Impressions: masters seen through skin and sensor, many at once, with the ground truth of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from fingergen.runtime.minutiae import Template

from .capture import OUTLINE, Capture, draw_capture, visible_truth
from .finger import FULL_PRINT, Finger


def impressions(
    fingers: Sequence[Finger],
    numbers: Sequence[int],
    window: tuple[int, int] = FULL_PRINT,
    device: torch.device | str = "cpu",
) -> tuple[Tensor, list[Template]]:
    """Impression `numbers[i]` of `fingers[i]`, with its ground truth.

    window: (width, height) in pixels at 500 ppi, that the fingers were made for. numbers: from 0, up to 2^32.
    Returns uint8 (N, H, W) on `device`, ridges dark on white, and a template an image. A finger and a
    number give the same impression in any batch.
    """
    captures = [draw_capture(f, n, window) for f, n in zip(fingers, numbers, strict=True)]
    masters = torch.from_numpy(np.stack([finger.ridges for finger in fingers])).to(device)
    with torch.inference_mode():
        images = _render(masters, captures, window)
    return images, [visible_truth(c, f, window) for c, f in zip(captures, fingers, strict=True)]


def _render(masters: Tensor, captures: list[Capture], window: tuple[int, int]) -> Tensor:
    device = masters.device

    def column(name: str, index: int) -> Tensor:  # [N, 1, 1]
        values = np.stack([getattr(capture, name)[..., index] for capture in captures])
        return torch.from_numpy(values).to(device)[:, None, None]

    x, y = _skin_points(captures, window, device)
    blotches, unevenness = (_smooth_noise(captures, level, window, device) for level in range(2))
    texture = _stack([capture.texture for capture in captures], device)
    roughness = _blur(_blur(texture, 1), 2) / 0.375  # 0.375: what the blur leaves of the deviation
    pressure, variation, dryness, blotchy, sharpness = (column("skin", i) for i in range(5))
    paper, ink_level, gamma, grain_level = (column("sensor", i) for i in range(4))

    height, width = masters.shape[1:]
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
    ridges = F.grid_sample(masters[:, None].float() / 127.5 - 1.0, grid, align_corners=False)[:, 0]

    contact = _contact_depth([column("contact", i) for i in range(6)], x, y, unevenness)
    border = torch.minimum(torch.minimum(x, width - 1 - x), torch.minimum(y, height - 1 - y))
    contact = torch.minimum(contact, border)
    relief = ridges + pressure + variation * unevenness + (0.12 + 0.7 * dryness) * roughness
    relief = relief + blotchy * blotches - 0.9 * torch.exp(-contact.clamp(min=0.0) / 9.0)
    relief = relief - 2.5 * _line_depth(captures, x, y)
    ink = torch.sigmoid(sharpness * relief) * torch.sigmoid(contact / 2.0)

    grain = _stack([capture.grain for capture in captures], device)
    grey = paper - (paper - ink_level) * ink * (1.0 + 0.08 * unevenness)
    grey = grey.clamp(min=0.0) ** gamma + grain_level * grain * (0.3 + ink)
    return (255.0 * grey.clamp(0.0, 1.0)).round().to(torch.uint8)


def _skin_points(
    captures: list[Capture], window: tuple[int, int], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Where in the master each window pixel looks: x, y [N, H, W]."""

    def column(values: list[float]) -> Tensor:  # [N, 1, 1]
        return torch.tensor(values, dtype=torch.float32, device=device)[:, None, None]

    px = torch.arange(window[0], dtype=torch.float32, device=device) - (window[0] - 1) / 2
    py = torch.arange(window[1], dtype=torch.float32, device=device) - (window[1] - 1) / 2
    u = px[None, None, :] - column([c.shift[0] for c in captures])
    v = py[None, :, None] - column([c.shift[1] for c in captures])
    cos = column([np.cos(c.rotation) for c in captures])
    sin = column([np.sin(c.rotation) for c in captures])
    qx, qy = cos * u - sin * v, sin * u + cos * v
    x = qx + column([c.middle[0] for c in captures])
    y = qy + column([c.middle[1] for c in captures])
    for k in range(captures[0].waves.shape[0]):
        kx, ky, phase, ax, ay = (column([c.waves[k, i] for c in captures]) for i in range(5))
        wave = torch.sin(kx * qx + ky * qy + phase)
        x, y = x + ax * wave, y + ay * wave
    return x, y


def _smooth_noise(
    captures: list[Capture], level: int, window: tuple[int, int], device: torch.device
) -> Tensor:
    cells = _stack([capture.fields[level] for capture in captures], device)[:, None]
    return F.interpolate(cells, size=window[::-1], mode="bicubic", align_corners=True)[:, 0]


def _blur(image: Tensor, dim: int) -> Tensor:
    """The binomial filter [1, 2, 1] / 4 along `dim`, two samples shorter."""
    size = image.shape[dim] - 2
    return (image.narrow(dim, 0, size) + image.narrow(dim, 2, size)) / 4 + image.narrow(dim, 1, size) / 2


def _stack(arrays: list[NDArray[np.float32]], device: torch.device) -> Tensor:
    return torch.from_numpy(np.stack(arrays)).to(device)


def _contact_depth(contact: list[Tensor], x: Tensor, y: Tensor, wobble: Tensor) -> Tensor:
    """Rough distance in pixels to the edge of contact, positive inside [N, H, W]."""
    cx, cy, wide, above, below, rough = contact
    dy = y - cy
    tall = torch.where(dy < 0, above, below)
    radius = (((x - cx) / wide).abs() ** OUTLINE + (dy / tall).abs() ** OUTLINE) ** (1 / OUTLINE)
    return (1.0 - radius) * wide + rough * wobble


def _line_depth(captures: list[Capture], x: Tensor, y: Tensor) -> Tensor:
    """Creases and cuts, 1 in the middle of a line and 0 away from it [N, H, W]."""
    depth = torch.zeros_like(x)
    for i, capture in enumerate(captures):
        for cx, cy, angle, length, width in capture.lines.tolist():
            c, s = np.cos(angle), np.sin(angle)
            along = c * (x[i] - cx) - s * (y[i] - cy)
            across = s * (x[i] - cx) + c * (y[i] - cy) - along**2 / (20.0 * length)
            line = torch.exp(-((across / width) ** 2)) * torch.sigmoid((length - along.abs()) / 4.0)
            depth[i] = torch.maximum(depth[i], line)
    return depth
