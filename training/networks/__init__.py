"""PyTorch networks: StyleGAN2 generator and discriminator, minutiae-to-vec encoder."""

from .discriminator import Discriminator
from .encoder import Encoded, Encoder, Reconstructor
from .generator import Generator

__all__ = ["Discriminator", "Encoded", "Encoder", "Generator", "Reconstructor"]
