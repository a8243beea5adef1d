"""One step of the encoder's and the minutiae network's training against their equations, computed here.

What is computed are the losses, their weights and intervals, optimizers and averages, and how images and maps
are resized; the networks are taken as they are.
"""

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from fingergen.training.data.pairs import Pairs
from fingergen.training.losses.ridge_flow import flow_distance
from fingergen.training.networks import Discriminator, Generator
from fingergen.training.networks.discriminator import minibatch_std
from fingergen.training.networks.layers import FusedLeakyReLU
from fingergen.training.networks.minutiae_net import MinutiaeNet, feature_distance, map_distance
from fingergen.training.trainers.adversary import Adversary
from fingergen.training.trainers.encoder import EncoderTrainer
from fingergen.training.trainers.encoder_config import EncoderConfig
from fingergen.training.trainers.minutiae import MinutiaeTrainer, pairs_to_floats, resize_maps

CPU = torch.device("cpu")
RESOLUTION, WINDOW, MAP, BATCH = 16, 32, 32, 8


class RandomPairs:
    def batch(self, rng: np.random.Generator, count: int) -> Pairs:
        images = rng.integers(256, size=(count, 1, RESOLUTION, RESOLUTION), dtype=np.uint8)
        maps = rng.integers(256, size=(count, 3, MAP, MAP), dtype=np.uint8)
        return Pairs(torch.from_numpy(images), torch.from_numpy(maps))

    def held_out(self, count: int) -> Pairs:
        return self.batch(np.random.default_rng(0), count)


def encoder_trainer(**options: Any) -> EncoderTrainer:
    torch.manual_seed(0)
    generator = Generator(RESOLUTION, style_dim=8, n_mlp=2, channel_base=64, channel_max=8)
    network = MinutiaeNet(width=2).eval().requires_grad_(False)
    config = EncoderConfig(depth="ir_se_10", width=4, map_size=MAP, batch=BATCH, **options)
    return EncoderTrainer(config, generator, network, RandomPairs(), WINDOW, {}, CPU)


def reduced(images: Tensor, size: int) -> Tensor:
    """Bilinear with antialiasing, by Pillow's filter for float images."""
    each = [Image.fromarray(image.numpy()).resize((size, size), Image.Resampling.BILINEAR)
            for image in images.flatten(0, 1)]  # fmt: skip
    return torch.from_numpy(np.stack([np.array(image) for image in each])).view(*images.shape[:2], size, size)


def gradients_of(loss: Tensor, network: nn.Module) -> dict[str, Tensor]:
    names, parameters = zip(*network.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return {name: each for name, each in zip(names, found, strict=True) if each is not None}


def assert_gradients(network: nn.Module, expected: dict[str, Tensor]) -> None:
    found = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    assert found.keys() == expected.keys()
    largest = max(value.abs().max().item() for value in expected.values())
    assert largest > 1e-3
    for name, value in expected.items():
        # A bias before a batch normalization has no gradient but rounding errors.
        scale = max(value.abs().max().item(), 1e-2 * largest)
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-3 * scale, msg=name)


# -- encoder ------------------------------------------------------------------------------------------------


WEIGHTS = {
    "l2_weight": 0.7,
    "feature_weight": 0.3,
    "flow_weight": 0.2,
    "minutiae_weight": 0.4,
    "latent_weight": 1.3,
    "w_weight": 0.6,
    "adversarial_weight": 0.5,
}


