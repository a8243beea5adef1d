"""Minutiae maps as tensors: drawn from templates, and read back into templates.

Reading is matched filtering: a map's bright spots are compared with drawings of a minutia in every direction.
It inverts `minutiae_map` but for the type of a singular point, which the map does not show: all become cores.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fingergen.runtime.bundle.manifest import ImageSize
from fingergen.runtime.minutiae import PPI, Minutia, MinutiaType, Point, Template
from fingergen.runtime.pipeline.reconstruction import encoder_maps

Detections = list[tuple[float, float, float]]  # x, y in pixels from the top left, degrees counter-clockwise
TYPES = (MinutiaType.ENDING, MinutiaType.BIFURCATION)  # of the map's channels

DIRECTIONS = 24
REACH = 20  # pixels around a minutia that its drawing covers
SEARCH = 4  # pixels from a bright spot at which its minutia may lie
APART = 5.0  # pixels: of minutiae nearer than this one is read
SINGULAR_APART = 16.0


def draw_maps(templates: Sequence[Template], window: int, size: int) -> Tensor:
    """Maps uint8 (N, 3, size, size) of templates in a field of view of `window` pixels at 500 ppi."""
    maps = encoder_maps(templates, ImageSize(PPI * size / window, window, PPI), size)
    return torch.from_numpy(np.ascontiguousarray(maps.transpose(0, 3, 1, 2)))


class MapReader(nn.Module):
    """Reads maps of any size that show `window` pixels at 500 ppi."""

    minutia: Tensor
    singular: Tensor
    spot: Tensor

    def __init__(self, window: int, threshold: float = 0.5) -> None:
        """`threshold`: least similarity with a drawn minutia, which is 1 for the drawing itself."""
        super().__init__()
        self.window, self.threshold = window, threshold
        side = 2 * REACH + 1
        angles = [360 * direction / DIRECTIONS for direction in range(DIRECTIONS)]
        drawn = [Template(side, side, PPI, (Minutia(REACH, REACH, a, MinutiaType.ENDING),)) for a in angles]
        core = Template(side, side, PPI, cores=(Point(REACH, REACH),))
        spot = torch.exp(-torch.arange(-9.0, 10.0).square() / 18)
        self.register_buffer("minutia", _filters(draw_maps(drawn, side, side)[:, :1]), persistent=False)
        self.register_buffer("singular", _filters(draw_maps([core], side, side)[:, 2:]), persistent=False)
        self.register_buffer("spot", spot / spot.sum(), persistent=False)

    @torch.no_grad()
    def forward(self, maps: Tensor) -> list[Template]:
        """maps (N, 3, H, W), float in [0, 1] → a template each, of `window` pixels per side."""
        maps = F.interpolate(maps, size=(self.window, self.window), mode="bilinear", antialias=False)
        minutiae, kinds = self._read(maps[:, :2], self.minutia, APART)
        cores, _ = self._read(maps[:, 2:], self.singular, SINGULAR_APART)
        templates = []
        for rows, types, points in zip(minutiae, kinds, cores, strict=True):
            read = [Minutia(x, y, a, TYPES[t]) for (x, y, a), t in zip(rows, types, strict=True)]
            found = [Point(x, y) for x, y, _ in points]
            templates.append(Template(self.window, self.window, PPI, tuple(read), tuple(found)))
        return templates

    def _read(self, maps: Tensor, filters: Tensor, apart: float) -> tuple[list[Detections], list[list[int]]]:
        """Rows x, y, degrees and the channel of what resembles a filter, for each of maps (N, C, H, W)."""
        places = self._bright_spots(maps)  # [P, 4]: n, channel, row, column
        if not len(places):
            return [[] for _ in maps], [[] for _ in maps]
        patches = _patches(maps, places, REACH + SEARCH)  # [P, k + 2s, k + 2s]
        direction, _ = _best_direction(patches[:, SEARCH:-SEARCH, SEARCH:-SEARCH], filters)
        # The drawing in its direction, shifted over the patch: a convolution with a filter a place.
        shifted = F.conv2d(patches[None], filters[direction], groups=len(places))[0]  # [P, 2s + 1, 2s + 1]
        similarity, index = shifted.flatten(1).max(dim=1)
        offset = torch.stack([index // (2 * SEARCH + 1), index % (2 * SEARCH + 1)], dim=1) - SEARCH
        places[:, 2:] = (places[:, 2:] + offset).clamp(0, self.window - 1)
        _, angles = _best_direction(_patches(maps, places, REACH), filters)
        order = similarity.argsort(descending=True)
        order = order[similarity[order] > self.threshold]
        rows: list[Detections] = [[] for _ in maps]
        channels: list[list[int]] = [[] for _ in maps]
        for (n, channel, row, column), angle in zip(
            places[order].tolist(), angles[order].tolist(), strict=True
        ):
            if all((column - x) ** 2 + (row - y) ** 2 >= apart**2 for x, y, _ in rows[n]):
                rows[n].append((column, row, angle))
                channels[n].append(channel)
        return rows, channels

    def _bright_spots(self, maps: Tensor) -> Tensor:
        """Local maxima of the smoothed maps (N, C, H, W); int64 (P, 4)."""
        flat = maps.flatten(0, 1)[:, None]
        half = len(self.spot) // 2
        smooth = F.conv2d(flat, self.spot.view(1, 1, 1, -1), padding=(0, half))
        smooth = F.conv2d(smooth, self.spot.view(1, 1, -1, 1), padding=(half, 0))
        highest = F.max_pool2d(F.max_pool2d(smooth, (1, 7), 1, (0, 3)), (7, 1), 1, (3, 0))
        return ((smooth == highest) & (smooth > self.threshold / 2)).view(maps.shape).nonzero()


def _filters(drawings: Tensor) -> Tensor:
    """Matched filters [K, 1, k, k] of uint8 drawings: blind to a constant, 1 on the drawing itself."""
    drawings = drawings.float() / 255
    centered = drawings - drawings.mean(dim=(2, 3), keepdim=True)
    return centered / centered.square().sum(dim=(2, 3), keepdim=True)


def _patches(maps: Tensor, places: Tensor, reach: int) -> Tensor:
    """Squares [P, 2·reach + 1, 2·reach + 1] of maps (N, C, H, W) about `places` (P, 4); 0 outside."""
    padded = F.pad(maps, (reach, reach, reach, reach))
    steps = torch.arange(2 * reach + 1, device=maps.device)
    n, channel, row, column = places.T[:, :, None, None]
    return padded[n, channel, row + steps[:, None], column + steps]


def _best_direction(patches: Tensor, filters: Tensor) -> tuple[Tensor, Tensor]:
    """The most similar of `filters`, int64 [P], and its direction in degrees, refined by a parabola, [P]."""
    similarity = patches.flatten(1) @ filters.flatten(1).T  # [P, directions]
    best, index = similarity.max(dim=1, keepdim=True)
    count = len(filters)
    before, after = (similarity.gather(1, (index + step) % count) for step in (-1, 1))
    curvature = (2 * best - before - after).clamp(min=1e-6)
    shift = ((after - before) / (2 * curvature)).clamp(-0.5, 0.5)
    return index[:, 0], ((index + shift) * (360 / count))[:, 0]
