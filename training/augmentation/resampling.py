"""Affine transforms of image batches, differentiable twice and free of aliasing, for augmentation.

As in StyleGAN2-ADA (Karras et al., arXiv:2006.06676, appendix B): images are upsampled by 2 and, once
transformed, downsampled by 2 with the orthogonal wavelet filter sym6, so that the identity gives the image
itself. Beyond its border an image is continued by its mirror image.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..networks.ops import upfirdn2d

# Low-pass filter of the symlet with 6 vanishing moments (Daubechies, "Ten Lectures on Wavelets", 1992,
# section 8.1.1), to the precision of its spectral factorization. Its sum is √2.
SYM6 = (
    -0.00780070832503, 0.00176771186425, 0.04472490177078, -0.02106029251237, -0.07263752278638,
    0.33792942172817, 0.78764114102865, 0.49105594192797, -0.04831174258570, -0.11799011114852,
    0.00349071208422, 0.01540410932704,
)  # fmt: skip
# Pixel k lies at 2k + PHASE of the fine image: the nearly symmetric filter's center is beside its middle.
PHASE = len(SYM6) / 2 - sum(i * tap for i, tap in enumerate(SYM6)) / sum(SYM6)
BORDER = 6  # mirrored pixels about the image, as many as the filters reach; images must be larger


def transform(images: Tensor, inverse: Tensor) -> Tensor:
    """Images (N, C, R, R) under affine transforms.

    `inverse` (N, 2, 3): where the pixel at (x, y, 1) comes from; in pixels from the image's center, y down.
    """
    taps = torch.tensor(SYM6, dtype=images.dtype, device=images.device)
    low_pass = torch.outer(taps, taps)  # sums to 2
    size = images.shape[2]
    padded = F.pad(images, (BORDER,) * 4, mode="reflect")
    fine = upfirdn2d(padded, 2 * low_pass.flip(0, 1), up=2, pad=(0, -1, 0, -1))
    fine = sample(fine, _positions(inverse.to(images.dtype), size, fine.shape[2]))
    return upfirdn2d(fine, low_pass / 2, down=2)


def _positions(inverse: Tensor, size: int, fine_size: int) -> Tensor:
    """Where each pixel of the transformed fine image, and those about it that the filter needs, is in the
    fine image: (N, H, W, 2) for `sample`."""
    around = len(SYM6) // 2 - 1
    axis = torch.arange(-around, 2 * size + around, dtype=inverse.dtype, device=inverse.device)
    axis = (axis - PHASE) / 2 - (size - 1) / 2  # in pixels from the image's center
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    target = torch.stack([x, y, torch.ones_like(x)], dim=2)  # [H, W, 3]
    source = torch.einsum("nij,hwj->nhwi", inverse, target) + (size - 1) / 2  # in pixels from the first one
    # What the border does not hold is found inside: the mirror image continues with period 2 · (size - 1).
    last = size - 1
    mirrored = last - (source.remainder(2 * last) - last).abs()
    reach = BORDER / 2
    source = torch.where((source >= -reach) & (source <= last + reach), source, mirrored)
    return (2 * source + PHASE + BORDER) / (fine_size - 1) * 2 - 1


def sample(images: Tensor, positions: Tensor) -> Tensor:
    """Bilinear samples (N, C, H', W') of `images` (N, C, H, W) at `positions` (N, H', W', 2).

    Positions run from -1, the first pixel's center, to 1, the last one's; x first. No gradient flows to them.
    """
    if images.requires_grad and torch.is_grad_enabled():
        return _Sample.apply(images, positions)
    return F.grid_sample(images, positions, mode="bilinear", padding_mode="border", align_corners=True)


class _Sample(torch.autograd.Function):
    """PyTorch cannot differentiate its sampling twice. It is linear, so its gradient is the adjoint map, and
    the gradient of that is the sampling again."""

    @staticmethod
    def forward(ctx, images: Tensor, positions: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(positions)
        ctx.size = images.shape[2:]
        return sample(images, positions)

    @staticmethod
    def backward(ctx, *grads: Tensor) -> tuple[Tensor, None]:
        (positions,) = ctx.saved_tensors
        return _SampleAdjoint.apply(grads[0], positions, ctx.size), None


class _SampleAdjoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx, gradient: Tensor, positions: Tensor, size: torch.Size) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(positions)
        with torch.enable_grad():
            images = gradient.new_zeros(*gradient.shape[:2], *size, requires_grad=True)
            samples = F.grid_sample(
                images, positions, mode="bilinear", padding_mode="border", align_corners=True
            )
        return torch.autograd.grad(samples, images, gradient)[0]

    @staticmethod
    def backward(ctx, *grads: Tensor) -> tuple[Tensor, None, None]:
        (positions,) = ctx.saved_tensors
        return sample(grads[0], positions), None, None
