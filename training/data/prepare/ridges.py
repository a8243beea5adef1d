"""Where ridges run in a scan: its ridge map, by contextual filtering.

The scan is filtered by each place's own Gabor kernel, of the orientation and period found there (Hong, Wan
and Jain, "Fingerprint image enhancement", IEEE TPAMI 20(8), 1998), as noise is in ridge growth.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from fingergen.cpp_ops.reference import ridge_growth

GRID_PPI = 250  # at which the scan is filtered, as ridges are grown
_MEAN = 8.0  # samples at GRID_PPI over which contrast is evened
_BAND = (0.4, 3.5)  # Gaussians whose difference passes ridges
_ORIENTATION = 4.0  # samples over which an orientation is the mean
_PERIOD = 12.0  # likewise for a period
_PERIODS = (3.0, 7.5)  # samples; what people's ridges have, with some room
_EDGE = 4.0  # pixels at 500 ppi over which contact fades


def ridge_map(image: NDArray[np.uint8], inside: NDArray[np.bool_], ppi: float) -> NDArray[np.float32]:
    """The ridge map and the mask of contact of a scan.

    Args:
        image: uint8 (H, W), dark ridges.
        inside: bool (H, W), where the print is.
        ppi: Pixels per inch.

    Returns:
        float32 (2, H, W): -1 in a valley to 1 on a ridge, 0 outside of the print; contact, 0 to 1.
    """
    height, width = image.shape
    size = max(16, round(width * GRID_PPI / ppi)), max(16, round(height * GRID_PPI / ppi))
    small = _resized(image.astype(np.float32), size)
    mask = _resized(inside.astype(np.float32), size) > 0.5
    ridges = -_evened(small, mask)
    orientation, period = _fields(ridges, mask)
    # No round of growth, which would draw ridges where the scan has none: one filter.
    planes = [each[None, None] for each in (ridges, orientation, period)]
    found = ridge_growth(planes[0], planes[1], planes[2], rounds=0)[0, 0]
    level = ndimage.gaussian_filter(np.square(found), _ORIENTATION) + 1e-6
    found = np.clip(found / np.sqrt(2.0 * level), -1.0, 1.0)
    contact = ndimage.gaussian_filter(inside.astype(np.float32), _EDGE * ppi / 500 / 2)
    return np.stack([_resized(found, (width, height)) * contact, contact]).astype(np.float32)


def _evened(image: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Band-passed, with a local deviation near 1; 0 outside of the mask."""
    filled = np.where(mask, image, image[mask].mean() if mask.any() else 0.0)
    passed = ndimage.gaussian_filter(filled, _BAND[0]) - ndimage.gaussian_filter(filled, _BAND[1])
    passed *= mask
    power = ndimage.gaussian_filter(np.square(passed), _MEAN)
    weight = ndimage.gaussian_filter(mask.astype(np.float32), _MEAN)
    return np.asarray(passed / np.sqrt(power / np.maximum(weight, 1e-3) + 1e-2), np.float32)


def _fields(
    ridges: NDArray[np.float32], mask: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Orientation in radians, counter-clockwise, and period in samples."""
    dy, dx = np.gradient(ridges)
    xx, yy, xy = (ndimage.gaussian_filter(each, _ORIENTATION) for each in (dx * dx, dy * dy, dx * dy))
    # The gradient lies across the ridge; y counts down, angles up.
    orientation = np.pi / 2 - 0.5 * np.arctan2(2 * xy, xx - yy)
    # Of a wave of frequency w, the gradient's power is w² times the wave's.
    power, slope = (
        ndimage.gaussian_filter(each * mask, _PERIOD) for each in (np.square(ridges), dx * dx + dy * dy)
    )
    period = 2 * np.pi * np.sqrt((power + 1e-6) / (slope + 1e-6))
    return orientation.astype(np.float32), np.clip(period, *_PERIODS).astype(np.float32)


def _resized(image: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """To `size` (width, height), averaged where it shrinks."""
    return np.asarray(Image.fromarray(np.asarray(image, np.float32)).resize(size, Image.Resampling.BICUBIC))


def as_image(ridges: NDArray[np.float32], beyond: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """What `ridge_map` returns as an RGB image.

    Args:
        ridges: float32 (2, H, W).
        beyond: bool (H, W), where the scan shows nothing: beyond its border.

    Returns:
        uint8 (H, W, 3): the ridge map, 127.5 where it is 0; contact, 0 to 255; 255 beyond the scan.
    """
    levels = np.stack([127.5 + 127.5 * ridges[0], 255.0 * ridges[1], 255.0 * beyond], axis=2)
    return np.round(levels).clip(0, 255).astype(np.uint8)
