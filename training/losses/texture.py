"""Is texture as strong in each frequency and direction as in scans of the same sensor?

Grain that is one gray level deep, along the rows of a sensor or as fine as its pixels, decides whether an
image looks like a scan, but hardly counts in distances of gray levels. Where it lies nobody can foresee; how
strong it is on average can be compared.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW = 32  # pixels per side of the squares whose spectra are averaged
FAINT = 3e-5  # power of white noise of 0.7 gray levels in [-1, 1]: nothing below it can be seen in 8 bits


def texture_loss(images: Tensor, reals: Tensor, contact: Tensor, seen: Tensor) -> Tensor:
    """How far powers at each frequency and direction are apart, in the print and in the background.

    Args:
        images: (N, C, R, R) in [-1, 1].
        reals: (N, C, R, R), scans with the same ridges.
        contact: (N, 1, M, M) in [0, 1], where the fingers touch.
        seen: (N, 1, R, R), 1 where the reals show something and 0 elsewhere.

    Returns:
        Scalar: the mean distance of logarithms of power, over images, places and frequencies.
    """
    side = min(WINDOW, images.shape[-1])
    touched = F.interpolate(contact, images.shape[2:], mode="bilinear")
    known = -F.max_pool2d(-seen, side, side // 2)
    inside = -F.max_pool2d(-touched, side, side // 2) > 0.5
    outside = F.max_pool2d(touched, side, side // 2) < 0.01
    ours, theirs = _power(images, side), _power(reals, side)
    distances = []
    for place in (inside, outside):
        weight = (known * place)[..., None, None]
        squares = weight.sum(dim=(2, 3)).clamp(min=1)
        one, two = ((each * weight).sum(dim=(2, 3)) / squares + FAINT for each in (ours, theirs))
        distances.append((one / two).log().abs().mean())
    return torch.stack(distances).mean()


def _power(x: Tensor, side: int) -> Tensor:
    """Spectra of squares that overlap by half, (N, C, rows, columns, side, side // 2 + 1); white noise has
    its variance at every frequency.
    """
    squares = x.unfold(2, side, side // 2).unfold(3, side, side // 2)
    squares = squares - squares.mean(dim=(-2, -1), keepdim=True)
    window = torch.hann_window(side, device=x.device)
    window = torch.outer(window, window)
    spectrum = torch.fft.rfft2(squares * (window / window.norm()))
    return spectrum.real.square() + spectrum.imag.square()
