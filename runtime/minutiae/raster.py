"""A template as a small image, for the network that reads orientation, period and contact off it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # who takes the constants alone needs no templates
    from .template import Template

CELLS = 64
"""Cells a side of a raster."""

CHANNELS = 10
"""Of a raster: any minutia; cosine and sine of twice and of once its direction; its type; its place in the
cell (x, y); core; delta."""

FIELDS = 4
"""What the network reads off a raster, cell by cell: cosine and sine of twice the orientation, `LOG_SCALE`
times the logarithm of the ridge period over `PERIOD`, and contact from 0 to 1."""

PERIOD = 9.0  # pixels at 500 ppi
LOG_SCALE = 4.0

_TYPES = {"ending": 0.5, "bifurcation": -0.5}


def rasterize(template: Template) -> NDArray[np.float32]:
    """A template's minutiae, cores and deltas, cell by cell.

    Args:
        template: Of a square field of view. Of several minutiae in one cell the last one stands.

    Returns:
        float32 (CHANNELS, CELLS, CELLS): 0 in empty cells; a type of 0 is not known; places are from the
        cell's center, in cells.
    """
    raster = np.zeros((CHANNELS, CELLS, CELLS), np.float32)
    scale_x, scale_y = CELLS / template.width, CELLS / template.height

    def cell(x: float, y: float) -> tuple[int, int, float, float]:
        x, y = (x + 0.5) * scale_x, (y + 0.5) * scale_y
        column, row = min(int(x), CELLS - 1), min(int(y), CELLS - 1)
        return row, column, x - column - 0.5, y - row - 0.5

    for minutia in template.minutiae:
        row, column, dx, dy = cell(minutia.x, minutia.y)
        t = math.radians(minutia.angle)
        direction = (math.cos(2 * t), math.sin(2 * t), math.cos(t), math.sin(t))
        raster[:8, row, column] = (1.0, *direction, _TYPES.get(minutia.type.value, 0.0), dx, dy)
    for channel, points in ((8, template.cores), (9, template.deltas)):
        for point in points:
            row, column, _, _ = cell(point.x, point.y)
            raster[channel, row, column] = 1.0
    return raster
