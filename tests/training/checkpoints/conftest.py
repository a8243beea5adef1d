"""Networks of a few channels, and checkpoints as SynFing's code writes them."""

import argparse
from collections.abc import Callable
from typing import Any

import pytest
import torch

from fingergen.training.networks import Discriminator, Encoder, Generator, Reconstructor

WIDTHS = {4: 12, 8: 10, 16: 8}
Edit = Callable[[dict[str, Any]], None]


@pytest.fixture
def generator() -> Generator:
    torch.manual_seed(1)
    return Generator(resolution=16, style_dim=8, n_mlp=3, widths=WIDTHS)


@pytest.fixture
def discriminator() -> Discriminator:
    torch.manual_seed(2)
    return Discriminator(resolution=16, widths=WIDTHS)


@pytest.fixture
def encoder() -> Encoder:
    torch.manual_seed(3)
    return Encoder((1, 2), width=4, style_dim=8).eval()


@pytest.fixture
def synfing(generator: Generator, discriminator: Discriminator) -> dict[str, Any]:
    """A generator checkpoint as the published training writes it."""
    return {
        "g": generator.state_dict(),
        "d": discriminator.state_dict(),
        "g_ema": generator.state_dict(),
        "g_optim": torch.optim.Adam(generator.parameters()).state_dict(),
        "d_optim": torch.optim.Adam(discriminator.parameters()).state_dict(),
        "args": argparse.Namespace(size=16, channel_multiplier=2, path="data", augment=False),
        "ada_aug_p": 0.25,
    }


@pytest.fixture
def reconstruction(encoder: Encoder, generator: Generator) -> dict[str, Any]:
    return {
        "state_dict": Reconstructor(encoder, generator).state_dict(),
        "opts": {"start_from_latent_avg": True, "output_size": 16},
        "latent_avg": torch.arange(8.0),
    }
