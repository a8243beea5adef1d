"""Where in a scan the fingerprint is.

Ridges have strong gradients that share a direction; paper has none, noise and writing have many directions.
The structure tensor gives both: its trace is their energy, its anisotropy their coherence (Kass and Witkin
1987; Bazen and Gerez 2001). The print is the largest patch where energy times coherence is high.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fingergen.runtime.minutiae import PPI

# Lengths in pixels are at 500 ppi.
_SMOOTHING = 1.0  # of the image, before gradients are taken
_WINDOW = 8.0  # of the structure tensor: about a ridge period
_STRIDE = 4  # pixels of the mask that are decided together
_THRESHOLD = 0.2  # of the level that strong ridges reach
_FLATTEST = 4.0  # gray levels a pixel: weaker gradients are of no print
_LEAST_COHERENCE = 0.4  # of the print as a whole; that of noise is about 0.1
_LEAST_AREA = 96 * 96  # pixels
_SHORTEST = 64  # side of an image in pixels
_GAP, _SPUR = 24, 12  # a gap so wide is closed; what sticks out so thin is cut off


class Unusable(Exception):
    """A raw file that cannot be used; the message is the reason."""


class NoPrint(Unusable):
    """A scan without a fingerprint; the message says what is there instead."""


def foreground(image: NDArray[np.uint8], ppi: float) -> NDArray[np.bool_]:
    """The mask (H, W) of the print in a gray image (H, W) of dark ridges; NoPrint if there is none."""
    scale = ppi / PPI
    if min(image.shape) < _SHORTEST * scale:
        raise NoPrint("no fingerprint: the image is too small")
    smooth = ndimage.gaussian_filter(image.astype(np.float32), _SMOOTHING * scale)
    dy, dx = np.gradient(smooth)
    # Per pixel at 500 ppi, so that the levels do not hang on the resolution.
    dy, dx = dy * scale, dx * scale
    stride = max(1, round(_STRIDE * scale))
    xx, yy, xy = (
        ndimage.gaussian_filter(product, _WINDOW * scale)[::stride, ::stride]
        for product in (dx * dx, dy * dy, dx * dy)
    )
    energy = np.sqrt(xx + yy)
    coherence = np.sqrt((xx - yy) ** 2 + 4 * xy**2) / (xx + yy + 1e-6)
    strong = float(np.percentile(energy, 95))
    if strong < _FLATTEST:
        raise NoPrint("no fingerprint: nothing but an even surface")
    level = energy * coherence
    mask = level > _THRESHOLD * float(np.percentile(level, 95))
    mask = _cleaned(mask, scale / stride)
    if mask.sum() * stride**2 < _LEAST_AREA * scale**2:
        raise NoPrint("no fingerprint: no patch of ridges is large enough")
    if float(coherence[mask].mean()) < _LEAST_COHERENCE:
        raise NoPrint("no fingerprint: no ridges run side by side")
    height, width = image.shape
    return np.kron(mask, np.ones((stride, stride), bool))[:height, :width]


def _cleaned(mask: NDArray[np.bool_], scale: float) -> NDArray[np.bool_]:
    """The largest patch of a mask, without gaps, holes and spurs; `scale`: its pixels a pixel at 500 ppi."""
    gap, spur = (_disc(width * scale / 2) for width in (_GAP, _SPUR))
    margin = len(gap)
    closed = ndimage.binary_closing(np.pad(mask, margin), gap)[margin:-margin, margin:-margin]
    opened = ndimage.binary_opening(ndimage.binary_fill_holes(closed), spur)
    patches, count = ndimage.label(opened)
    if not count:
        return opened
    sizes = np.bincount(patches.ravel())[1:]
    return ndimage.binary_fill_holes(patches == 1 + sizes.argmax())


def _disc(radius: float) -> NDArray[np.bool_]:
    reach = max(1, round(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return x**2 + y**2 <= reach**2
