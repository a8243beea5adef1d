"""Networks against the reference outputs of the published definitions."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fingergen.cpp_ops import reference as twins
from fingergen.training.networks import Discriminator, Encoder, Generator, Reconstructor
from fingergen.training.networks.discriminator import minibatch_std
from fingergen.training.networks.generator import STRONGEST, NoiseInjection, ToRGB
from fingergen.training.networks.layers import ModulatedConv
from fingergen.training.networks.ops import fused_leaky_relu, upfirdn2d

from ..reference.fill import fill, normal

REFERENCE = Path(__file__).parents[1] / "reference"
SHAPES: dict[str, dict[str, list[int]]] = json.loads((REFERENCE / "state_dict_shapes.json").read_text())
TOLERANCE = 1e-4
WIDTHS = {4: 12, 8: 10, 16: 8, 32: 6}


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


@pytest.mark.parametrize("up", [1, 2, 3])
@pytest.mark.parametrize("down", [1, 2])
@pytest.mark.parametrize("pad", [(0, 0, 0, 0), (2, 1, 1, 2), (-1, 3, 2, -1)])
def test_upfirdn2d_equals_its_twin(up, down, pad):
    kernel = normal(5, 3, 4)
    x = normal(6, 2, 3, 7, 6)
    value = upfirdn2d(torch.from_numpy(x), torch.from_numpy(kernel), up, down, pad)
    np.testing.assert_allclose(value.numpy(), twins.upfirdn2d(x, kernel, up, down, pad), atol=1e-5)

    double = torch.from_numpy(x[:1, :2]).double().requires_grad_()
    arguments = (double, torch.from_numpy(kernel).double(), up, down, pad)
    assert torch.autograd.gradcheck(upfirdn2d, arguments, fast_mode=True)
    assert torch.autograd.gradgradcheck(upfirdn2d, arguments, fast_mode=True)


def test_fused_leaky_relu_equals_its_twin():
    x, bias = normal(7, 2, 3, 4, 5), normal(8, 3)
    value = fused_leaky_relu(torch.from_numpy(x), torch.from_numpy(bias), 0.3, 1.7)
    np.testing.assert_allclose(value.numpy(), twins.fused_leaky_relu(x, bias, 0.3, 1.7), atol=1e-6)


@torch.no_grad()
def test_modulated_conv_equals_the_published_form():
    conv = ModulatedConv(6, 5, 3, style_dim=4)
    x, style = torch.from_numpy(normal(9, 3, 6, 8, 8)), torch.from_numpy(normal(10, 3, 4))
    weight = conv.weight * conv.scale * conv.modulation(style)[:, None, :, None, None]  # [N, O, I, k, k]
    weight = weight / (weight.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).sqrt()
    published = F.conv2d(x.reshape(1, 18, 8, 8), weight.reshape(15, 6, 3, 3), padding=1, groups=3)
    torch.testing.assert_close(conv(x, style), published.reshape(3, 5, 8, 8), atol=1e-5, rtol=0)


def weights_without_gradient(network: nn.Module) -> list[str]:
    weights = [(name, p) for name, p in network.named_parameters() if name.endswith("weight")]
    return [name for name, p in weights if p.grad is None or not p.grad.any()]


def test_gradients_of_gradients_reach_every_weight():
    """R1 differentiates the discriminator's input gradient, path length the generator's style gradient."""
    torch.manual_seed(0)
    discriminator = Discriminator(resolution=16, widths=WIDTHS)
    image = torch.randn(4, 1, 16, 16, requires_grad=True)
    (grad,) = torch.autograd.grad(discriminator(image).sum(), image, create_graph=True)
    grad.square().sum().backward()
    assert not weights_without_gradient(discriminator)

    generator = Generator(resolution=16, style_dim=8, n_mlp=2, widths=WIDTHS)
    w = generator.map(torch.randn(2, 8))
    (grad,) = torch.autograd.grad(generator.synthesize(w).square().sum(), w, create_graph=True)
    grad.square().sum().backward()
    assert not weights_without_gradient(generator)


@torch.no_grad()
def test_gradient_mode_changes_no_value():
    """The FIR filter runs through its own autograd function only where a gradient is needed."""
    generator = Generator(resolution=16, channels=3, style_dim=8, n_mlp=2, widths=WIDTHS)
    z = torch.randn(2, 8)
    with torch.enable_grad():
        trained = generator(z)
    torch.testing.assert_close(generator(z), trained, atol=1e-6, rtol=0)


@torch.no_grad()
def test_replicated_images_are_upsampled_as_if_they_went_on():
    torch.manual_seed(0)
    layer = ToRGB(4, 1, 8, image_padding="replicate")
    image, style = torch.randn(2, 1, 8, 8), torch.randn(2, 8)
    wide = layer.upsample(F.pad(image, (1, 1, 1, 1), mode="replicate"))
    alone = layer(torch.zeros(2, 4, 16, 16), style, image)
    torch.testing.assert_close(alone, wide[:, :, 2:-2, 2:-2])
    flat = layer(torch.zeros(2, 4, 16, 16), style, torch.ones(2, 1, 8, 8))
    torch.testing.assert_close(flat, torch.ones(2, 1, 16, 16))


@torch.no_grad()
def test_noise_modes():
    torch.manual_seed(0)
    generator = Generator(resolution=16, style_dim=8, n_mlp=2, widths=WIDTHS)
    for name, weight in generator.named_parameters():
        if name.endswith("noise.weight"):
            weight.fill_(0.5)
    w = generator.map(torch.randn(3, 8))
    stored = generator.synthesize(w)
    torch.testing.assert_close(generator.synthesize(w, generator.stored_noise()), stored)
    noise = generator.random_noise(3)
    assert [tuple(n.shape[1:]) for n in noise] == [shape[1:] for shape in generator.noise_shapes()]
    drawn = generator.synthesize(w, noise)
    assert not torch.allclose(drawn, stored)
    assert not torch.allclose(generator.synthesize(w, generator.zero_noise()), stored)
    one = generator.synthesize(w[1:2], [n[1:2] for n in noise])
    torch.testing.assert_close(one, drawn[1:2], atol=1e-5, rtol=0)


@torch.no_grad()
def test_styled_noise_is_as_strong_as_w_says():
    torch.manual_seed(0)
    layer = NoiseInjection(4, styled=True)
    x, style, noise = torch.randn(2, 3, 5, 5), torch.randn(2, 4), torch.randn(1, 1, 5, 5)
    assert torch.equal(layer(x, style, noise), x)
    layer.weight.fill_(0.5)
    assert torch.equal(layer(x, style, noise), x + 0.5 * noise)
    layer.exponent.copy_(torch.tensor([[2.0, 0, 0, 0]]))
    style[0] *= 20
    grown = STRONGEST / (1 + (STRONGEST - 1) * torch.exp(-style[:, 0]))  # 2 / √4
    torch.testing.assert_close(layer(x, style, noise), x + 0.5 * grown[:, None, None, None] * noise)
    style[:, 0] = torch.tensor([-50.0, 50.0])
    expected = torch.cat([x[:1], x[1:] + 0.5 * STRONGEST * noise])  # neither below 0 nor without end
    torch.testing.assert_close(layer(x, style, noise), expected)


def test_minibatch_std_measures_its_own_group_only():
    x = torch.zeros(8, 2, 4, 4)
    x[[0, 2, 4, 6]] = torch.tensor([1.0, -1.0, 1.0, -1.0]).view(
        4, 1, 1, 1
    )  # the even samples form a group of 4
    spread = minibatch_std(x, 4)[:, 2]
    torch.testing.assert_close(spread[0::2], torch.ones(4, 4, 4))
    torch.testing.assert_close(spread[1::2], torch.full((4, 4, 4), 1e-4))
    assert minibatch_std(x[:6], 4).shape == (6, 3, 4, 4)  # groups of 3


@torch.no_grad()
def test_encoder_sizes_and_average_latent():
    torch.manual_seed(0)
    decoder = Generator(resolution=16, style_dim=8, n_mlp=2, widths=WIDTHS)
    maps = torch.rand(2, 3, 32, 40)
    encoder = Encoder("ir_se_18", width=4, style_dim=8).eval()
    plus = Encoder((1, 2), width=4, style_dim=8, num_ws=decoder.num_ws).eval()
    assert encoder(maps).shape == (2, 8)
    assert plus(maps).shape == (2, 6, 8)
    average, averages = torch.randn(8), torch.randn(6, 8)
    assert torch.equal(Reconstructor(encoder, decoder).encode(maps).w, encoder(maps))
    assert torch.equal(Reconstructor(encoder, decoder, average).encode(maps).w, encoder(maps) + average)
    each = Reconstructor(encoder, decoder, averages)
    assert torch.equal(each.encode(maps).w[:, 3], encoder(maps) + averages[3])
    assert torch.equal(Reconstructor(plus, decoder, averages).encode(maps).w, plus(maps) + averages)
    assert each(maps).shape == (2, 1, 16, 16)
    assert not [key for key in each.state_dict() if "latent_avg" in key]


@pytest.mark.parametrize(
    "network",
    [
        Generator(resolution=16, channels=3, style_dim=8, n_mlp=2, widths=WIDTHS),
        Discriminator(resolution=32, channel_base=64, channel_max=8),
        Encoder("ir_se_10", width=4, style_dim=8, num_ws=6),
    ],
)
def test_architecture_rebuilds_the_network(network):
    again = type(network)(**json.loads(json.dumps(network.architecture())))
    again.load_state_dict(network.state_dict())
    assert again.architecture() == network.architecture()


@pytest.mark.parametrize("resolution", [4, 48, 100])
def test_resolution_must_be_a_power_of_two(resolution):
    with pytest.raises(ValueError, match="power of two"):
        Generator(resolution=resolution)
