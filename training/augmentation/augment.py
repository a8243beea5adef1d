"""Random transforms of adaptive discriminator augmentation (ADA): Karras et al., "Training Generative
Adversarial Networks with Limited Data", 2020, arXiv:2006.06676.

Each transform happens with probability p; as every one leaves some images alone, none leaks into what the
generator makes. They are the paper's (appendix B): pixel blitting, general geometric, color. Gray images
get the color transforms that leave a fingerprint one, brightness and contrast; not the luma flip, which
would turn ridges into valleys. RGB images get luma flip, hue rotation and saturation too.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .resampling import transform

SCALE = 0.2  # standard deviation of scalings, in octaves
SHIFT = 0.125  # of translations, over the image's side: bound of whole-pixel ones, deviation of others
BRIGHTNESS = 0.2  # standard deviation; images are in [-1, 1]
CONTRAST = 0.5  # standard deviation in octaves
SATURATION = 1.0  # standard deviation in octaves


class Transforms(NamedTuple):
    """Geometric and color transforms of N images, a matrix of each per image."""

    geometry: Tensor  # (N, 2, 3), as `resampling.transform` takes it
    color: Tensor  # (N, C, C + 1): a matrix and, in its last column, what is added


def augment(images: Tensor, transforms: Transforms | Sequence[Tensor]) -> Tensor:
    """Random transforms of images; differentiable twice.

    Args:
        images: (N, C + K, R, R), nominally in [-1, 1]: C channels of an image and K that belong to it, such
            as its ridge map, which are moved as it is and keep their values.
        transforms: What `draw_transforms` gives for C channels; empty: no transform.

    Returns:
        (N, C + K, R, R).
    """
    if not transforms:
        return images
    geometry, color = transforms
    images = transform(images, geometry)
    matrix, shift = color.split([color.shape[1], 1], dim=2)
    colored = torch.einsum("nij,njhw->nihw", matrix, images[:, : color.shape[1]]) + shift[..., None]
    return torch.cat([colored, images[:, color.shape[1] :]], dim=1)


def draw_transforms(count: int, channels: int, size: int, p: float, device: torch.device) -> Transforms:
    """Transforms, each of them with probability `p`, for images (count, channels, size, size)."""
    chance = _Chance(count, p, device)
    return Transforms(_draw_geometry(chance, size), _draw_color(chance, channels))


class _Chance:
    """Draws parameters (N, k) that differ from their neutral value with probability p, all k or none."""

    def __init__(self, count: int, p: float, device: torch.device) -> None:
        self.count, self.p, self.device = count, p, device

    def keep(self, values: Tensor, neutral: float, p: float | None = None) -> Tensor:
        happens = torch.rand(self.count, 1, device=self.device) < (self.p if p is None else p)
        return torch.where(happens, values, neutral)

    def choice(self, of: int) -> Tensor:
        """0 … `of` - 1."""
        return torch.randint(of, (self.count, 1), device=self.device).float()

    def uniform(self, bound: float, parameters: int = 1) -> Tensor:
        return (2 * torch.rand(self.count, parameters, device=self.device) - 1) * bound

    def normal(self, deviation: float, parameters: int = 1) -> Tensor:
        return torch.randn(self.count, parameters, device=self.device) * deviation


def _draw_geometry(chance: _Chance, size: int) -> Tensor:
    # At least one of the rotations, before and after the anisotropic scaling, happens with probability p.
    rotation = 1 - math.sqrt(1 - chance.p)
    flip = chance.keep(1 - 2 * chance.choice(2), 1)
    quarters = chance.keep(chance.choice(4), 0)
    pixels = chance.keep((chance.uniform(SHIFT, 2) * size).round(), 0)
    isotropic = chance.keep(torch.exp2(chance.normal(SCALE)), 1)
    before = chance.keep(chance.uniform(math.pi), 0, rotation)
    anisotropic = chance.keep(torch.exp2(chance.normal(SCALE)), 1)
    after = chance.keep(chance.uniform(math.pi), 0, rotation)
    fraction = chance.keep(chance.normal(SHIFT, 2) * size, 0)
    # The inverses in the order of the transforms: their product is the inverse of the whole.
    inverse = (
        _scaling(flip, torch.ones_like(flip))
        @ _rotation(-quarters * (math.pi / 2))
        @ _translation(-pixels)
        @ _scaling(1 / isotropic, 1 / isotropic)
        @ _rotation(-before)
        @ _scaling(1 / anisotropic, anisotropic)
        @ _rotation(-after)
        @ _translation(-fraction)
    )
    return inverse[:, :2]


def _draw_color(chance: _Chance, channels: int) -> Tensor:
    identity = torch.eye(channels, device=chance.device)
    brightness = chance.keep(chance.normal(BRIGHTNESS), 0)
    contrast = chance.keep(torch.exp2(chance.normal(CONTRAST)), 1)
    matrix = contrast[:, :, None] * identity
    shift = (contrast * brightness)[:, :, None].expand(-1, channels, 1)
    if channels == 3:
        gray = torch.full_like(identity, 1 / 3)  # projects on the luma axis
        across = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=chance.device) / math.sqrt(3)
        luma = chance.keep(1 - 2 * chance.choice(2), 1)[:, :, None]
        hue = chance.keep(chance.uniform(math.pi), 0)[:, :, None]
        saturation = chance.keep(torch.exp2(chance.normal(SATURATION)), 1)[:, :, None]
        # In the plane across the luma axis the hue turns and the saturation stretches.
        turned = torch.cos(hue) * (identity - gray) + torch.sin(hue) * across
        matrix, shift = ((luma * gray + saturation * turned) @ part for part in (matrix, shift))
    return torch.cat([matrix, shift], dim=2)


def _scaling(x: Tensor, y: Tensor) -> Tensor:
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return _matrix(x, zero, zero, zero, y, zero, zero, zero, one)


def _rotation(angle: Tensor) -> Tensor:
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    cos, sin = torch.cos(angle), torch.sin(angle)
    return _matrix(cos, -sin, zero, sin, cos, zero, zero, zero, one)


def _translation(by: Tensor) -> Tensor:
    zero, one = torch.zeros_like(by[:, :1]), torch.ones_like(by[:, :1])
    return _matrix(one, zero, by[:, :1], zero, one, by[:, 1:], zero, zero, one)


def _matrix(*values: Tensor) -> Tensor:
    """(N, 3, 3) of nine columns (N, 1), row by row."""
    return torch.cat(values, dim=1).view(-1, 3, 3)