def test_loss_of_the_encoder(monkeypatch: pytest.MonkeyPatch):
    """The sum of all terms, each times its weight; latents of sampled pairs only, L2 of all."""
    trainer = encoder_trainer(sampled=0.25, start_from_latent_avg=False, **WEIGHTS)
    assert trainer.adversary
    sampled: list[tuple[Tensor, ...]] = []
    sample = trainer.sample_pairs
    monkeypatch.setattr(trainer, "sample_pairs", lambda z: sampled.append(sample(z)) or sampled[-1])
    before, critic = deepcopy(trainer.current), deepcopy(trainer.adversary.discriminator)
    batch = trainer.load_batch(0)
    assert len(batch.images) == 6  # a quarter of eight is sampled
    figures = trainer.step(batch)
    ((made, made_maps, made_w),) = sampled
    assert len(made) == len(made_w) == 2
    torch.testing.assert_close(made, trainer.current.decoder.synthesize(made_w).detach())

    images = torch.cat([batch.images.float() / 127.5 - 1, made])
    maps = torch.cat([batch.maps.float() / 255, made_maps])
    before.train()
    w = before.encode(maps).w
    found = before.decoder.synthesize(w)
    sight = trainer.network
    beside = torch.cat([found, 2 * torch.nn.functional.interpolate(
        maps, size=(RESOLUTION, RESOLUTION), mode="bilinear", antialias=True) - 1], dim=1)  # fmt: skip
    terms = {
        "l2": 0.7 * (found - images).square().mean(),
        "features": 0.3 * feature_distance(sight, found, images),
        "flow": 0.2 * flow_distance(found, images),
        "minutiae": 0.4 * map_distance(sight, found, maps, 2),
        "latent": 1.3 * (w[6:] - made_w).square().mean(),
        "w": 0.6 * (w - trainer.w_avg).square().mean(),
        "adversarial": 0.5 * torch.log1p(torch.exp(-critic(beside))).mean(),
    }
    total = torch.stack(list(terms.values())).sum()
    assert figures["loss"] == pytest.approx(total.item(), rel=1e-4)
    for name, value in terms.items():
        weight = WEIGHTS[{"features": "feature"}.get(name, name) + "_weight"]
        assert figures[f"loss/{name}"] == pytest.approx(value.item() / weight, rel=1e-4), name
    assert_gradients(trainer.current.encoder, gradients_of(total, before.encoder))


@pytest.mark.parametrize(("images_seen", "half_life"), [(0, 8 / 2), (100_000, 2000)])
def test_the_average_of_the_encoder(images_seen: int, half_life: float):
    """Half of the images seen so far, up to `ema_half_life`; counters of batches are copied."""
    trainer = encoder_trainer()
    trainer.images_seen = images_seen
    before = {name: value.clone() for name, value in trainer.reconstructor.state_dict().items()}
    trainer.step(trainer.load_batch(0))
    kept, current = 0.5 ** (BATCH / half_life), trainer.current.state_dict()
    for name, value in trainer.reconstructor.state_dict().items():
        expected = current[name]
        if value.is_floating_point():
            expected = kept * before[name] + (1 - kept) * current[name]
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6, msg=name)


def test_optimizers_of_the_encoder():
    groups = encoder_trainer(train_decoder=True, decoder_rate=0.2, learning_rate=0.003).optimizer.param_groups
    assert [group["lr"] for group in groups] == pytest.approx([0.003, 0.0006])
    assert [group["betas"] for group in groups] == [(0.9, 0.999)] * 2
    trainer = encoder_trainer(adversarial_weight=1.0, discriminator_rate=0.004)
    assert trainer.adversary
    (group,), (critic,) = trainer.optimizer.param_groups, trainer.adversary.optimizer.param_groups
    assert (group["lr"], group["betas"]) == (0.001, (0.0, 0.99))
    assert (critic["lr"], critic["betas"]) == (0.004, (0.0, 0.99))


# -- its discriminator --------------------------------------------------------------------------------------


def test_step_of_the_discriminator_that_sees_the_map():
    torch.manual_seed(0)
    adversary = Adversary(
        Generator(RESOLUTION, style_dim=8, n_mlp=1, channel_base=64, channel_max=8), 0.01, 20, CPU
    )
    real, made = torch.rand(2, 4, 1, RESOLUTION, RESOLUTION) * 2 - 1
    maps = torch.rand(4, 3, MAP, MAP)
    shown = 2 * reduced(maps, RESOLUTION) - 1
    gradients: list[dict[str, Tensor]] = []
    networks: list[Discriminator] = []

    def before(*_: Any) -> None:
        named = adversary.discriminator.named_parameters()
        gradients.append({name: p.grad.clone() for name, p in named if p.grad is not None})
        networks.append(deepcopy(adversary.discriminator))

    adversary.optimizer.register_step_pre_hook(before)
    figures = adversary.step(real, made, maps, 16)

    logits = [networks[0](torch.cat([images, shown], dim=1)) for images in (real, made)]
    loss = torch.log1p(torch.exp(-logits[0])).mean() + torch.log1p(torch.exp(logits[1])).mean()
    seen = real.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(
        networks[1](torch.cat([seen, shown], dim=1)).sum(), seen, create_graph=True
    )
    penalty = slope.flatten(1).norm(dim=1).pow(2).mean()
    for network, found, expected in zip(networks, gradients, (loss, 20 / 2 * 16 * penalty), strict=True):
        for name, value in gradients_of(expected, network).items():
            scale = value.abs().max().item()
            torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-3 * scale + 1e-8, msg=name)
    assert figures["loss/d"] == pytest.approx(loss.item(), rel=1e-4)
    assert figures["loss/r1"] == pytest.approx(penalty.item(), rel=1e-3)
    assert "loss/r1" not in adversary.step(real, made, maps, 17)


