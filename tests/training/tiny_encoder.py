"""What the tests of encoders share: sizes, templates, pairs."""

import numpy as np
import torch

from fingergen.runtime.minutiae import Minutia, MinutiaType, Point, Template
from fingergen.training.data.pairs import Pairs

RESOLUTION, WINDOW, MAP = 32, 64, 32
CPU = torch.device("cpu")
TINY = {"depth": "ir_se_10", "width": 4, "map_size": MAP, "batch": 4}


def spread_template(seed: int, side: int = 256) -> Template:
    """Minutiae of both types on a jittered grid, 42 pixels apart, and a core."""
    rng = np.random.default_rng(seed)
    kinds = (MinutiaType.ENDING, MinutiaType.BIFURCATION)
    minutiae = tuple(
        Minutia(x + rng.uniform(-4, 4), y + rng.uniform(-4, 4), rng.uniform(0, 360), kinds[rng.integers(2)])
        for x in range(24, side - 16, 50)
        for y in range(24, side - 16, 50)
    )
    return Template(side, side, 500, minutiae, cores=(Point(110.0, 90.0),))


class Repeated:
    """Always the same pairs; an image is the negative of its map, so that it can be learnt quickly."""

    def __init__(self, maps: torch.Tensor):
        self.maps = maps

    def batch(self, rng: np.random.Generator, count: int) -> Pairs:
        return self.held_out(count)

    def held_out(self, count: int) -> Pairs:
        maps = self.maps[:count]
        return Pairs(255 - maps.amax(dim=1, keepdim=True), maps)
