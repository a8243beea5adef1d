"""Networks against the reference outputs of the published definitions."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fingergen.training.networks import Discriminator, Encoder, Generator, Reconstructor
from fingergen.training.networks.discriminator import minibatch_std
from fingergen.training.networks.ops import fused_leaky_relu, upfirdn2d

from .reference.fill import fill, normal

REFERENCE = Path(__file__).parent / "reference"
SHAPES: dict[str, dict[str, list[int]]] = json.loads((REFERENCE / "state_dict_shapes.json").read_text())
TOLERANCE = 1e-4
WIDTHS = {4: 12, 8: 10, 16: 8}


def filled(module: nn.Module, name: str) -> nn.Module:
    """`module` in evaluation mode with the reference weights of `name`."""
    own = module.state_dict()
    kernels = {key: value.numpy() for key, value in own.items() if key.endswith(".kernel")}
    weights = fill(SHAPES[name], keep=kernels)
    module.load_state_dict({key: torch.from_numpy(value) for key, value in weights.items()})
    return module.eval()


@pytest.fixture(scope="module")
def generator() -> Generator:
    return filled(Generator(resolution=32), "generator_32_gray")


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    return dict(np.load(REFERENCE / "generator_32_gray.npz"))


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("generator_32_gray", lambda: Generator(resolution=32)),
        ("generator_256_gray", lambda: Generator(resolution=256)),
        ("discriminator_32_gray", lambda: Discriminator(resolution=32)),
        ("discriminator_256_gray", lambda: Discriminator(resolution=256)),
        ("encoder", lambda: nn.ModuleDict({"encoder": Encoder("ir_se_50")})),
    ],
)
def test_state_dict_keys_and_shapes(name, build):
    with torch.device("meta"):
        module = build()
    assert {key: list(value.shape) for key, value in module.state_dict().items()} == SHAPES[name]


def assert_close(actual: torch.Tensor, expected: np.ndarray) -> None:
    assert actual.shape == expected.shape
    assert np.abs(actual.numpy() - expected).max() <= TOLERANCE


@torch.no_grad()
def test_generator_parity(generator, expected):
    z = torch.from_numpy(expected["z"])
    w = generator.map(z)
    assert_close(w, expected["w"])
    assert_close(generator(z), expected["image"])
    truncated = generator.truncate(w, w.mean(dim=0), 0.7)
    assert_close(generator.synthesize(truncated), expected["truncated_image"])
    assert_close(generator.synthesize(torch.from_numpy(expected["w_plus"])), expected["w_plus_image"])


@torch.no_grad()
def test_discriminator_parity(expected):
    discriminator = filled(Discriminator(resolution=32), "discriminator_32_gray")
    logit = discriminator(torch.from_numpy(expected["discriminator_input"]))
    assert_close(logit, expected["discriminator_logit"])


@torch.no_grad()
def test_encoder_parity():
    encoder = filled(nn.ModuleDict({"encoder": Encoder("ir_se_50")}), "encoder")["encoder"]
    maps = torch.from_numpy(np.clip(np.abs(normal(4, 2, 3, 256, 256)), 0, 1))
    assert_close(encoder(maps), np.load(REFERENCE / "encoder.npz")["w"])
