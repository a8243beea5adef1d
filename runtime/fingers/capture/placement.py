"""Where skin lands in the image: rotation, translation and distortion, and back."""

from __future__ import annotations

import numpy as np

from ...arguments import AnyFloats as Floats
from .parameters import Capture


def place(capture: Capture, points: Floats) -> Floats:
    """Where points of the skin land.

    Args:
        capture: How the impression is taken.
        points: float32 (M, 2), pixels of the master.

    Returns:
        float32 (M, 2), pixels of the image from its top left.
    """
    target = points - capture.middle
    q = target
    for _ in range(8):  # the displacement changes slowly, so this contracts fast
        q = target - _displacement(capture.waves, q)
    c, s = np.cos(np.radians(capture.rotation)), np.sin(np.radians(capture.rotation))
    turned = np.stack([c * q[..., 0] + s * q[..., 1], -s * q[..., 0] + c * q[..., 1]], axis=-1)
    return ((turned + capture.shift) / capture.pitch + (np.array(capture.size) - 1.0) / 2).astype(np.float32)


def skin_points(
    capture: Capture, step: int = 1, dtype: type[np.floating] = np.float32
) -> tuple[Floats, Floats]:
    """The points of the master that the pixels of the image show.

    Args:
        capture: How the impression is taken.
        step: Side in pixels of the squares whose middles are taken; it divides the sides of the image.
        dtype: To compute in.

    Returns:
        x and y, (H / step, W / step) of that type, pixels of the master.
    """
    u, v = (
        np.arange((step - side) / 2, side / 2, step, dtype=dtype) * dtype(capture.pitch) - shift
        for side, shift in zip(capture.size, capture.shift, strict=True)
    )
    c, s = np.cos(np.radians(capture.rotation)), np.sin(np.radians(capture.rotation))
    c, s = dtype(c), dtype(s)
    qx = c * u[None, :] - s * v[:, None]
    qy = s * u[None, :] + c * v[:, None]
    x, y = qx + capture.middle[0], qy + capture.middle[1]
    for kx, ky, phase, ax, ay in capture.waves:
        # sin(a + b) of a sum of terms of u and v: waves stay waves under the rotation.
        along_u, along_v = (kx * c + ky * s) * u + phase, (ky * c - kx * s) * v
        wave = np.sin(along_u)[None, :] * np.cos(along_v)[:, None]
        wave += np.cos(along_u)[None, :] * np.sin(along_v)[:, None]
        x += ax * wave
        y += ay * wave
    return x, y


def _displacement(waves: Floats, q: Floats) -> Floats:
    """How far skin at `q` (…, 2), from the middle of the master, is drawn from there: (…, 2)."""
    return np.sin(q @ waves[:, :2].T + waves[:, 2]) @ waves[:, 3:]
