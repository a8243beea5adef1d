"""Where the skin touches the sensor, and where creases and cuts lie."""

from __future__ import annotations

import numpy as np

from ...arguments import AnyFloats as Floats

_OUTLINE = 2.4  # exponent of the outline of contact: between an ellipse (2) and a rectangle


def contact_depth(contact: Floats, master: tuple[int, int], x: Floats, y: Floats, wobble: Floats) -> Floats:
    """Rough distance to the edge of contact.

    Args:
        contact: `Capture.contact`.
        master: (H, W) of the ridge map; nothing outside of it touches.
        x: float32, x of points of the master, any shape.
        y: Their y.
        wobble: float32 of the same shape, what makes the edge uneven; standard normal, or 0.

    Returns:
        float32 of that shape, pixels, positive inside.
    """
    cx, cy, wide, above, below, rough = contact
    dy = y - cy
    tall = np.where(dy < 0, above, below)
    radius = np.abs((x - cx) / wide) ** _OUTLINE
    radius += np.abs(dy / tall) ** _OUTLINE
    depth = (1.0 - radius ** np.float32(1 / _OUTLINE)) * wide + rough * wobble
    height, width = master
    for distance in (x, width - 1 - x, y, height - 1 - y):
        np.minimum(depth, distance, out=depth)
    return depth


def line_depth(lines: Floats, x: Floats, y: Floats) -> Floats:
    """Creases and cuts at points of the master.

    Args:
        lines: `Capture.lines`.
        x: float32, x of the points, any shape.
        y: Their y.

    Returns:
        float32 of that shape, 1 in the middle of a line and 0 away from it.
    """
    depth = np.zeros_like(x)
    for cx, cy, angle, length, width in lines.astype(x.dtype):
        c, s = np.cos(angle), np.sin(angle)
        along = c * (x - cx) - s * (y - cy)
        across = s * (x - cx) + c * (y - cy) - along**2 / (20.0 * length)
        near = (np.abs(across) < 4.0 * width) & (np.abs(along) < length + 32.0)  # beyond: nothing to see
        end = 1.0 / (1.0 + np.exp((np.abs(along[near]) - length) / 4.0))
        depth[near] = np.maximum(depth[near], np.exp(-((across[near] / width) ** 2)) * end)
    return depth
