"""Do ridges run where the ridge map says, whatever their contrast, brightness and pressure?"""

import torch.nn.functional as F
from torch import Tensor

WINDOW_INCHES = 0.036  # side of the square that a correlation is taken over: about two ridges
PER_WINDOW = 4  # squares begin every quarter of their side: a closer grid says no more
LEAST_VARIANCE = 1e-3  # of images and ridge maps in [-1, 1]; below, there is nothing to correlate
WHOLE = 0.99  # least mean contact of a square that counts: at the edge of contact, prints fade


def ridge_loss(images: Tensor, ridges: Tensor, contact: Tensor, ppi: float) -> Tensor:
    """1 - the local correlation of images and negated ridge maps; its mean over the contact.

    Args:
        images: (N, C, R, R) in [-1, 1], ridges dark.
        ridges: (N, 1, R, R), ridge maps: -1 in a valley, 1 on a ridge.
        contact: (N, 1, R, R), masks of contact in [0, 1].
        ppi: Pixels per inch.

    Returns:
        Scalar, 0 (ridges as in the map) to 2 (valleys there).
    """
    window = 2 * round(WINDOW_INCHES * ppi / 2) + 1
    stride = max(1, window // PER_WINDOW)

    def mean(x: Tensor) -> Tensor:
        # In two passes: PyTorch adds up every sample of a window on a CPU.
        rows = F.avg_pool2d(F.pad(x, [window // 2] * 4, mode="reflect"), (window, 1), stride=(stride, 1))
        return F.avg_pool2d(rows, (1, window), stride=(1, stride))

    gray, dark = images.mean(dim=1, keepdim=True), -ridges
    mean_gray, mean_dark = mean(gray), mean(dark)
    covariance = mean(gray * dark) - mean_gray * mean_dark
    variances = [mean(gray.square()) - mean_gray.square(), mean(dark.square()) - mean_dark.square()]
    deviations = [(variance.clamp(min=0) + LEAST_VARIANCE).sqrt() for variance in variances]
    correlation = covariance / (deviations[0] * deviations[1])
    counted = (mean(contact) > WHOLE).float()
    return ((1 - correlation) * counted).sum() / counted.sum().clamp(min=1.0)
