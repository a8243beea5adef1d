"""Elementary operations of StyleGAN2 in plain PyTorch: any device, differentiable to any order.

Values are those of the custom ops of the same names (ONNX domain `fingergen`, version 1).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

Padding = tuple[int, int, int, int]  # x0, x1, y0, y1; negative crops


def is_half(x: Tensor) -> bool:
    """Whether `x` is float16 or bfloat16."""
    return x.dtype in (torch.float16, torch.bfloat16)


def fast_layout(x: Tensor) -> Tensor:
    """`x` (N, C, H, W) in the memory layout quickest to convolve: channels last on a CPU, by a third, and in
    half precision, which is what tensor cores read; else as it is."""
    if x.device.type == "cpu" or is_half(x):
        return x.contiguous(memory_format=torch.channels_last)
    return x


def fused_leaky_relu(
    x: Tensor, bias: Tensor, negative_slope: float = 0.2, scale: float = math.sqrt(2)
) -> Tensor:
    """`scale · leaky_relu(x + bias)`; x (N, C, …), bias (C)."""
    bias = bias.to(x.dtype).view(1, -1, *[1] * (x.ndim - 2))
    return F.leaky_relu(x + bias, negative_slope) * scale


def upfirdn2d(x: Tensor, kernel: Tensor, up: int = 1, down: int = 1, pad: Padding = (0, 0, 0, 0)) -> Tensor:
    """Upsample, filter, downsample each channel of `x` (N, C, H, W) with one FIR `kernel` (kH, kW).

    Inserts `up - 1` zeros after each sample, pads, convolves (true convolution: the kernel is flipped) and
    keeps every `down`-th sample; H' = (H·up + y0 + y1 - kH) // down + 1. The kernel is a constant: no
    gradient flows to it.
    """
    if x.requires_grad and torch.is_grad_enabled():
        return _UpFirDn2d.apply(x, kernel, up, down, pad)
    return _upfirdn2d(x, kernel, up, down, pad)


def _upfirdn2d(x: Tensor, kernel: Tensor, up: int, down: int, pad: Padding) -> Tensor:
    # Depthwise convolutions: on a CPU several times faster than folding channels into the batch.
    channels = x.shape[1]
    k_height, k_width = kernel.shape
    x0, x1, y0, y1 = pad
    weight = kernel.to(x.dtype).expand(channels, 1, k_height, k_width)
    if up == 1:
        if x0 == x1 and y0 == y1 and x0 >= 0 and y0 >= 0:
            padding = (y0, x0)
        else:
            x, padding = F.pad(x, pad), (0, 0)
        return F.conv2d(x, weight.flip(2, 3), stride=down, padding=padding, groups=channels)
    # A transposed convolution of stride `up` is the full convolution of the zero-filled signal, less its end.
    if x.device.type == "cpu" and is_half(
        x
    ):  # which oneDNN has no depthwise kernel for: 6 to 40 times slower
        full = F.conv_transpose2d(x.float(), weight.float(), stride=up, groups=channels).to(x.dtype)
    else:
        full = F.conv_transpose2d(x, weight, stride=up, groups=channels)
    left, top = x0 - k_width + 1, y0 - k_height + 1
    right = x1 + up - k_width
    bottom = y1 + up - k_height
    return F.pad(full, (left, right, top, bottom))[:, :, ::down, ::down]


class _UpFirDn2d(torch.autograd.Function):
    """The gradient of an FIR resampling is an FIR resampling: far cheaper than PyTorch's double backward of a
    grouped convolution, which also computes the gradient of the (constant) kernel."""

    @staticmethod
    def forward(ctx, x: Tensor, kernel: Tensor, up: int, down: int, pad: Padding) -> Tensor:  # type: ignore[override]
        out = _upfirdn2d(x, kernel, up, down, pad)
        ctx.save_for_backward(kernel)
        ctx.up, ctx.down = up, down
        height, width = x.shape[2:]
        k_height, k_width = kernel.shape
        x0, _, y0, _ = pad
        ctx.gradient_pad = (
            k_width - 1 - x0,
            width * up - out.shape[3] * down + x0 - up + 1,
            k_height - 1 - y0,
            height * up - out.shape[2] * down + y0 - up + 1,
        )
        return out

    @staticmethod
    def backward(ctx, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        (kernel,) = ctx.saved_tensors
        grad = upfirdn2d(grads[0], kernel.flip(0, 1), ctx.down, ctx.up, ctx.gradient_pad)
        return grad, None, None, None, None
