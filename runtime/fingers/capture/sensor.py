"""What a sensor sees of a finger: the warped ridge map, the mask of contact, and the image."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...arguments import AnyFloats as Floats
from ..master import Master
from .contact import contact_depth, line_depth
from .parameters import Capture
from .placement import skin_points

_STEP = 4  # pixels within which the unevenness of pressure hardly changes


class Touch(NamedTuple):
    """Skin on a sensor, pixel by pixel of the image; each (H, W)."""

    ridges: Floats  # the ridge map as warped, -1 in a valley … 1 on a ridge; also where nothing touches
    depth: Floats  # pixels to the edge of contact, positive inside
    lines: Floats  # creases and cuts: 1 in the middle of a line, 0 away from it
    unevenness: Floats  # of the pressure, standard normal and smooth

    @property
    def contact(self) -> Floats:
        """(H, W), 0 where nothing touches … 1 where the skin does."""
        return _sigmoid(self.depth / 2.0)


def touch(finger: Master, capture: Capture, step: int = 1, dtype: type[np.floating] = np.float32) -> Touch:
    """The finger as it lies on the sensor.

    Args:
        finger: The finger.
        capture: How the impression is taken.
        step: Sides in pixels of the squares in whose middles the skin is seen; it divides the image's sides.
        dtype: To compute in, and of the maps.

    Returns:
        Maps of (H / step, W / step) points.
    """
    x, y = skin_points(capture, step, dtype)
    unevenness = _smooth(capture.uneven_cells, x.shape[::-1])
    depth = contact_depth(capture.contact, finger.ridges.shape, x, y, unevenness)  # type: ignore[arg-type]
    return Touch(_sample(finger.ridges, x, y), depth, line_depth(capture.lines, x, y), unevenness)


def unevenness_at(capture: Capture, points: Floats) -> Floats:
    """`Touch.unevenness` at points of the image.

    Args:
        capture: How the impression is taken.
        points: (M, 2), x and y in pixels of the image; beyond its border, the border's.

    Returns:
        float32 (M,).
    """
    width, height = capture.size
    smooth = _smooth(capture.uneven_cells, (width // _STEP, height // _STEP))
    column, row = np.floor_divide(points, _STEP).astype(np.intp).T
    return smooth[np.clip(row, 0, len(smooth) - 1), np.clip(column, 0, smooth.shape[1] - 1)]


def render(skin: Touch, capture: Capture) -> NDArray[np.uint8]:
    """The image of a sensor.

    Args:
        skin: What lies on it.
        capture: How the impression is taken.

    Returns:
        uint8 (H, W), ridges dark on a light background.
    """
    dryness, wetness = max(0.0, -capture.moisture), max(0.0, capture.moisture)
    roughness = _blur(_blur(capture.texture, 0), 1)
    relief = skin.ridges + np.float32(0.6 * capture.pressure - 0.3 * dryness + 0.35 * wetness)
    relief += capture.unevenness * skin.unevenness
    # 0.375: what the blur leaves of the deviation
    relief += np.float32((0.12 + 0.7 * dryness) / 0.375) * roughness
    relief += np.float32(capture.blotches) * _smooth(capture.blotch_cells, capture.size)
    relief -= np.float32(capture.fading) * np.exp(np.maximum(skin.depth, 0.0) / np.float32(-9.0))
    relief -= np.float32(2.5) * skin.lines
    ink = _sigmoid(np.float32(capture.sharpness) * relief) * skin.contact

    paper = np.full_like(ink, capture.paper)
    if capture.background > 0.0:
        paper += np.float32(capture.background) * _smooth(capture.backdrop_cells, capture.size)
    if capture.vignette > 0.0:
        paper -= np.float32(capture.vignette) * _corner_distance(capture.size)
    cover = ink + np.float32(capture.film) * (1.0 - ink) * skin.contact
    gray = paper - (paper - np.float32(capture.ink)) * cover * (1.0 + np.float32(0.08) * skin.unevenness)
    if capture.stains > 0.0:
        gray += np.float32(capture.stains) * _smooth(capture.stain_cells, capture.size) * (1.0 - 0.6 * ink)
    gray = np.maximum(gray, 0.0) ** np.float32(capture.gamma)
    gray += np.float32(capture.noise) * capture.grain * (0.3 + ink)
    return np.round(255.0 * np.clip(gray, 0.0, 1.0)).astype(np.uint8)


def _sample(image: Floats, x: Floats, y: Floats) -> Floats:
    """`image` at points between its pixels, bilinear; beyond its border, the border."""
    height, width = image.shape
    x, y = np.clip(x, 0.0, width - 1.001), np.clip(y, 0.0, height - 1.001)
    column, row = x.astype(np.int32), y.astype(np.int32)
    fx, fy = x - np.floor(x), y - np.floor(y)
    index = row.astype(np.intp) * width + column
    flat = image.ravel()
    left, right = flat[index], flat[index + 1]
    above = left + fx * (right - left)
    index += width
    left, right = flat[index], flat[index + 1]
    below = left + fx * (right - left)
    return above + fy * (below - above)


def _smooth(cells: Floats, size: tuple[int, int]) -> Floats:
    """A coarse grid interpolated over an image (H, W), bicubic; its cells cover the image evenly."""
    width, height = size
    rows = _interpolated(cells, height)
    return _interpolated(np.ascontiguousarray(rows.T), width).T


def _interpolated(cells: Floats, size: int) -> Floats:
    """`cells` (n, m) along their first axis: (size, m)."""
    index, weights = _bicubic(len(cells), size)
    total = weights[0][:, None] * cells[index[0]]
    for k in range(1, 4):
        total += weights[k][:, None] * cells[index[k]]
    return total


@lru_cache(maxsize=32)
def _bicubic(cells: int, size: int) -> tuple[NDArray[np.intp], Floats]:
    """Indices and weights (4, size) of the cells that each place takes.

    The cubic is Keys' ("Cubic convolution interpolation", IEEE TASSP 29(6), 1981) with a = -0.75.
    """
    place = (np.arange(size) + 0.5) * cells / size - 0.5
    first = np.floor(place).astype(np.intp)
    t, a = place - first, -0.75
    distance = np.stack([1.0 + t, t, 1.0 - t, 2.0 - t])
    near = (a + 2.0) * distance**3 - (a + 3.0) * distance**2 + 1.0
    far = a * (distance**3 - 5.0 * distance**2 + 8.0 * distance - 4.0)
    weights = np.where(distance <= 1.0, near, far).astype(np.float32)
    index = np.clip(first + np.arange(-1, 3)[:, None], 0, cells - 1)
    return index, weights


def _blur(image: Floats, axis: int) -> Floats:
    """The binomial filter [1, 2, 1] / 4 along `axis`, two samples shorter."""
    image = np.moveaxis(image, axis, 0)
    return np.moveaxis((image[:-2] + image[2:]) / 4 + image[1:-1] / 2, 0, axis)


@lru_cache(maxsize=8)
def _corner_distance(size: tuple[int, int]) -> Floats:
    """Squared distance from the image's center, 1 in its corners: (H, W)."""
    x, y = (np.linspace(-1.0, 1.0, side, dtype=np.float32) ** 2 for side in size)
    return (x[None, :] + y[:, None]) / 2


def _sigmoid(x: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-np.clip(x, -80.0, 80.0)))
