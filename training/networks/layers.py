"""Layers of the networks: those of StyleGAN2 (arXiv:1912.04958), and batch normalization over processes.

Attribute names give the state-dict keys of the published checkpoints.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import distributed
from .ops import Padding, fused_leaky_relu, is_half, upfirdn2d
from .precision import clamp_half

FIR_TAPS = (1.0, 3.0, 3.0, 1.0)


class Fir(nn.Module):
    """FIR resampling with the separable kernel [1, 3, 3, 1]; the kernel sums to `gain`."""

    kernel: Tensor

    def __init__(self, pad: tuple[int, int], up: int = 1, down: int = 1, gain: float = 1.0) -> None:
        super().__init__()
        taps = torch.tensor(FIR_TAPS)
        kernel = torch.outer(taps, taps)
        self.register_buffer("kernel", kernel * (gain / kernel.sum()))
        self.pad: Padding = (*pad, *pad)
        self.up = up
        self.down = down

    def forward(self, x: Tensor) -> Tensor:
        return upfirdn2d(x, self.kernel, self.up, self.down, self.pad)


class EqualLinear(nn.Module):
    """Fully connected layer with equalized learning rate: (N, in) → (N, out).

    The weight is divided by √in at run time; `lr_mul` multiplies weight and bias, so both train more slowly.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias_init: float = 0.0,
        lr_mul: float = 1.0,
        activate: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_mul)
        self.bias = nn.Parameter(torch.full((out_features,), bias_init))
        self.scale = lr_mul / math.sqrt(in_features)
        self.lr_mul = lr_mul
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        if self.activate:
            return fused_leaky_relu(F.linear(x, self.weight * self.scale), self.bias * self.lr_mul)
        return F.linear(x, self.weight * self.scale, self.bias * self.lr_mul)


class EqualConv(nn.Module):
    """Convolution without bias, with equalized learning rate: weight [O, I, k, k]."""

    def __init__(
        self, in_channels: int, out_channels: int, size: int, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, size, size))
        self.scale = 1 / math.sqrt(in_channels * size**2)
        self.stride = stride
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        weight = (self.weight * self.scale).to(x.dtype)
        return F.conv2d(x, weight, stride=self.stride, padding=self.padding)


class FusedLeakyReLU(nn.Module):
    """Bias, leaky ReLU (slope 0.2) and gain √2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return clamp_half(fused_leaky_relu(x, self.bias))


class PixelNorm(nn.Module):
    """Scales each row of (N, C) to unit mean square."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


class ModulatedConv(nn.Module):
    """Modulated convolution, optionally demodulated and upsampling by 2.

    The published form makes a weight per sample, w'[n] = w · s[n] / ‖w · s[n]‖. A convolution is linear, so
    the same value is: scale the input channels by s, convolve with the one shared weight, scale the output
    channels by 1/‖w · s‖. No per-sample weight is ever made: any batch runs as one ordinary convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: int,
        style_dim: int,
        demodulate: bool = True,
        up: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, out_channels, in_channels, size, size))
        self.modulation = EqualLinear(style_dim, in_channels, bias_init=1.0)
        self.scale = 1 / math.sqrt(in_channels * size**2)
        self.padding = size // 2
        self.demodulate = demodulate
        self.up = up
        if up:
            # A stride-2 transposed convolution spreads the energy over 4 pixels: gain 4 restores it.
            self.blur = Fir(pad=(1, 1), gain=4.0)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """x (N, I, H, W), style (N, style_dim) → (N, O, H, W), or (N, O, 2H, 2W) if `up`.

        Half-precision x stays so if demodulated; else the value is float32.
        """
        weight = self.weight[0] * self.scale  # [O, I, k, k]
        scale_in = self.modulation(style)  # [N, I]
        restore = None
        if is_half(x):
            weight, scale_in, restore = self._within_half(weight, scale_in)
        x = x * scale_in[:, :, None, None].to(x.dtype)
        if self.up:
            x = self.blur(F.conv_transpose2d(x, weight.transpose(0, 1).to(x.dtype), stride=2))
        else:
            x = F.conv2d(x, weight.to(x.dtype), padding=self.padding)
        if self.demodulate:
            power = weight.square().sum(dim=(2, 3))  # [O, I]
            scale_out = torch.rsqrt(F.linear(scale_in.square(), power) + 1e-8)  # [N, O]
            x = x * scale_out[:, :, None, None].to(x.dtype)
        elif restore is not None:
            x = x.float() * restore[:, :, None, None]
        return x

    def _within_half(self, weight: Tensor, scale_in: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Weight [O, I, k, k] and style [N, I], made smaller so that float16 cannot overflow, and the factor
        [N, O] that undoes it. Demodulation undoes it anyhow: it divides by the size of both.

        With styles and weights up to 1 and inputs up to 256, a sum has at most 256 · √(I·k²) < 2¹⁵.
        """
        largest_weight = self.weight.detach()[0].abs().amax(dim=(1, 2, 3)) + 1e-8  # [O]
        largest_style = scale_in.detach().abs().amax(dim=1, keepdim=True) + 1e-8  # [N, 1]
        restore = largest_style * largest_weight
        return weight / largest_weight[:, None, None, None], scale_in / largest_style, restore


class BatchNorm2d(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` with the statistics of the whole batch, however many processes share it.

    In contrast to `torch.nn.SyncBatchNorm` it runs on CPUs, and is differentiable twice.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or distributed.count() == 1:
            return super().forward(x)
        mean = distributed.mean(x.mean(dim=(0, 2, 3)))
        centered = x - mean[:, None, None]
        variance = distributed.mean(centered.square().mean(dim=(0, 2, 3)))
        self._follow(mean.detach(), variance.detach(), distributed.count() * x.numel() // x.shape[1])
        scale = self.weight * (variance + self.eps).rsqrt()
        return centered * scale[:, None, None] + self.bias[:, None, None]

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, values: int) -> None:
        """Move the running statistics; `values`: pixels per channel that mean and variance are taken over."""
        if self.running_mean is None or self.running_var is None or self.momentum is None:
            raise TypeError("statistics of several processes must be running ones with a momentum")
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (values / (values - 1)), self.momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked += 1
