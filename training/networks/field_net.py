"""The network that reads a finger's fields off its minutiae: orientation, ridge period and contact."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fingergen.runtime.minutiae.raster import CHANNELS, FIELDS

WIDTHS = (32, 64, 96, 128)


class FieldNet(nn.Module):
    """A U-Net (Ronneberger et al., arXiv:1505.04597): raster of a template → its fields, cell by cell.

    The output's channels: cosine and sine of twice the orientation (not of unit length where it is unsure),
    four times the logarithm of the period over 9 pixels at 500 ppi, and the logit of contact.
    """

    def __init__(self, widths: tuple[int, int, int, int] = WIDTHS) -> None:
        super().__init__()
        self.widths = tuple(widths)
        a, b, c, d = widths
        self.enter = nn.Sequential(nn.Conv2d(CHANNELS + 2, a, 5, padding=2), Block(a, a))
        self.down = nn.ModuleList(
            nn.Sequential(Block(i, o, stride=2), Block(o, o)) for i, o in ((a, b), (b, c), (c, d))
        )
        self.deep = nn.Sequential(Block(d, d), Block(d, d))
        self.up = nn.ModuleList(
            nn.Sequential(Block(i, o), Block(o, o)) for i, o in ((d + c, c), (c + b, b), (b + a, a))
        )
        self.leave = nn.Conv2d(a, FIELDS, 3, padding=1)

    def forward(self, raster: Tensor) -> Tensor:
        """float32 (N, CHANNELS, S, S), S a multiple of 8 → (N, FIELDS, S, S)."""
        size = raster.shape[-1]
        line = (torch.arange(size, device=raster.device, dtype=raster.dtype) + 0.5) * (2 / size) - 1
        place = torch.stack(torch.meshgrid(line, line, indexing="xy"))  # x, y in [-1, 1]
        x = self.enter(torch.cat([raster, place.expand(len(raster), -1, -1, -1)], 1))
        finer = []
        for block in self.down:
            finer.append(x)
            x = block(x)
        x = self.deep(x)
        for block, skipped in zip(self.up, reversed(finer), strict=True):
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = block(torch.cat([x, skipped], 1))
        return self.leave(x)


class Block(nn.Sequential):
    """A 3x3 convolution, group normalization and SiLU: (N, C, H, W) → (N, C', H, W)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1), nn.GroupNorm(8, outputs), nn.SiLU()
        )
