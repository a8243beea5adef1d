"""The encoder's training on two processes is that of one: discriminator, sampled pairs, batch statistics."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fingergen.training.checkpoints import load_reconstruction
from fingergen.training.checkpoints.manager import STATE
from fingergen.training.data.pairs import Pairs
from fingergen.training.networks import Generator
from fingergen.training.networks.minutiae_net import MinutiaeNet
from fingergen.training.trainers.encoder import EncoderTrainer
from fingergen.training.trainers.encoder_config import EncoderConfig
from fingergen.training.trainers.training_loop import Interruption, train

from .test_distributed import assert_same_run, assert_same_weights, curve, together

CPU = torch.device("cpu")
# Minibatch statistics are taken over four images: four of each process.
SPATIAL = EncoderConfig(
    depth="ir_se_10",
    width=4,
    map_size=128,
    w_plus=True,
    noise_maps=True,
    train_decoder=True,
    batch=8,
    optimizer="ranger",
    sampled=0.5,
    adversarial_weight=0.5,
    flow_weight=1.0,
    minutiae_weight=1.0,
    w_weight=0.1,
    seed=3,
)


class RandomPairs:
    """Random images and maps; every pair is another one."""

    def batch(self, rng: np.random.Generator, count: int) -> Pairs:
        images = rng.integers(256, size=(count, 1, 32, 32), dtype=np.uint8)
        maps = rng.integers(256, size=(count, 3, 128, 128), dtype=np.uint8)
        return Pairs(torch.from_numpy(images), torch.from_numpy(maps))

    def held_out(self, count: int) -> Pairs:
        return self.batch(np.random.default_rng(0), count)


def make_trainer() -> EncoderTrainer:
    torch.manual_seed(0)
    generator = Generator(32, style_dim=8, n_mlp=2, channel_base=128, channel_max=8)
    network = MinutiaeNet(width=4).eval().requires_grad_(False)
    return EncoderTrainer(SPATIAL, generator, network, RandomPairs(), 64, {}, CPU)


def train_encoder(out: Path, images: int) -> None:
    for _ in train(make_trainer(), out, images, 32, Interruption()):
        pass


@pytest.mark.slow
def test_encoder_of_two_processes(tmp_path: Path):
    train_encoder(tmp_path / "one", 64)
    together(train_encoder, tmp_path / "two", 32)
    together(train_encoder, tmp_path / "two", 64)
    assert_same_run(tmp_path / "two", tmp_path / "one")
    losses = set().union(*curve(tmp_path / "one"))
    assert {
        "loss/latent",
        "loss/adversarial",
        "loss/d",
        "loss/r1",
        "loss/minutiae",
        "sampled/recall",
    } <= losses
    one, two = (load_reconstruction(tmp_path / run / STATE) for run in ("one", "two"))
    assert_same_weights(two.reconstructor(), one.reconstructor())
    for key, value in one.extra["adversary"]["discriminator"].items():
        torch.testing.assert_close(two.extra["adversary"]["discriminator"][key], value, rtol=2e-3, atol=2e-3)
