"""Do ridges run where the ridge map says, whatever their contrast, brightness and pressure?"""

import torch.nn.functional as F
from torch import Tensor

WINDOW_INCHES = 0.036  # side of the square that a correlation is taken over: about two ridges
LEAST_VARIANCE = 1e-3  # of images and ridge maps in [-1, 1]; below, there is nothing to correlate


def ridge_loss(images: Tensor, ridges: Tensor, contact: Tensor, ppi: float) -> Tensor:
    """1 - the local correlation of high-passed images and negated ridge maps; its mean over the contact.

    Args:
        images: (N, C, R, R) in [-1, 1], ridges dark.
        ridges: (N, 1, R, R), ridge maps: -1 in a valley, 1 on a ridge.
        contact: (N, 1, R, R), masks of contact in [0, 1].
        ppi: Pixels per inch.

    Returns:
        Scalar, 0 (ridges as in the map) to 2 (valleys there).
    """
    window = 2 * round(WINDOW_INCHES * ppi / 2) + 1

    def mean(x: Tensor) -> Tensor:
        margin = window // 2
        return F.avg_pool2d(F.pad(x, [margin] * 4, mode="reflect"), window, stride=1)

    gray = images.mean(dim=1, keepdim=True)
    gray, dark = gray - mean(gray), mean(ridges) - ridges
    deviations = (mean(gray.square()) + LEAST_VARIANCE).sqrt() * (mean(dark.square()) + LEAST_VARIANCE).sqrt()
    correlation = mean(gray * dark) / deviations
    return ((1 - correlation) * contact).sum() / contact.sum().clamp(min=1.0)
