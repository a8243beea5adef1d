"""StyleGAN2 discriminator, residual architecture with minibatch standard deviation."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .generator import feature_widths
from .layers import EqualConv, EqualLinear, Fir, FusedLeakyReLU
from .ops import fast_layout
from .precision import FULL, MixedPrecision, clamp_half


def _conv(in_channels: int, out_channels: int, size: int) -> nn.Sequential:
    return nn.Sequential(
        EqualConv(in_channels, out_channels, size, padding=size // 2), FusedLeakyReLU(out_channels)
    )


class ResidualBlock(nn.Module):
    """(N, I, H, W) → (N, O, H/2, W/2)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = _conv(in_channels, in_channels, 3)
        self.conv2 = nn.Sequential(
            Fir(pad=(2, 2)), EqualConv(in_channels, out_channels, 3, stride=2), FusedLeakyReLU(out_channels)
        )
        # The published form blurs at full size, then strides; only the kept samples are computed here.
        self.skip = nn.Sequential(Fir(pad=(1, 1), down=2), EqualConv(in_channels, out_channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return clamp_half((self.conv2(self.conv1(x)) + self.skip(x)) * math.sqrt(0.5))


def minibatch_std(x: Tensor, group_size: int) -> Tensor:
    """Appends one channel: the standard deviation over groups of samples, averaged over features and pixels.

    A group has `group_size` samples, or the next smaller number that divides the batch; sample i is grouped
    with i + N/group, i + 2N/group, … as in the published code.
    """
    n, channels, height, width = x.shape
    group = next(size for size in range(min(group_size, n), 0, -1) if n % size == 0)
    spread = x.view(group, n // group, channels, height, width).var(dim=0, unbiased=False).add(1e-8).sqrt()
    spread = spread.mean(dim=(1, 2, 3)).repeat(group)  # [N]
    return torch.cat([x, spread.view(n, 1, 1, 1).expand(n, 1, height, width)], dim=1)


class Discriminator(nn.Module):
    """Image (N, channels, R, R) → logit (N, 1): positive for real."""

    def __init__(
        self,
        resolution: int = 256,
        channels: int = 1,
        channel_base: int = 32768,
        channel_max: int = 512,
        widths: Mapping[int, int] | None = None,
        minibatch_std_group: int = 4,
    ) -> None:
        """Make the layers.

        Args:
            resolution: R: pixels per side of images, a power of two, 8 or more.
            channels: Of images: 1 (gray) or 3.
            channel_base: Feature channels are min(channel_max, channel_base / resolution).
            channel_max: The most of them.
            widths: Resolution → feature channels, in place of both.
            minibatch_std_group: Images that the standard deviation is taken over.

        Raises:
            ValueError: The resolution is no such power, or `widths` lacks one.
        """
        super().__init__()
        self.resolution = resolution
        self.channels = channels
        self.widths = feature_widths(resolution, channel_base, channel_max, widths)
        self.minibatch_std_group = minibatch_std_group

        blocks: list[nn.Module] = [_conv(channels, self.widths[resolution], 1)]
        res = resolution
        while res > 4:
            blocks.append(ResidualBlock(self.widths[res], self.widths[res // 2]))
            res //= 2
        self.convs = nn.Sequential(*blocks)
        width = self.widths[4]
        self.final_conv = _conv(width + 1, width, 3)
        self.final_linear = nn.Sequential(
            EqualLinear(width * 16, width, activate=True), EqualLinear(width, 1)
        )

    def architecture(self) -> dict[str, Any]:
        """What rebuilds this network: `Discriminator(**architecture)`.

        Returns:
            Plain values, as JSON can hold them, by argument.
        """
        names = ("resolution", "channels", "widths", "minibatch_std_group")
        return {name: getattr(self, name) for name in names}

    def forward(self, image: Tensor, precision: MixedPrecision = FULL) -> Tensor:
        """How real images look.

        Args:
            image: (N, channels, R, R), nominally in [-1, 1].
            precision: Of the feature maps.

        Returns:
            Logits (N, 1), float32.
        """
        x = fast_layout(self.convs[0](precision.cast(image, self.resolution, self.resolution)))
        for level, block in enumerate(list(self.convs)[1:]):
            x = block(precision.cast(x, self.resolution >> level, self.resolution))
        x = self.final_conv(minibatch_std(FULL.cast(x, 4, self.resolution), self.minibatch_std_group))
        return self.final_linear(x.flatten(1))
