"""StyleGAN2 generator, skip architecture (Karras et al., arXiv:1912.04958, figure 7)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import EqualLinear, Fir, FusedLeakyReLU, ModulatedConv, PixelNorm
from .ops import fast_layout
from .precision import FULL, MixedPrecision

ImagePadding = Literal["zeros", "replicate"]

STRONGEST = 12.0
"""How many times as strong w can make noise: nothing in a procedural impression is more than 12 times as
strong as in the median one."""


def feature_widths(
    resolution: int,
    channel_base: int,
    channel_max: int,
    widths: Mapping[int, int] | None = None,
    channel_min: int = 1,
) -> dict[int, int]:
    """Feature channels at every resolution 4, 8, … `resolution`.

    `widths` where given (keys may be strings, as JSON makes them), else channel_base / res, but at least
    channel_min and at most channel_max.
    `ValueError` when the resolution is no power of two from 8 up or has no width.
    """
    if resolution < 8 or resolution & (resolution - 1):
        raise ValueError(f"resolution must be a power of two, at least 8, not {resolution}")
    resolutions = [4 << i for i in range(int(math.log2(resolution)) - 1)]
    if widths is None:
        return {res: max(channel_min, min(channel_max, channel_base // res)) for res in resolutions}
    given = {int(res): width for res, width in widths.items()}
    if missing := [res for res in resolutions if res not in given]:
        raise ValueError(f"widths lacks the resolutions {missing}")
    return {res: given[res] for res in resolutions}


class ConstantInput(nn.Module):
    """The learned 4x4 input, the same for every sample."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.input = nn.Parameter(torch.randn(1, channels, 4, 4))


class NoiseInjection(nn.Module):
    """Adds a noise image (1 | N, 1, H, W) to all channels with a learned strength.

    If `styled`, the style (N, style_dim) multiplies it, by a logistic function of a number that is linear in
    the style. So along a direction of w a strength doubles again and again, as do those of what skin and
    sensors add to an impression, and it neither changes its sign nor grows beyond STRONGEST.
    """

    exponent: nn.Parameter | None

    def __init__(self, style_dim: int, styled: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.style_dim = style_dim
        self.register_parameter("exponent", nn.Parameter(torch.zeros(1, style_dim)) if styled else None)
        self.scale = 1 / math.sqrt(style_dim)

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        if self.exponent is None:
            return x + (self.weight * noise).to(x.dtype)
        exponent = F.linear(style, self.exponent * self.scale)
        strength = self.weight * STRONGEST / (1 + (STRONGEST - 1) * torch.exp(-exponent))
        return x + (strength[:, :, None, None] * noise).to(x.dtype)


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, noise, bias and activation."""

    def __init__(
        self, in_channels: int, out_channels: int, style_dim: int, styled_noise: bool, up: bool = False
    ) -> None:
        super().__init__()
        self.conv = ModulatedConv(in_channels, out_channels, 3, style_dim, up=up)
        self.noise = NoiseInjection(style_dim, styled_noise)
        self.activate = FusedLeakyReLU(out_channels)

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        return self.activate(self.noise(self.conv(x, style), style, noise))


class ToRGB(nn.Module):
    """Feature maps → image channels, added to the upsampled image of the level below; float32."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        style_dim: int,
        first: bool = False,
        image_padding: ImagePadding = "zeros",
    ) -> None:
        super().__init__()
        self.image_padding = image_padding
        if not first:
            self.upsample = Fir(pad=(2, 1), up=2, gain=4.0)
        self.conv = ModulatedConv(in_channels, out_channels, 1, style_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(1, out_channels, 1, 1))

    def forward(self, x: Tensor, style: Tensor, image: Tensor | None = None) -> Tensor:
        out = self.conv(x, style) + self.bias
        if image is None:
            return out
        image = self.upsample(image)
        if self.image_padding == "replicate":
            scale = border_scale(image.shape[-1]).to(image)
            image = image * scale * scale.T
        return out + image


