"""LPIPS (Zhang et al., arXiv:1801.03924): how different two images look, by the library `lpips`.

The library brings its own weights, but not those of the network below, torchvision's AlexNet or VGG-16, which
it would fetch from the internet: here they are read from a file.
"""

import warnings
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from fingergen.runtime.errors import BadInput, BadOption

from ..checkpoints.files import read
from ..checkpoints.shapes import StateDict

# Shape of the first convolution's weights, which tells the networks apart.
BACKBONES = {"alex": (64, 3, 11, 11), "vgg": (64, 3, 3, 3)}
FIRST = "features.0.weight"
LARGEST = 256  # pixels per side; larger images are averaged down to it, as in the published training


class PerceptualDistance:
    """Distance of two sets of images (N, C, H, W) in [-1, 1], gray or RGB; scalar, 0 for equal ones.

    Gradients reach the first images only.
    """

    def __init__(self, backbone: Path, device: torch.device) -> None:
        """`backbone`: file of torchvision's `alexnet` or `vgg16` weights; BadInput if it is none, or if the
        library (extra `lpips`) is missing."""
        try:
            from lpips import LPIPS
        except (ImportError, RuntimeError) as error:  # the latter: torchvision is of another PyTorch
            raise BadOption(
                "lpips-weight",
                None,
                f"needs lpips and the torchvision of this PyTorch;"
                f" pip install 'fingergen[lpips]' ({str(error).splitlines()[0]})",
            ) from error
        state = StateDict(f"--lpips-backbone {backbone}", read(backbone))
        shape = state.tensors[FIRST].shape if FIRST in state.tensors else None
        found = [name for name, wanted in BACKBONES.items() if shape == wanted]
        if not found:
            raise BadInput(
                f"{backbone}: are not the weights of torchvision's alexnet or vgg16 ('{FIRST}' is"
                f" {tuple(shape) if shape else 'missing'})"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about an old name of torchvision's option
            self.network = LPIPS(net=found[0], pnet_rand=True, verbose=False)
        for name, own in self.network.net.state_dict().items():
            key = f"features.{name.partition('.')[2]}"  # the library cuts the network into slice1, slice2, …
            if key not in state.tensors or state.tensors[key].shape != own.shape:
                raise BadInput(
                    f"{backbone}: '{key}' is missing or not of shape {tuple(own.shape)}; fetch it again"
                )
            own.copy_(state.tensors[key])
        self.network.to(device).eval().requires_grad_(False)

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        return self.network(_prepare(images), _prepare(targets.detach())).mean()


def _prepare(images: Tensor) -> Tensor:
    if images.shape[-1] > LARGEST:
        images = F.adaptive_avg_pool2d(images, LARGEST)
    return images.expand(-1, 3, -1, -1)
