"""One step of the generator's training against the published equations, computed here independently.

Karras et al. 2020 (StyleGAN2, arXiv:1912.04958) and Karras et al. 2020 (ADA, arXiv:2006.06676). The networks
are taken as they are, for `test_networks` compares them with the published ones; what is computed here are
the losses, their weights and intervals, the optimizer and the average, from the random numbers drawn.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fingergen.training.augmentation.augment import augment
from fingergen.training.losses.adversarial import path_lengths
from fingergen.training.networks import Discriminator, Generator
from fingergen.training.trainers.generator import GeneratorConfig, GeneratorTrainer

CPU = torch.device("cpu")
TINY = GeneratorConfig(
    resolution=16, style_dim=8, n_mlp=2, channel_base=64, channel_max=8, batch=8, learning_rate=0.01
)
Gradients = dict[str, Tensor]


class RandomImages:
    def batch(self, rng: np.random.Generator, count: int) -> Tensor:
        return torch.from_numpy(rng.integers(256, size=(count, 1, 16, 16), dtype=np.uint8))


@dataclass
class OptimizerStep:
    """The networks and a gradient when an optimizer took a step, and the weights that it led to."""

    generator: Generator
    discriminator: Discriminator
    gradients: Gradients
    after: Gradients = field(default_factory=dict)


@dataclass
class Record:
    """All that happened in some steps of a trainer."""

    discriminator: list[OptimizerStep] = field(default_factory=list)
    generator: list[OptimizerStep] = field(default_factory=list)
    latents: list[list[Tensor]] = field(default_factory=list)
    transforms: list[Any] = field(default_factory=list)
    normal: list[Tensor] = field(default_factory=list)  # everything that torch.randn returned
    averages: list[tuple[Gradients, Gradients, Gradients]] = field(
        default_factory=list
    )  # before, current, after
    figures: list[dict[str, float]] = field(default_factory=list)
    images: list[Tensor] = field(default_factory=list)


def named(network: nn.Module) -> Gradients:
    return {name: value.detach().clone() for name, value in network.named_parameters()}


def run(monkeypatch: pytest.MonkeyPatch, steps: int, images_seen: int = 0, **options: Any) -> Record:
    """Take `steps` steps and record them."""
    trainer = GeneratorTrainer(replace(TINY, **options), RandomImages(), {}, CPU)
    trainer.images_seen = images_seen
    record = Record()

    def watch(optimizer: torch.optim.Optimizer, network: nn.Module, steps: list[OptimizerStep]) -> None:
        def before(*_: Any) -> None:
            gradients = {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}
            steps.append(
                OptimizerStep(deepcopy(trainer.generator), deepcopy(trainer.discriminator), gradients)
            )

        optimizer.register_step_pre_hook(before)
        optimizer.register_step_post_hook(lambda *_: steps[-1].after.update(named(network)))

    watch(trainer.d_optim, trainer.discriminator, record.discriminator)
    watch(trainer.g_optim, trainer.generator, record.generator)

    def recording(function: Callable[..., Any], into: list[Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            into.append(function(*args, **named))
            return into[-1]

        return call

    monkeypatch.setattr(trainer, "_draw_latents", recording(trainer._draw_latents, record.latents))
    monkeypatch.setattr(trainer, "_draw_transforms", recording(trainer._draw_transforms, record.transforms))
    monkeypatch.setattr(torch, "randn", recording(torch.randn, record.normal))
    for _ in range(steps):
        batch = trainer.load_batch(trainer.images_seen)
        record.images.append(batch.double().div(127.5).sub(1).float())
        average = named(trainer.g_ema)
        record.figures.append(trainer.step(batch))
        record.averages.append((average, named(trainer.generator), named(trainer.g_ema)))
        trainer.images_seen += trainer.batch_size
    return record


# -- the equations ------------------------------------------------------------------------------------------


def log1p_exp(x: Tensor) -> Tensor:
    return torch.log1p(torch.exp(x))


def mixed_styles(generator: Generator, latents: list[Tensor]) -> Tensor:
    """w of the first z, and from the crossover on that of the second where styles are mixed."""
    z, crossover, mixed = latents[:3]
    images = []
    for pair, start, mix in zip(z, crossover.flatten().tolist(), mixed.flatten().tolist(), strict=True):
        first, second = generator.map(pair)
        images.append(torch.stack([second if mix and i >= start else first for i in range(generator.num_ws)]))
    return torch.stack(images)


def synthesized(generator: Generator, latents: list[Tensor]) -> Tensor:
    return generator.synthesize(mixed_styles(generator, latents), latents[3:])


def gradients_of(loss: Tensor, network: nn.Module) -> Gradients:
    names, parameters = zip(*network.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return {name: each for name, each in zip(names, found, strict=True) if each is not None}


def assert_equal(found: Gradients, expected: Gradients) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        scale = value.abs().max().item()
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-4 * scale + 1e-7, msg=name)
    assert any(value.abs().max() > 1e-4 for value in expected.values())


@pytest.mark.parametrize("options", [{}, {"augment": True, "augment_p": 0.5}], ids=["plain", "ada"])
def test_gradients_of_a_step(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    """The non-saturating logistic losses (ADA in both: "augment all images shown to the discriminator"),
    R1 times half its weight and its interval of 16, path lengths times 2 and their interval of 4."""
    taken = run(monkeypatch, 1, **options)
    transforms = taken.transforms if options else [[]] * 4
    assert all(len(each) == (2 if options else 0) for each in taken.transforms) and len(taken.transforms) == 4
    of_real, of_fake, of_penalty, of_generator = transforms
    (images,) = taken.images
    of_discriminator, of_synthesis, of_path = taken.latents

    step = taken.discriminator[0]
    real = step.discriminator.requires_grad_(True)(augment(images, of_real))
    fake = step.discriminator(augment(synthesized(step.generator, of_discriminator).detach(), of_fake))
    loss = log1p_exp(-real).mean() + log1p_exp(fake).mean()
    assert_equal(step.gradients, gradients_of(loss, step.discriminator))
    assert taken.figures[0]["loss/d"] == pytest.approx(loss.item(), rel=1e-5)

    step = taken.discriminator[1]
    seen = images.clone().requires_grad_(True)
    logits = step.discriminator.requires_grad_(True)(augment(seen, of_penalty))
    (slope,) = torch.autograd.grad(logits.sum(), seen, create_graph=True)
    penalty = slope.flatten(1).norm(dim=1).pow(2).mean()
    assert_equal(step.gradients, gradients_of(10 / 2 * 16 * penalty, step.discriminator))
    assert taken.figures[0]["loss/r1"] == pytest.approx(penalty.item(), rel=1e-4)

    step = taken.generator[0]
    logits = step.discriminator(
        augment(synthesized(step.generator.requires_grad_(True), of_synthesis), of_generator)
    )
    loss = log1p_exp(-logits).mean()
    assert_equal(step.gradients, gradients_of(loss, step.generator))
    assert taken.figures[0]["loss/g"] == pytest.approx(loss.item(), rel=1e-5)

    step = taken.generator[1]
    ws = mixed_styles(step.generator.requires_grad_(True), of_path)
    made = step.generator.synthesize(ws, of_path[3:])
    assert len(made) == 8 / 2  # the path-length batch is half as large
    direction = taken.normal[-1]
    assert direction.shape == made.shape
    (slope,) = torch.autograd.grad((made * direction).sum() / 16, ws, create_graph=True)  # y / √(16 · 16)
    lengths = slope.square().sum(dim=2).mean(dim=1).sqrt()
    penalty = (lengths - 0).square().mean()  # the mean of all lengths before: none
    assert_equal(step.gradients, gradients_of(2 * 4 * penalty, step.generator))
    assert taken.figures[0]["loss/path"] == pytest.approx(penalty.item(), rel=1e-4)
    assert taken.figures[0]["path_length"] == pytest.approx(0.01 * lengths.mean().item(), rel=1e-4)
    assert len(taken.discriminator) == len(taken.generator) == 2


def test_path_lengths_are_compared_with_their_mean(monkeypatch: pytest.MonkeyPatch):
    """The mean follows each batch by a hundredth."""
    taken = run(monkeypatch, 2, path_interval=1, r1_weight=0.0)
    step, latents = taken.generator[3], taken.latents[5]
    ws = mixed_styles(step.generator.requires_grad_(True), latents)
    made = step.generator.synthesize(ws, latents[3:])
    (slope,) = torch.autograd.grad((made * taken.normal[-1]).sum() / 16, ws, create_graph=True)
    lengths = slope.square().sum(dim=2).mean(dim=1).sqrt()
    mean = taken.figures[0]["path_length"]
    penalty = (lengths - mean).square().mean()
    assert_equal(step.gradients, gradients_of(2 * 1 * penalty, step.generator))
    expected = mean + 0.01 * (lengths.mean().item() - mean)
    assert taken.figures[1]["path_length"] == pytest.approx(expected, rel=1e-5)


def test_path_lengths_of_several_styles():
    """For images Σ Aₗ wₗ it is √(mean over layers of |Aₗᵀ y|²), y standard normal over √(H · W)."""
    torch.manual_seed(0)
    matrices, ws = torch.randn(3, 64, 5), torch.randn(2, 3, 5, requires_grad=True)
    direction = torch.randn(2, 1, 8, 8)
    images = torch.einsum("lpi,nli->np", matrices, ws).view(2, 1, 8, 8)
    y = direction.flatten(1) / 8
    expected = torch.stack([(y @ matrix).square().sum(dim=1) for matrix in matrices]).mean(dim=0).sqrt()
    torch.testing.assert_close(path_lengths(images, ws, direction), expected)


# -- when, and how far --------------------------------------------------------------------------------------


def test_penalties_have_their_intervals(monkeypatch: pytest.MonkeyPatch):
    taken = run(monkeypatch, 9, r1_interval=4, path_interval=3)
    assert [step for step, figures in enumerate(taken.figures) if "loss/r1" in figures] == [0, 4, 8]
    assert [step for step, figures in enumerate(taken.figures) if "loss/path" in figures] == [0, 3, 6]
    assert len(taken.discriminator) == len(taken.generator) == 9 + 3


def test_published_defaults():
    config = GeneratorConfig()
    assert (config.learning_rate, config.mixing, config.ema_half_life) == (0.002, 0.9, 10_000)
    assert (config.r1_weight, config.r1_interval) == (10, 16)
    assert (config.path_weight, config.path_interval, config.path_batch_shrink) == (2, 4, 2)
    assert (config.ada_target, config.ada_length, config.ada_interval) == (0.6, 500_000, 256)


def check_adam(steps: list[OptimizerStep], network: str, rate: float, beta: float) -> None:
    """Kingma and Ba, algorithm 1, with β₁ = 0; a parameter without a gradient is left alone."""
    second: Gradients = {}
    count: dict[str, int] = {}
    for step in steps:
        weights = named(getattr(step, network))
        for name, gradient in step.gradients.items():
            count[name] = count.get(name, 0) + 1
            second[name] = beta * second.get(name, torch.zeros(())) + (1 - beta) * gradient.square()
            corrected = second[name] / (1 - beta ** count[name])
            expected = weights[name] - rate * gradient / (corrected.sqrt() + 1e-8)
            torch.testing.assert_close(step.after[name], expected, rtol=1e-5, atol=1e-6, msg=name)


def test_adam_is_scaled_for_lazy_regularization(monkeypatch: pytest.MonkeyPatch):
    """Appendix B: with c = k / (k + 1), the learning rate is c times and β₂ to the power of c."""
    taken = run(monkeypatch, 4, r1_interval=2, path_interval=3)
    assert len(taken.discriminator) == len(taken.generator) == 6
    check_adam(taken.discriminator, "discriminator", 0.01 * 2 / 3, 0.99 ** (2 / 3))
    check_adam(taken.generator, "generator", 0.01 * 3 / 4, 0.99 ** (3 / 4))


def test_adam_of_a_network_without_a_penalty(monkeypatch: pytest.MonkeyPatch):
    taken = run(monkeypatch, 2, r1_weight=0.0, path_weight=0.0)
    check_adam(taken.discriminator, "discriminator", 0.01, 0.99)
    check_adam(taken.generator, "generator", 0.01, 0.99)


@pytest.mark.parametrize(("images_seen", "half_life"), [(0, 8 * 0.05), (1600, 1608 * 0.05), (80_000, 2000)])
def test_the_average_has_its_half_life(images_seen: int, half_life: float, monkeypatch: pytest.MonkeyPatch):
    """A twentieth of the images seen so far, up to `ema_half_life`."""
    taken = run(monkeypatch, 1, images_seen, ema_half_life=2000)
    kept = 0.5 ** (8 / half_life)
    for before, current, after in taken.averages:
        for name, value in after.items():
            expected = kept * before[name] + (1 - kept) * current[name]
            torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6, msg=name)


# -- random numbers -----------------------------------------------------------------------------------------


def test_styles_are_mixed_from_a_random_layer_on():
    torch.manual_seed(0)
    trainer = GeneratorTrainer(TINY, RandomImages(), {}, CPU)
    z, crossover, mixed, *noise = trainer._draw_latents(4000)
    assert mixed.float().mean().item() == pytest.approx(0.9, abs=0.02)
    counts = torch.bincount(crossover.flatten(), minlength=trainer.generator.num_ws)
    assert counts[0] == 0 and counts[1:].min() > 0.8 * 4000 / (trainer.generator.num_ws - 1)
    for each in (z, *noise):
        assert each.mean().item() == pytest.approx(0, abs=0.05)
        assert each.std().item() == pytest.approx(1, abs=0.05)
    assert [each.shape for each in noise] == [(4000, 1, side, side) for side in (4, 8, 8, 16, 16)]
    found = trainer._styles([each[:50] for each in (z, crossover, mixed)], [])
    torch.testing.assert_close(found, mixed_styles(trainer.generator, [z[:50], crossover[:50], mixed[:50]]))


@pytest.mark.parametrize("target", [-1.0, 1.0])
def test_adaptive_augmentation_follows_the_sign_of_real_logits(
    target: float, monkeypatch: pytest.MonkeyPatch
):
    """Every `ada_interval` images, p moves by that many images over `ada_length`, up if the mean sign is
    above the target."""
    options = {"ada_interval": 16, "ada_length": 160, "path_weight": 0.0, "r1_weight": 0.0}
    taken = run(monkeypatch, 6, augment=True, ada_target=target, **options)
    p, signs, expected = 0.0, [], []
    for step, images, figures in zip(taken.discriminator, taken.images, taken.figures, strict=True):
        if not p:  # the images are what the discriminator saw
            sign = step.discriminator(images).sign().mean().item()
            assert figures["ada/sign"] == pytest.approx(sign)
        signs.append(figures["ada/sign"])
        expected.append(p)
        if len(signs) == 2:
            p = max(0.0, p + (16 / 160 if np.mean(signs) > target else -16 / 160))
            signs = []
    assert [figures["ada/p"] for figures in taken.figures] == pytest.approx(expected)
    assert any(expected) == (target < 1)