def border_scale(resolution: int) -> Tensor:
    """What makes of an image upsampled with zeros beyond its border one upsampled with a replicated border.

    Of the filter's weights, the first and the last line take a quarter from beyond the border, from one
    line of the smaller image, and three quarters from the line at the border.

    Args:
        resolution: R, pixels per side of the upsampled image.

    Returns:
        Factors of its rows, float32 (R, 1); the same are those of its columns.
    """
    scale = torch.ones(resolution, 1)
    scale[0] = scale[-1] = 4 / 3
    return scale


class Generator(nn.Module):
    """Latent → image. The defaults are the SynFing release (256x256, one channel).

    Images are unclipped float32, nominally in [-1, 1]: white background +1, ridges -1.
    """

    noises: nn.Module

    def __init__(
        self,
        resolution: int = 256,
        channels: int = 1,
        style_dim: int = 512,
        n_mlp: int = 8,
        channel_base: int = 32768,
        channel_max: int = 512,
        widths: Mapping[int, int] | None = None,
        lr_mlp: float = 0.01,
        image_padding: ImagePadding = "zeros",
        styled_noise: bool = False,
        raw_z: bool = False,
    ) -> None:
        """Make the layers.

        Args:
            resolution: R: pixels per side of images, a power of two, 8 or more.
            channels: Of images: 1 (gray) or 3.
            style_dim: Components of z and w.
            n_mlp: Layers of the mapping network.
            channel_base: Feature channels are min(channel_max, channel_base / resolution).
            channel_max: The most of them.
            widths: Resolution → feature channels, in place of both.
            lr_mlp: Learning-rate multiplier of the mapping network.
            image_padding: What the image of a level has beyond its border where it is upsampled: `zeros`, as
                in StyleGAN2, which draw a line along the border, or its own border, `replicate`.
            styled_noise: Whether the strengths of the noise depend on w, which StyleGAN2's do not.
            raw_z: Whether the mapping network takes z as it is; StyleGAN2's divides it by its root mean
                square.

        Raises:
            ValueError: The resolution is no such power, or `widths` lacks one.
        """
        super().__init__()
        self.resolution = resolution
        self.channels = channels
        self.style_dim = style_dim
        self.n_mlp = n_mlp
        self.lr_mlp = lr_mlp
        self.image_padding = image_padding
        self.styled_noise = styled_noise
        self.raw_z = raw_z
        self.widths = feature_widths(resolution, channel_base, channel_max, widths)
        self.num_ws = 2 * int(math.log2(resolution)) - 2

        mapping = [EqualLinear(style_dim, style_dim, lr_mul=lr_mlp, activate=True) for _ in range(n_mlp)]
        self.style = nn.Sequential(nn.Identity() if raw_z else PixelNorm(), *mapping)
        width = self.widths[4]
        self.input = ConstantInput(width)
        self.conv1 = StyledConv(width, width, style_dim, styled_noise)
        self.to_rgb1 = ToRGB(width, channels, style_dim, first=True)
        self.convs = nn.ModuleList()
        self.to_rgbs = nn.ModuleList()
        res = 4
        while res < resolution:
            res *= 2
            below, width = width, self.widths[res]
            self.convs.append(StyledConv(below, width, style_dim, styled_noise, up=True))
            self.convs.append(StyledConv(width, width, style_dim, styled_noise))
            self.to_rgbs.append(ToRGB(width, channels, style_dim, image_padding=image_padding))
        self.noises = nn.Module()
        for i, noise in enumerate(self.random_noise(1)):
            self.noises.register_buffer(f"noise_{i}", noise)

    def architecture(self) -> dict[str, Any]:
        """What rebuilds this network: `Generator(**architecture)`.

        Returns:
            Plain values, as JSON can hold them, by argument.
        """
        names = ("resolution", "channels", "style_dim", "n_mlp", "widths", "lr_mlp")
        return {name: getattr(self, name) for name in (*names, "image_padding", "styled_noise", "raw_z")}

    def forward(self, z: Tensor) -> Tensor:
        """Images of latents, with the stored noise.

        Args:
            z: (N, style_dim), standard normal.

        Returns:
            (N, channels, R, R).
        """
        return self.synthesize(self.map(z))

    def map(self, z: Tensor) -> Tensor:
        """The mapping network.

        Args:
            z: (N, style_dim), standard normal.

        Returns:
            w, (N, style_dim).
        """
        return self.style(z)

    def synthesize(
        self, w: Tensor, noise: Sequence[Tensor] | None = None, precision: MixedPrecision = FULL
    ) -> Tensor:
        """The synthesis network.

        Args:
            w: (N, style_dim) or (N, num_ws, style_dim).
            noise: (1, 1, H, W) or (N, 1, H, W) for each layer, of the sizes of `noise_shapes`; None: the
                stored buffers.
            precision: Of the feature maps.

        Returns:
            (N, channels, R, R), float32 whatever the precision.
        """
        if w.ndim == 2:
            w = w.unsqueeze(1).expand(-1, self.num_ws, -1)
        noise = self.stored_noise() if noise is None else noise
        x = self.input.input.expand(w.shape[0], -1, -1, -1)
        x = fast_layout(precision.cast(x, 4, self.resolution))
        x = self.conv1(x, w[:, 0], noise[0])
        image = self.to_rgb1(x, w[:, 1])
        for level, to_rgb in enumerate(self.to_rgbs):
            i = 2 * level + 1  # the last style of the level below is also the first of this one
            x = precision.cast(x, 8 << level, self.resolution)
            x = self.convs[i - 1](x, w[:, i], noise[i])
            x = self.convs[i](x, w[:, i + 1], noise[i + 1])
            image = to_rgb(x, w[:, i + 2], image)
        return image

    def noise_shapes(self) -> list[tuple[int, int, int, int]]:
        """The sizes of the noise images.

        Returns:
            (1, 1, H, W) for each layer: one at 4x4, then two per resolution.
        """
        sizes = [4 << (i + 1) // 2 for i in range(self.num_ws - 1)]
        return [(1, 1, size, size) for size in sizes]

    def stored_noise(self) -> list[Tensor]:
        """The noise buffers of the state dict, for noise mode `const`.

        Returns:
            (1, 1, H, W) for each layer.
        """
        return [getattr(self.noises, f"noise_{i}") for i in range(self.num_ws - 1)]

    def random_noise(self, n: int, generator: torch.Generator | None = None) -> list[Tensor]:
        """Fresh noise, for noise mode `random`.

        Args:
            n: Number of images.
            generator: Where the numbers come from, on the network's device; None: PyTorch's default.

        Returns:
            (n, 1, H, W) for each layer, standard normal, on the network's device.
        """
        device = self.input.input.device
        return [
            torch.randn(n, *shape[1:], device=device, generator=generator) for shape in self.noise_shapes()
        ]

    def zero_noise(self) -> list[Tensor]:
        """Noise of zeros, for noise mode `none`.

        Returns:
            (1, 1, H, W) for each layer, on the network's device.
        """
        return [torch.zeros(shape, device=self.input.input.device) for shape in self.noise_shapes()]

    @torch.no_grad()
    def mean_w(self, n: int = 4096, generator: torch.Generator | None = None) -> Tensor:
        """The center of truncation.

        Args:
            n: Number of latents that are mapped.
            generator: Where they come from, on the network's device; None: PyTorch's default.

        Returns:
            The mean of their w, (style_dim,).
        """
        z = torch.randn(n, self.style_dim, device=self.input.input.device, generator=generator)
        return self.map(z).mean(dim=0)

    @staticmethod
    def truncate(w: Tensor, w_avg: Tensor, psi: float) -> Tensor:
        """w_avg + psi · (w - w_avg).

        Args:
            w: Of any shape that ends in style_dim.
            w_avg: (style_dim,).
            psi: 1 leaves w as it is, 0 gives w_avg.

        Returns:
            Of w's shape.
        """
        return torch.lerp(w_avg.expand_as(w), w, psi)
