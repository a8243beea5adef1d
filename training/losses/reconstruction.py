"""What the encoder's training asks of the decoder's images."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..networks.minutiae_net import MinutiaeNet, feature_distance, map_distance
from ..trainers.encoder_config import EncoderConfig
from .fingernet import FingerNetDistance
from .leader import LeaderDistance
from .lpips import PerceptualDistance
from .ridge_flow import flow_distance

# Not cores and deltas: an image that was asked for them showed grey spots in their places, which the network
# takes for them.
MINUTIA_CHANNELS = 2
Distance = Callable[[Tensor, Tensor], Tensor]  # of images (N, C, H, W) in [-1, 1] from wanted ones; scalar
Terms = dict[str, tuple[float, Tensor]]  # weight and value of each part of a loss


class ImageLosses:
    """Those that look at images; networks that have no weight in them are not even loaded."""

    def __init__(
        self, config: EncoderConfig, network: MinutiaeNet, window: int, device: torch.device
    ) -> None:
        """`network` as in `EncoderTrainer`; `window`: side of the images' view in pixels at 500 ppi."""
        self._minutiae_weight, self._network = config.minutiae_weight, network
        self._distances: dict[str, tuple[float, Distance]] = {"l2": (config.l2_weight, F.mse_loss)}
        if config.lpips_weight and config.lpips_backbone:
            perceptual = PerceptualDistance(Path(config.lpips_backbone), device)
            self._distances["lpips"] = (config.lpips_weight, perceptual)
        if config.feature_weight:
            features = _feature_distance(config.feature_network, network, window, device)
            self._distances["features"] = (config.feature_weight, features)
        if config.flow_weight:
            self._distances["flow"] = (config.flow_weight, flow_distance)

    def __call__(self, found: Tensor, images: Tensor, maps: Tensor) -> Terms:
        """Of images `found` and wanted (N, C, R, R) in [-1, 1], and of the maps (N, 3, S, S) in [0, 1]."""
        terms = {
            name: (weight, distance(found, images)) for name, (weight, distance) in self._distances.items()
        }
        if self._minutiae_weight:
            distance = map_distance(self._network, found, maps, MINUTIA_CHANNELS)
            terms["minutiae"] = (self._minutiae_weight, distance)
        return terms


def _feature_distance(name: str, network: MinutiaeNet, window: int, device: torch.device) -> Distance:
    if name == "ours":
        return partial(feature_distance, network)
    if name == "leader":
        return LeaderDistance(window, device)
    return FingerNetDistance(Path(name), window, device)
