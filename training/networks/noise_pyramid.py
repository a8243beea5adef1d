"""A spatial path from the encoder to the decoder: noise images predicted from the minutiae map.

One latent vector says how a print looks, not where its ridges run: 512 numbers are too few for thirty
minutiae and all that lies between. StyleGAN2's decoder has spatial inputs already, the noise image of every
layer; a feature pyramid (Lin et al., arXiv:1612.03144) on the encoder's trunk draws these instead of chance.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from .layers import EqualConv, FusedLeakyReLU

LAYERS_PER_LEVEL = 2  # a StyleGAN2 resolution has two layers, each with a noise image


class NoisePyramid(nn.Module):
    """Features of a trunk, coarsest first, each twice the size of the one before → two noise images of each
    one's size."""

    def __init__(self, widths: Sequence[int]) -> None:
        """`widths`: channels of the features, coarsest first."""
        super().__init__()
        self.down = nn.ModuleList(EqualConv(coarse, fine, 1) for coarse, fine in pairwise(widths))
        self.merge = nn.ModuleList(_block(width) for width in widths)
        self.head = nn.ModuleList(EqualConv(width, LAYERS_PER_LEVEL, 1) for width in widths)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """features: (N, C, H, W) each, coarsest first → noise (N, 1, H, W), two a feature, coarsest first."""
        noise: list[Tensor] = []
        x = None
        for level, feature in enumerate(features):
            if x is not None:
                feature = feature + F.interpolate(self.down[level - 1](x), scale_factor=2.0, mode="nearest")
            x = self.merge[level](feature)
            noise += self.head[level](x).split(1, dim=1)
        return noise


def _block(width: int) -> nn.Sequential:
    return nn.Sequential(
        EqualConv(width, width, 3, padding=1),
        FusedLeakyReLU(width),
        EqualConv(width, width, 3, padding=1),
        FusedLeakyReLU(width),
    )
