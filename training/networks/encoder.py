"""Minutiae-to-vec encoder: improved residual trunk with squeeze and excitation (IR-SE), then a linear layer.

Trunk: the IR-SE of ArcFace (Deng et al., arXiv:1801.07698, section 3.2.2) with squeeze and excitation
(Hu et al., arXiv:1709.01507); encoders of this shape into a StyleGAN2 latent: pSp (arXiv:2008.00951).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .generator import Generator
from .layers import EqualLinear
from .ops import fast_layout

# Residual units of the four stages.
DEPTHS: dict[str, tuple[int, ...]] = {
    "ir_se_10": (1, 1, 1, 1),
    "ir_se_18": (2, 2, 2, 2),
    "ir_se_34": (3, 4, 6, 3),
    "ir_se_50": (3, 4, 14, 3),
}
SE_REDUCTION = 16


class SqueezeExcite(nn.Module):
    """Scales each channel by a gate computed from all channels' means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = max(1, channels // SE_REDUCTION)
        self.fc1 = nn.Conv2d(channels, squeezed, 1, bias=False)
        self.fc2 = nn.Conv2d(squeezed, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=(2, 3), keepdim=True)
        return x * torch.sigmoid(self.fc2(torch.relu(self.fc1(mean))))


class ResidualUnit(nn.Module):
    """(N, I, H, W) → (N, O, H/stride, W/stride)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.shortcut_layer: nn.Module
        if in_channels == out_channels:
            self.shortcut_layer = nn.MaxPool2d(1, stride)
        else:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(in_channels),
            nn.Conv2d(in_channels, out_channels, 3, 1, 1, bias=False),
            nn.PReLU(out_channels),
            nn.Conv2d(out_channels, out_channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            SqueezeExcite(out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.res_layer(x) + self.shortcut_layer(x)


class Encoder(nn.Module):
    """Minutiae map (N, 3, H, W), float in [0, 1] → w (N, style_dim), or (N, num_ws, style_dim).

    `num_ws`: one w for each style input (W+); None: one w for all of them.
    `depth`: a name in `DEPTHS` or the residual units of each stage; stage s has width · 2**s channels and the
    first unit of each stage halves the image. Any H, W from 16 up.
    """

    def __init__(
        self,
        depth: str | Sequence[int] = "ir_se_50",
        width: int = 64,
        input_channels: int = 3,
        style_dim: int = 512,
        num_ws: int | None = None,
    ) -> None:
        super().__init__()
        self.depth = DEPTHS[depth] if isinstance(depth, str) else tuple(depth)
        self.width = width
        self.input_channels = input_channels
        self.style_dim = style_dim
        self.num_ws = num_ws
        self.input_layer = nn.Sequential(
            nn.Conv2d(input_channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.PReLU(width)
        )
        units = []
        channels = width
        for stage, count in enumerate(self.depth):
            for unit in range(count):
                units.append(ResidualUnit(channels, width << stage, stride=2 if unit == 0 else 1))
                channels = width << stage
        self.body = nn.Sequential(*units)
        self.linear = EqualLinear(channels, style_dim * (num_ws or 1))

    def architecture(self) -> dict[str, Any]:
        """Plain values that rebuild this network: `Encoder(**architecture)`."""
        names = ("depth", "width", "input_channels", "style_dim", "num_ws")
        return {name: getattr(self, name) for name in names}

    def forward(self, maps: Tensor) -> Tensor:
        w = self.linear(self.body(self.input_layer(fast_layout(maps))).mean(dim=(2, 3)))
        return w if self.num_ws is None else w.unflatten(1, (self.num_ws, self.style_dim))


class Reconstructor(nn.Module):
    """Minutiae map → w → image: the two networks of a reconstruction checkpoint.

    `latent_avg` (style_dim,) or (num_ws, style_dim) is added to the encoder's output; None adds nothing. It
    is stored beside the state dict, not in it.
    """

    latent_avg: Tensor | None

    def __init__(self, encoder: Encoder, decoder: Generator, latent_avg: Tensor | None = None) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.register_buffer("latent_avg", latent_avg, persistent=False)

    def encode(self, maps: Tensor) -> Tensor:
        """maps (N, 3, H, W) in [0, 1] → w (N, style_dim) or (N, num_ws, style_dim), average added."""
        w = self.encoder(maps)
        if self.latent_avg is None:
            return w
        if w.ndim == 2 and self.latent_avg.ndim == 2:
            w = w.unsqueeze(1)
        return w + self.latent_avg

    def forward(self, maps: Tensor) -> Tensor:
        return self.decoder.synthesize(self.encode(maps))
