"""What LEADER sees in two sets of prints: the minutiae network of `pyfing` (extra `leader`), as a loss.

LEADER (MIT, its weights come with the package) is a Keras model; on Keras' torch backend gradients pass it.
It reads images of 500 ppi, gray levels 0 to 255.
"""

import importlib
import os
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fingergen.runtime.errors import BadOption

from ..networks.minutiae_net import layers_distance

# Decoder stages of its second part, coarsest first, then where minutiae are and which way they point.
LAYERS = [*(f"dec1_{stage}_conv_adj" for stage in (3, 2, 1, 0)), "head_conv_pos", "head_conv_dir"]
MULTIPLE = 32  # of its images' sides


class LeaderDistance:
    """Distance of two sets of images (N, C, R, R) in [-1, 1], gray or RGB; scalar, 0 for equal ones.

    That of `feature_distance`, through LEADER's layers and the minutiae it draws. Gradients reach the first
    images only.
    """

    def __init__(self, window: int, device: torch.device) -> None:
        """`window`: side of the images' view in pixels at 500 ppi. BadInput if pyfing or Keras is missing."""
        self._keras, self._window, self._device = _keras(), window, str(device)
        with self._keras.device(self._device):
            model = _leader()
            outputs = [model.get_layer(name).output for name in LAYERS]
            self.network = self._keras.Model(model.input, outputs).to(device).requires_grad_(False)

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        with torch.no_grad():
            wanted, wanted_map = self._look(targets)
        found, found_map = self._look(images)
        return layers_distance(found, wanted) + F.mse_loss(found_map, wanted_map)

    def _look(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """Activations (N, C, H, W), and minutiae (N, 3, H, W): where, then also which way."""
        size, short = (self._window, self._window), -self._window % MULTIPLE
        images = F.interpolate(
            images.mean(dim=1, keepdim=True), size=size, mode="bilinear", align_corners=False
        )
        images = F.pad(images, (0, short, 0, short), value=1.0)  # white
        with self._keras.device(self._device):
            seen = self.network(127.5 * (images + 1).permute(0, 2, 3, 1), training=False)
        *layers, where, direction = (each.permute(0, 3, 1, 2) for each in seen)
        return layers, torch.cat([where, where * F.normalize(direction)], dim=1)


def _keras() -> Any:
    """Keras on its torch backend."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    try:
        keras = importlib.import_module("keras")
    except ImportError as error:
        raise BadOption(
            "feature-network",
            "leader",
            f"needs pyfing and Keras; pip install 'fingergen[leader]' ({str(error).splitlines()[0]})",
        ) from error
    if keras.backend.backend() != "torch":
        raise BadOption(
            "feature-network", "leader", f"Keras runs on {keras.backend.backend()}; set KERAS_BACKEND=torch"
        )
    return keras


def _leader() -> Any:
    try:
        return importlib.import_module("pyfing.minutiae_end_to_end").Leader().model
    except ImportError as error:
        raise BadOption(
            "feature-network",
            "leader",
            f"needs pyfing 0.7 or newer; pip install 'fingergen[leader]' ({str(error).splitlines()[0]})",
        ) from error
