"""The direction in which ridges flow, differentiably: what two prints share that look and lie differently.

From the averaged gradient tensor (Bazen and Gerez, "Systematic methods for the computation of the directional
fields and singular points of fingerprints", 2002), as a double angle: opposite gradients are one direction.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 8  # pixels over which gradients are averaged: about two ridges of 250 ppi
LEAST_ENERGY = 0.02  # mean squared gradient, of images in [-1, 1], that counts as ridges


def ridge_flow(images: Tensor) -> Tensor:
    """images (N, C, H, W) in [-1, 1] → (N, 2, H / 4, W / 4): cosine and sine of twice the gradient's angle,
    times its coherence, in [0, 1]; 0 where there are no ridges."""
    gray = images.mean(dim=1, keepdim=True)
    across = F.pad(gray, (1, 1, 0, 0), mode="replicate").unfold(3, 3, 1)
    down = F.pad(gray, (0, 0, 1, 1), mode="replicate").unfold(2, 3, 1)
    dx, dy = across[..., 2] - across[..., 0], down[..., 2] - down[..., 0]
    products = torch.cat([dx.square() - dy.square(), 2 * dx * dy, dx.square() + dy.square()], dim=1)
    cosine_sine, energy = F.avg_pool2d(products, BLOCK, BLOCK // 2, BLOCK // 4).split([2, 1], dim=1)
    return cosine_sine / (energy + LEAST_ENERGY)


def flow_distance(images: Tensor, targets: Tensor) -> Tensor:
    """Mean squared difference of the ridge flow of two sets of images (N, C, H, W); scalar, 0 to 4."""
    return (ridge_flow(images) - ridge_flow(targets)).square().sum(dim=1).mean()
