"""The minutiae map that the minutiae-to-vec encoder reads (SynFing: Bouzaglo and Keller, arXiv:2201.06164).

Reproduces the map of the SynFing release exactly; the tests compare it with a stored one, byte for byte.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..arguments import check_type
from ..errors import BadInput
from .template import MinutiaType, Template

STROKE_LENGTH = 15.0  # pixels from a minutia to the end of its stroke
STROKE_VARIANCE, STROKE_GAIN = 3.0, 3.0
MINUTIA_VARIANCE, MINUTIA_GAIN = 9.0, 60.0
SINGULAR_VARIANCE, SINGULAR_GAIN = 25.0, 180.0
_TRUNCATE = 4.0  # a Gaussian kernel ends 4 standard deviations from its middle, as SciPy's does by default
_MOST_PIXELS = 1 << 25

Pixels = set[tuple[int, int]]  # (x, y)


def minutiae_map(template: Template, other: MinutiaType | None = MinutiaType.ENDING) -> NDArray[np.uint8]:
    """Draw a template as the SynFing minutiae map.

    Each channel is clip(255 · (g · G(points) + 3 · G3(strokes)), 0, 255), where G3 blurs with variance 3 and
    G with 9, g = 60 for minutiae, and G with variance 25, g = 180 and no strokes for cores and deltas.

    Args:
        template: The map has its image's size. SynFing draws at 500 ppi: rescale others first.
        other: How minutiae of type OTHER are drawn: as endings (the default: a template without types, such
            as NBIS .xyt, keeps its positions and directions), as bifurcations, or not at all (None).

    Returns:
        uint8 (height, width, 3). Channels: endings (type 1), bifurcations (type 2), cores and deltas.

    Raises:
        BadInput: The image has more than 2^25 pixels.
    """
    check_type("template", template, Template, "a Template")
    height, width = template.height, template.width
    if height * width > _MOST_PIXELS:
        raise BadInput(f"a map of {width} x {height} pixels is too large: crop or rescale the template")
    minutiae_map = np.empty((height, width, 3), np.uint8)
    for channel, drawn in enumerate((MinutiaType.ENDING, MinutiaType.BIFURCATION)):
        shown = [m for m in template.minutiae if (other if m.type is MinutiaType.OTHER else m.type) is drawn]
        points = {template.pixel(minutia) for minutia in shown}
        strokes: Pixels = set()
        for minutia in shown:
            strokes |= _stroke(minutia.x, minutia.y, minutia.angle, height, width)
        level = MINUTIA_GAIN * _blurred(points, MINUTIA_VARIANCE, height, width)
        level += STROKE_GAIN * _blurred(strokes, STROKE_VARIANCE, height, width)
        minutiae_map[..., channel] = _to_uint8(level)
    points = {template.pixel(point) for point in (*template.cores, *template.deltas)}
    minutiae_map[..., 2] = _to_uint8(SINGULAR_GAIN * _blurred(points, SINGULAR_VARIANCE, height, width))
    return minutiae_map


def _stroke(x: float, y: float, angle: float, height: int, width: int) -> Pixels:
    """The pixels of a stroke from (x, y) along `angle`, without those outside the image.

    One sample, rounded, per pixel of the longer side: the steps divide the unrounded length evenly.
    """
    dx = STROKE_LENGTH * math.cos(math.radians(angle))
    dy = -STROKE_LENGTH * math.sin(math.radians(angle))
    steps = math.ceil(max(abs(dx), abs(dy)))
    samples = ((round(x + dx * step / steps), round(y + dy * step / steps)) for step in range(steps + 1))
    return {(column, row) for column, row in samples if 0 <= column < width and 0 <= row < height}


def _blurred(pixels: Pixels, variance: float, height: int, width: int) -> NDArray[np.float64]:
    """Gaussian blur of an image that is 1 at `pixels` and 0 elsewhere → float64 (height, width).

    The borders reflect (d c b a | a b c d | d c b a). The few pixels are stamped with the kernel, which is
    symmetric, so that mirroring the stamp equals mirroring the image.
    """
    if not pixels:
        return np.zeros((height, width))
    kernel = _gaussian(variance)
    offsets = np.arange(len(kernel)) - len(kernel) // 2
    places = np.array(sorted(pixels))
    rows = _reflected(places[:, 1:] + offsets, height)  # [pixel, k]
    columns = _reflected(places[:, :1] + offsets, width)
    flat = rows[:, :, None] * width + columns[:, None, :]  # [pixel, k, k]
    weights = np.broadcast_to(np.outer(kernel, kernel), flat.shape)
    blurred = np.bincount(flat.ravel(), weights.ravel(), height * width)
    return np.asarray(blurred, np.float64).reshape(height, width)


def _gaussian(variance: float) -> NDArray[np.float64]:
    """Sampled Gaussian of sum 1."""
    radius = int(_TRUNCATE * math.sqrt(variance) + 0.5)
    kernel = np.exp(-0.5 / variance * np.arange(-radius, radius + 1) ** 2)
    return kernel / kernel.sum()


def _reflected(index: NDArray[np.int_], size: int) -> NDArray[np.int_]:
    index = index % (2 * size)
    return np.minimum(index, 2 * size - 1 - index)


def _to_uint8(level: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.clip(255.0 * level, 0.0, 255.0).astype(np.uint8)
