"""StyleGAN2's modulated convolution in the form it was published in."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fingergen.training.networks.layers import ModulatedConv


class PerSampleConv(nn.Module):
    """A weight for every sample, w'[n] = w · s[n] / ‖w · s[n]‖, and one convolution of a group a sample.

    Takes over the weights of a `ModulatedConv`, which computes the same in another order. Source: Karras et
    al., "Analyzing and Improving the Image Quality of StyleGAN" (2020), section 2.2, equations 1 to 3, and
    appendix B for the grouped convolution.
    """

    def __init__(self, conv: ModulatedConv) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """x (N, I, H, W), style (N, style_dim) → (N, O, H, W), or (N, O, 2H, 2W) where it upsamples."""
        conv = self.conv
        n, channels_in, height, width = x.shape
        weight = conv.weight * conv.scale * conv.modulation(style)[:, None, :, None, None]  # [N, O, I, k, k]
        if conv.demodulate:
            power = weight.square().sum(dim=(2, 3, 4), keepdim=True)  # [N, O, 1, 1, 1]
            weight = weight * torch.rsqrt(power + 1e-8)
        x = x.reshape(1, n * channels_in, height, width)
        if conv.up:
            weight = weight.transpose(1, 2).flatten(0, 1)  # [N * I, O, k, k]
            out = F.conv_transpose2d(x, weight, stride=2, groups=n)
        else:
            out = F.conv2d(x, weight.flatten(0, 1), padding=conv.padding, groups=n)
        out = out.reshape(n, -1, *out.shape[2:])
        return conv.blur(out) if conv.up else out


def as_published(network: nn.Module) -> nn.Module:
    """`network` with all its modulated convolutions in the published form, in place."""
    for name, child in network.named_children():
        if isinstance(child, ModulatedConv):
            setattr(network, name, PerSampleConv(child))
        else:
            as_published(child)
    return network
