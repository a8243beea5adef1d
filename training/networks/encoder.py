"""Minutiae-to-vec encoder: improved residual trunk with squeeze and excitation (IR-SE), then a linear layer.

Trunk: the IR-SE of ArcFace (Deng et al., arXiv:1801.07698, section 3.2.2) with squeeze and excitation
(Hu et al., arXiv:1709.01507); encoders of this shape into a StyleGAN2 latent: pSp (arXiv:2008.00951).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .generator import Generator
from .layers import BatchNorm2d, EqualConv, EqualLinear, FusedLeakyReLU
from .ops import fast_layout
from .precision import FULL, MixedPrecision

# Residual units of the four stages.
DEPTHS: dict[str, tuple[int, ...]] = {
    "ir_se_10": (1, 1, 1, 1),
    "ir_se_18": (2, 2, 2, 2),
    "ir_se_34": (3, 4, 6, 3),
    "ir_se_50": (3, 4, 14, 3),
}
SE_REDUCTION = 16
LAYERS_PER_LEVEL = 2  # a StyleGAN2 resolution has two layers, each with a noise image


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


class SampledConv(nn.Conv2d):
    """1x1 convolution of every `stride`-th pixel. Sampled first: PyTorch 2.13's gradient of the strided form
    writes beyond its memory on a CPU (fewer than 16 channels, channels last)."""

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = self.stride
        return F.conv2d(x[:, :, ::rows, ::columns], self.weight)


class ResidualUnit(nn.Module):
    """(N, I, H, W) → (N, O, H/stride, W/stride)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.shortcut_layer: nn.Module
        if in_channels == out_channels:
            self.shortcut_layer = nn.MaxPool2d(1, stride)
        else:
            self.shortcut_layer = nn.Sequential(
                SampledConv(in_channels, out_channels, 1, stride, bias=False), BatchNorm2d(out_channels)
            )
        self.res_layer = nn.Sequential(
            BatchNorm2d(in_channels),
            nn.Conv2d(in_channels, out_channels, 3, 1, 1, bias=False),
            nn.PReLU(out_channels),
            nn.Conv2d(out_channels, out_channels, 3, stride, 1, bias=False),
            BatchNorm2d(out_channels),
            SqueezeExcite(out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.res_layer(x) + self.shortcut_layer(x)


class NoisePyramid(nn.Module):
    """A spatial path from the encoder to the decoder: noise images predicted from the minutiae map.

    One latent vector cannot say where all ridges run. StyleGAN2's decoder has spatial inputs, the noise image
    of every layer; a feature pyramid (Lin et al., arXiv:1612.03144) on the encoder's trunk predicts them.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        """Make the layers.

        Args:
            widths: Channels of the features, coarsest first.
        """
        super().__init__()
        self.down = nn.ModuleList(EqualConv(coarse, fine, 1) for coarse, fine in pairwise(widths))
        self.merge = nn.ModuleList(_pyramid_block(width) for width in widths)
        self.head = nn.ModuleList(EqualConv(width, LAYERS_PER_LEVEL, 1) for width in widths)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Predict two noise images for each feature.

        Args:
            features: (N, C, H, W) each, coarsest first, each twice the size of the one before.

        Returns:
            Noise (N, 1, H, W), two of each feature's size, coarsest first.
        """
        noise: list[Tensor] = []
        x = None
        for level, feature in enumerate(features):
            if x is not None:
                feature = feature + F.interpolate(self.down[level - 1](x), scale_factor=2.0, mode="nearest")
            x = self.merge[level](feature)
            noise += self.head[level](x).split(1, dim=1)
        return noise


def _pyramid_block(width: int) -> nn.Sequential:
    return nn.Sequential(
        EqualConv(width, width, 3, padding=1),
        FusedLeakyReLU(width),
        EqualConv(width, width, 3, padding=1),
        FusedLeakyReLU(width),
    )


class Encoded(NamedTuple):
    """What an encoder makes of minutiae maps.

    Attributes:
        w: (N, style_dim) or (N, num_ws, style_dim).
        noise: (N, 1, H, W) for some of the decoder's layers, two per resolution, coarsest first; empty where
            the encoder has no noise pyramid.
    """

    w: Tensor
    noise: list[Tensor]


class Encoder(nn.Module):
    """Minutiae map (N, 3, H, W), float in [0, 1] → w (N, style_dim), or (N, num_ws, style_dim).

    Stage s has width · 2**s channels, and its first unit halves the image. Any H and W from 16 up.
    """

    def __init__(
        self,
        depth: str | Sequence[int] = "ir_se_50",
        width: int = 64,
        input_channels: int = 3,
        style_dim: int = 512,
        num_ws: int | None = None,
        noise_levels: int = 0,
    ) -> None:
        """Make the layers.

        Args:
            depth: A name in `DEPTHS`, or the residual units of each stage.
            width: Channels of the first stage.
            input_channels: Channels of the map.
            style_dim: Components of w.
            num_ws: Style inputs, for a w for each of them (W+); None: one w for all.
            noise_levels: Resolutions, from a sixteenth of the map's upwards, whose noise images are predicted
                too; 0: none, one more than there are stages: up to the map's own.

        Raises:
            ValueError: `noise_levels` is out of range.
        """
        super().__init__()
        self.depth = DEPTHS[depth] if isinstance(depth, str) else tuple(depth)
        if not 0 <= noise_levels <= len(self.depth) + 1:
            raise ValueError(f"noise_levels must be 0 to {len(self.depth) + 1}, not {noise_levels}")
        self.width = width
        self.input_channels = input_channels
        self.style_dim = style_dim
        self.num_ws = num_ws
        self.noise_levels = noise_levels
        self.input_layer = nn.Sequential(
            nn.Conv2d(input_channels, width, 3, 1, 1, bias=False), BatchNorm2d(width), nn.PReLU(width)
        )
        units = []
        channels = width
        for stage, count in enumerate(self.depth):
            for unit in range(count):
                units.append(ResidualUnit(channels, width << stage, stride=2 if unit == 0 else 1))
                channels = width << stage
        self.body = nn.Sequential(*units)
        self.linear = EqualLinear(channels, style_dim * (num_ws or 1))
        self.noise = None
        if noise_levels:
            widths = [width, *(width << stage for stage in range(len(self.depth)))]  # finest first
            self.noise = NoisePyramid(widths[::-1][:noise_levels])

    def architecture(self) -> dict[str, Any]:
        """What rebuilds this network: `Encoder(**architecture)`.

        Returns:
            Plain values, as JSON can hold them, by argument.
        """
        names = ("depth", "width", "input_channels", "style_dim", "num_ws", "noise_levels")
        return {name: getattr(self, name) for name in names}

    def forward(self, maps: Tensor) -> Tensor:
        """w alone, as the published encoder gives it.

        Args:
            maps: (N, 3, H, W), in [0, 1].

        Returns:
            (N, style_dim) or (N, num_ws, style_dim).
        """
        return self.encode(maps).w

    def encode(self, maps: Tensor) -> Encoded:
        """As `forward`, with the noise images that the encoder predicts.

        Args:
            maps: (N, 3, H, W), in [0, 1].

        Returns:
            w and noise images.
        """
        features = [self.input_layer(fast_layout(maps))]  # the last of each size, finest first
        for unit in self.body:
            x = unit(features[-1])
            if x.shape[2] < features[-1].shape[2]:
                features.append(x)
            else:
                features[-1] = x
        w = self.linear(features[-1].mean(dim=(2, 3)))
        noise = [] if self.noise is None else self.noise(features[::-1][: self.noise_levels])
        return Encoded(w if self.num_ws is None else w.unflatten(1, (self.num_ws, self.style_dim)), noise)


class Reconstructor(nn.Module):
    """Minutiae map → w → image: the two networks of a reconstruction checkpoint."""

    latent_avg: Tensor | None

    def __init__(self, encoder: Encoder, decoder: Generator, latent_avg: Tensor | None = None) -> None:
        """Put the networks together.

        Args:
            encoder: Minutiae map → w.
            decoder: w → image.
            latent_avg: (style_dim,) or (num_ws, style_dim), added to the encoder's output; None adds nothing.
                It is stored beside the state dict, not in it.
        """
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.register_buffer("latent_avg", latent_avg, persistent=False)

    def encode(self, maps: Tensor) -> Encoded:
        """The encoder's output, with the average latent added.

        Args:
            maps: (N, 3, H, W), in [0, 1].

        Returns:
            w (N, style_dim) or (N, num_ws, style_dim), and noise images.
        """
        w, noise = self.encoder.encode(maps)
        if self.latent_avg is None:
            return Encoded(w, noise)
        if w.ndim == 2 and self.latent_avg.ndim == 2:
            w = w.unsqueeze(1)
        return Encoded(w + self.latent_avg, noise)

    def decode(self, encoded: Encoded, precision: MixedPrecision = FULL) -> Tensor:
        """Images of what `encode` gives; layers whose noise was not predicted take their stored buffers.

        Args:
            encoded: w and noise images.
            precision: Of the feature maps.

        Returns:
            (N, C, R, R), float32.
        """
        noise = with_predicted(self.decoder.stored_noise(), encoded.noise)
        return self.decoder.synthesize(encoded.w, noise, precision)

    def forward(self, maps: Tensor) -> Tensor:
        """Images of minutiae maps.

        Args:
            maps: (N, 3, H, W), in [0, 1].

        Returns:
            (N, C, R, R), float32, nominally in [-1, 1].
        """
        return self.decode(self.encode(maps))


def with_predicted(noise: Sequence[Tensor], predicted: Sequence[Tensor]) -> list[Tensor]:
    """A decoder's noise images with the predicted ones in place of those of their sizes."""
    if not predicted:
        return list(noise)
    start = next((i for i, each in enumerate(noise) if each.shape[2:] == predicted[0].shape[2:]), len(noise))
    if [each.shape[2:] for each in noise[start : start + len(predicted)]] != [p.shape[2:] for p in predicted]:
        raise ValueError(
            f"noise predicted from {tuple(predicted[0].shape[2:])} up fits no layers of the decoder"
        )
    return [*noise[:start], *predicted, *noise[start + len(predicted) :]]
