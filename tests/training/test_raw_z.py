"""A mapping network that takes z as it is: w depends on the named numbers of a look alone, and bends each."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fingergen.runtime.errors import BadInput
from fingergen.training.checkpoints import save_generator
from fingergen.training.networks import Generator
from fingergen.training.trainers.generator import GeneratorTrainer
from fingergen.training.trainers.noise import RidgeNoise

from .test_ridge_noise import CPU, TINY, UnknownLooks, tiny_trainer
from .tiny_generator import advance


def test_with_raw_z_w_depends_on_the_named_numbers_of_a_look_alone(tmp_path: Path):
    fresh, normalized, started = tiny_trainer(raw_z=True), tiny_trainer(), tiny_trainer(raw_z=True)
    normalized.save(tmp_path / "normalized.pt")
    started.start_from(tmp_path / "normalized.pt")
    z = torch.randn(3, 16)
    unlike = torch.cat([z[:, :1], torch.randn(3, 15)], dim=1)
    for network in (fresh.generator, started.generator, started.g_ema):
        assert torch.equal(network.map(z), network.map(unlike))
        assert (network.map(2 * z) != network.map(z)).any(dim=1).all()
    assert (normalized.g_ema.map(z) != normalized.g_ema.map(unlike)).any()
    torch.testing.assert_close(normalized.g_ema.map(2 * z), normalized.g_ema.map(z))
    advance(started, 3)
    assert torch.equal(started.g_ema.map(z), started.g_ema.map(unlike))  # training leaves it so
    started.save(tmp_path / "raw.pt")
    with pytest.raises(BadInput, match=r"raw\.pt.*its generator has raw_z True, not False"):
        normalized.start_from(tmp_path / "raw.pt")


def test_with_raw_z_a_start_leaves_out_numbers_that_had_no_name(tmp_path: Path):
    """As a bundle or an adaptation to scans has, where w depends on every number of z."""
    scans = GeneratorTrainer(replace(TINY, raw_z=True), UnknownLooks(), {"ppi": 250.0}, CPU)
    save_generator(tmp_path / "scans.pt", g_ema=scans.g_ema)
    started = tiny_trainer(raw_z=True)
    started.start_from(tmp_path / "scans.pt")
    z = torch.randn(3, 16)
    unlike = torch.cat([z[:, :1], torch.randn(3, 15)], dim=1)
    assert (scans.g_ema.map(z) != scans.g_ema.map(unlike)).any()
    for network in (started.generator, started.g_ema):
        assert torch.equal(network.map(z), network.map(unlike))


def test_with_raw_z_and_two_layers_the_first_bends_each_number_and_w_is_straight():
    torch.manual_seed(0)
    generator = Generator(16, style_dim=16, n_mlp=2, widths={4: 4, 8: 4, 16: 4}, lr_mlp=0.5, raw_z=True)
    names = ("moisture", "paper", "ink")
    RidgeNoise(replace(TINY, style_dim=16), 4, 250.0, names).prepare(generator)
    z = torch.randn(4000, 16)
    bent, w = generator.style[1](z), generator.map(z)
    unlike = torch.cat([z[:, :3], torch.randn(4000, 13)], dim=1)
    assert torch.equal(generator.map(unlike), w)
    bends = {round(-0.5 * bias, 3) for bias in generator.style[1].bias.tolist()}
    assert len(bends) == 6 and min(bends) == -3 and max(bends) < 1  # 16 units: six turns of three numbers
    for number in range(3):
        correlations = np.corrcoef(np.c_[z[:, number], bent[:, number::3].detach().numpy()].T)[0, 1:]
        assert correlations[0] > 0.999 and (correlations > 0.8).all()
    design = np.c_[z[:, :3], np.ones(4000)]
    residues = np.linalg.lstsq(design, w.detach().numpy(), rcond=None)[1] / 4000
    assert residues.sum() < 0.1 * w.var(dim=0).sum()