# -- minutiae network ---------------------------------------------------------------------------------------


def test_loss_of_the_minutiae_network():
    """Cross entropy with the map at the image's size; a pixel of value m counts 1 + 5 m times."""
    torch.manual_seed(0)
    network, images, maps = MinutiaeNet(width=2).eval(), torch.rand(2, 1, 16, 16), torch.rand(2, 3, 40, 40)
    target, seen = reduced(maps, 16), torch.sigmoid(network(images))
    entropy = -(target * seen.log() + (1 - target) * (1 - seen).log())
    weighted = (1 + 5 * target) * entropy
    torch.testing.assert_close(map_distance(network, images, maps), weighted.mean(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        map_distance(network, images, maps, 2), weighted[:, :2].mean(), rtol=1e-4, atol=1e-5
    )


def test_features_are_compared_at_unit_length():
    """Mean over layers and pixels of |a/|a| - b/|b||², plus the mean squared difference of the maps."""
    torch.manual_seed(0)
    network = MinutiaeNet(width=2).eval()
    one, other = torch.rand(2, 2, 1, 16, 16)
    layers = []
    for a, b in zip(network.features(one), network.features(other), strict=True):
        a, b = (x / x.square().sum(dim=1, keepdim=True).sqrt() for x in (a, b))
        layers.append((a - b).square().sum(dim=1).mean())
    maps = (torch.sigmoid(network(one)) - torch.sigmoid(network(other))).square().mean()
    torch.testing.assert_close(feature_distance(network, one, other), torch.stack(layers).mean() + maps)


def test_step_of_the_minutiae_network():
    trainer = MinutiaeTrainer(RandomPairs(), RESOLUTION, WINDOW, 4, 0, CPU)
    before, batch = deepcopy(trainer.network).train(), trainer.load_batch(0)
    images, maps = pairs_to_floats(batch, CPU)
    assert (images.min() >= -1) and torch.equal(images, batch.images / 127.5 - 1)
    assert torch.equal(maps, batch.maps / 255)
    loss = map_distance(before, images, maps)
    assert trainer.step(batch)["loss/map"] == pytest.approx(loss.item(), rel=1e-5)
    for name, gradient in gradients_of(loss, before).items():
        value = trainer.network.get_parameter(name)
        # Adam's first step: the learning rate times the gradient over its size.
        expected = before.get_parameter(name) - 0.005 * gradient / (gradient.abs() + 1e-8)
        torch.testing.assert_close(value, expected, rtol=1e-3, atol=1e-4, msg=name)


# -- parts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [12, 16, 48])
def test_maps_are_resized_bilinearly(size: int):
    torch.manual_seed(0)
    maps = torch.rand(2, 3, MAP, MAP)
    torch.testing.assert_close(resize_maps(maps, size), reduced(maps, size), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("samples", "group"), [(8, 4), (12, 4), (6, 3), (4, 4), (2, 2), (1, 1)])
def test_minibatch_standard_deviation(samples: int, group: int):
    """Over groups of four, or the next smaller number that divides the batch: of samples N/group apart."""
    torch.manual_seed(0)
    x = torch.randn(samples, 3, 4, 4, dtype=torch.float64)
    found = minibatch_std(x, 4)
    assert torch.equal(found[:, :3], x) and found.shape == (samples, 4, 4, 4)
    for sample in range(samples):
        members = x[sample % (samples // group) :: samples // group].numpy()
        assert len(members) == group
        expected = np.sqrt(members.var(axis=0) + 1e-8).mean()
        assert found[sample, 3].numpy() == pytest.approx(expected)


def test_float16_is_clamped_at_256():
    """StyleGAN2-ADA, appendix D: activations of half precision stay within ±256."""
    x = torch.tensor([[[[-1000.0, -255.0, 0.0, 200.0, 1000.0]]]])
    layer = FusedLeakyReLU(1)
    root = 2**0.5
    half = layer(x.half()).flatten().float()
    torch.testing.assert_close(half, torch.tensor([-256.0, -51 * root, 0, 256, 256]), rtol=1e-3, atol=0)
    for kind in (torch.float32, torch.bfloat16):
        wide = layer(x.to(kind)).flatten().float()
        torch.testing.assert_close(wide[-1].item(), 1000 * root, rtol=1e-2, atol=0)
