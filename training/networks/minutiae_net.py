"""A small network that sees minutiae: image → minutiae map. Its layers measure how alike two prints are."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import BatchNorm2d
from .ops import fast_layout

MINUTIA_WEIGHT = 5.0


def _conv(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False),
        BatchNorm2d(out_channels),
        nn.LeakyReLU(0.2),
    )


class MinutiaeNet(nn.Module):
    """A feature pyramid (Lin et al., arXiv:1612.03144) down to an eighth: image → minutiae map of its size.

    Images (N, C, H, W) in [-1, 1], gray or RGB, H and W multiples of 8; maps (N, 3, H, W) as `minutiae_map`
    draws them, in [0, 1]. `width`: channels at full size, doubled with each of three halvings.
    """

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.width = width
        widths = [width << level for level in range(4)]
        self.down = nn.ModuleList([nn.Sequential(_conv(1, width), _conv(width, width))])
        self.side = nn.ModuleList()
        self.up = nn.ModuleList()
        for fine, coarse in pairwise(widths):
            self.down.append(nn.Sequential(_conv(fine, coarse, stride=2), _conv(coarse, coarse)))
            self.side.insert(0, nn.Conv2d(coarse, fine, 1))
            self.up.insert(0, _conv(fine, fine))
        self.head = nn.Conv2d(width, 3, 1)
        nn.init.constant_(self.head.get_parameter("bias"), -4.0)  # most of a map is empty

    def architecture(self) -> dict[str, Any]:
        """Plain values that rebuild this network: `MinutiaeNet(**architecture)`."""
        return {"width": self.width}

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, 3, H, W) of the map."""
        return self.head(self.features(images)[-1])

    def features(self, images: Tensor) -> list[Tensor]:
        """Activations from an eighth of the image's size to all of it."""
        x = fast_layout(images.mean(dim=1, keepdim=True))
        skips = []
        for down in self.down:
            x = down(x)
            skips.append(x)
        features = [skips.pop()]
        for side, up in zip(self.side, self.up, strict=True):
            larger = F.interpolate(side(features[-1]), scale_factor=2.0, mode="nearest")
            features.append(up(larger + skips.pop()))
        return features


def map_distance(network: MinutiaeNet, images: Tensor, maps: Tensor, channels: int = 3) -> Tensor:
    """How far what `network` sees in images (N, C, H, W) is from minutiae maps (N, 3, S, S), in the first
    `channels` of these; scalar.

    Cross entropy, a minutia's pixels weighted over those of the background, fifty times as many.
    """
    target = F.interpolate(maps, size=tuple(images.shape[2:]), mode="bilinear", antialias=True)[:, :channels]
    seen = network(images)[:, :channels]
    return F.binary_cross_entropy_with_logits(seen, target, 1 + MINUTIA_WEIGHT * target)


def feature_distance(network: MinutiaeNet, images: Tensor, targets: Tensor) -> Tensor:
    """How differently `network` sees two sets of images (N, C, H, W); scalar, 0 for equal ones.

    `layers_distance`, plus the mean squared difference of the maps. Gradients reach `images` only.
    """
    with torch.no_grad():
        wanted = network.features(targets)
        wanted_map = torch.sigmoid(network.head(wanted[-1]))
    found = network.features(images)
    return layers_distance(found, wanted) + F.mse_loss(torch.sigmoid(network.head(found[-1])), wanted_map)


def layers_distance(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """How different a network's activations (N, C, H, W), a layer each, are; scalar, 0 for equal ones.

    Mean squared difference, once scaled to unit length at every pixel (as in LPIPS, arXiv:1801.03924),
    averaged over the layers.
    """
    distances = [
        (F.normalize(one) - F.normalize(other)).square().sum(dim=1).mean()
        for one, other in zip(found, wanted, strict=True)
    ]
    return torch.stack(distances).mean()
