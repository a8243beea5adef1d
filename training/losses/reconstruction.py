"""Losses of the encoder's training that compare images."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ..networks.minutiae_net import MinutiaeNet, feature_distance, map_distance
from .fingernet import FingerNetDistance
from .leader import LeaderDistance
from .lpips import PerceptualDistance
from .ridge_flow import flow_distance

# Not cores and deltas: trained for these too, images showed gray spots in their places, which the minutiae
# network takes for them.
MINUTIA_CHANNELS = 2
Distance = Callable[[Tensor, Tensor], Tensor]  # of images (N, C, H, W) in [-1, 1] from wanted ones; scalar
Terms = dict[str, tuple[float, Tensor]]  # weight and value of each part of a loss


class ImageLossConfig(Protocol):
    """The options that the losses depend on; `trainers.encoder_config` has their defaults and help."""

    @property
    def l2_weight(self) -> float: ...
    @property
    def lpips_weight(self) -> float: ...
    @property
    def lpips_backbone(self) -> str | None: ...
    @property
    def feature_weight(self) -> float: ...
    @property
    def feature_network(self) -> str: ...
    @property
    def flow_weight(self) -> float: ...
    @property
    def minutiae_weight(self) -> float: ...


class ImageLosses:
    """All losses of weight above 0; the networks of the others are not even loaded."""

    def __init__(
        self, config: ImageLossConfig, network: MinutiaeNet, window: int, device: torch.device
    ) -> None:
        """Load the networks that the losses need.

        Args:
            config: Weights and networks.
            network: The minutiae network, trained and frozen before the first call.
            window: Side of the images' view in pixels at 500 ppi.
            device: Where the losses are computed.

        Raises:
            BadInput: If a package is not installed or a file holds no such weights.
        """
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
        """Compare reconstructed images with those of the data.

        Args:
            found: Reconstructed images (N, C, R, R), nominally in [-1, 1].
            images: Images (N, C, R, R) in [-1, 1] to be reconstructed.
            maps: Their minutiae maps (N, 3, S, S) in [0, 1].

        Returns:
            Weight and scalar value of each loss, by name.
        """
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
