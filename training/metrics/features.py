"""Networks whose activations describe an image as a vector, for distances between sets of images."""

import hashlib
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fingergen.runtime.errors import BadInput, BadOption

from ..checkpoints.files import read
from ..networks.minutiae_net import MinutiaeNet

INCEPTION_SIDE = 299  # pixels
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Extractor(Protocol):
    """A network that describes an image by a vector of features, for FID, KID and diversity."""

    @property
    def network(self) -> nn.Module: ...

    def __call__(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] → features (N, F)."""
        ...


class FingerprintFeatures:
    """What the minutiae network sees: mean and deviation over the image of each channel of each layer."""

    def __init__(self, network: MinutiaeNet) -> None:
        """`network`: in evaluation mode."""
        self.network = network

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        layers = self.network.features(images)
        return torch.cat([part for x in layers for part in (x.mean((2, 3)), x.std((2, 3)))], dim=1)


class InceptionFeatures:
    """The 2048 activations before the last layer of Inception v3, from torchvision and with its weights.

    They are not the weights that published FIDs are taken with: compare figures of these alone.
    """

    def __init__(self, weights: Path, device: torch.device) -> None:
        """BadInput if torchvision is not installed or `weights` are not those of its `inception_v3`."""
        try:
            from torchvision.models import inception_v3
        except (ImportError, RuntimeError) as error:  # the latter: built for another PyTorch
            raise BadOption(
                "inception",
                None,
                f"needs the torchvision of PyTorch {torch.__version__}; install that "
                f"({str(error).splitlines()[0]})",
            ) from error
        state = read(weights)
        network = inception_v3(weights=None, aux_logits=True, transform_input=False, init_weights=False)
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise BadInput(
                f"{weights}: are not the weights of torchvision's inception_v3; fetch "
                "https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth"
            ) from error
        network.fc = nn.Identity()
        self.network = network.to(device).eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        images = (images.clamp(-1, 1) + 1) / 2
        size = (INCEPTION_SIDE, INCEPTION_SIDE)
        images = F.interpolate(images, size=size, mode="bilinear", antialias=True, align_corners=False)
        mean, std = (images.new_tensor(each).view(1, 3, 1, 1) for each in (IMAGENET_MEAN, IMAGENET_STD))
        return self.network((images.expand(-1, 3, -1, -1) - mean) / std)


def weights_digest(network: nn.Module) -> bytes:
    """SHA-256 of the names, types, shapes and values in a network's state dict."""
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.digest()
