"""Whether two generators make the same image."""

import torch

from fingergen.training.networks import Generator


def same_image(one: Generator, other: Generator) -> bool:
    z = torch.randn(2, one.style_dim)
    with torch.no_grad():
        return torch.equal(one(z), other(z))
