"""Checkpoints that we write: read back, and whole or not there."""

import argparse
import os
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch

from fingergen.training.checkpoints import (
    load_generator,
    load_reconstruction,
    save_generator,
    save_reconstruction,
)
from fingergen.training.networks import Generator

from .networks import same_image

WIDTHS = {4: 12, 8: 10, 16: 8}
Edit = Callable[[dict[str, Any]], None]


def test_own_generator_round_trip(tmp_path, discriminator):
    g_ema = Generator(
        resolution=16,
        style_dim=8,
        n_mlp=3,
        widths=WIDTHS,
        lr_mlp=0.5,
        image_padding="replicate",
        styled_noise=True,
        raw_z=True,
    )
    g = Generator(**g_ema.architecture())
    optimizer = torch.optim.Adam(g.parameters())
    g(torch.randn(2, 8)).sum().backward()
    optimizer.step()
    path = tmp_path / "g.pt"
    save_generator(
        path, g_ema=g_ema, g=g, d=discriminator, g_optim=optimizer, ada_p=0.5, images_seen=1600,
        config={"batch": 16, "widths": WIDTHS}, extra={"mean_path_length": torch.tensor(2.0)},
    )  # fmt: skip
    checkpoint = load_generator(path)
    assert checkpoint.source_format == "fingergen"
    assert checkpoint.g_ema.architecture() == g_ema.architecture()  # with what no shape tells
    assert same_image(checkpoint.g_ema, g_ema)
    assert checkpoint.g is not None
    g_ema.load_state_dict(checkpoint.g)
    assert same_image(g_ema, g)
    assert checkpoint.g_optim is not None and checkpoint.d_optim is None
    step = optimizer.state_dict()["state"][0]["exp_avg"]
    assert torch.equal(checkpoint.g_optim["state"][0]["exp_avg"], step)
    assert (checkpoint.images_seen, checkpoint.ada_p, checkpoint.extra["mean_path_length"]) == (
        1600,
        0.5,
        2.0,
    )
    assert checkpoint.config == {"batch": 16, "widths": WIDTHS}


def test_own_generator_is_a_synfing_checkpoint(tmp_path, generator, discriminator, synfing):
    save_generator(tmp_path / "g.pt", g_ema=generator, g=generator, d=discriminator)
    content = torch.load(tmp_path / "g.pt", weights_only=False)
    assert set(synfing) - set(content) == {"g_optim", "d_optim"}  # none was given
    assert isinstance(content["args"], argparse.Namespace)


def test_own_reconstruction_round_trip(tmp_path, encoder, generator):
    optimizer = torch.optim.Adam(encoder.parameters())
    save_reconstruction(
        tmp_path / "e.pt", encoder=encoder, decoder=generator, latent_avg=torch.arange(8.0),
        optimizer=optimizer, images_seen=32, config={"l2": 1.0},
    )  # fmt: skip
    checkpoint = load_reconstruction(tmp_path / "e.pt")
    assert (checkpoint.source_format, checkpoint.images_seen, checkpoint.config) == (
        "fingergen",
        32,
        {"l2": 1.0},
    )
    assert checkpoint.latent_avg is not None and torch.equal(checkpoint.latent_avg, torch.arange(8.0))
    assert checkpoint.optimizer is not None and checkpoint.optimizer["param_groups"]
    maps = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(checkpoint.encoder(maps), encoder(maps))


def test_a_failed_write_leaves_the_old_file(tmp_path, generator):
    path = tmp_path / "g.pt"
    save_generator(path, g_ema=generator, images_seen=1)
    with pytest.raises((AttributeError, pickle.PicklingError)):
        save_generator(path, g_ema=generator, images_seen=2, extra={"unpicklable": lambda: None})
    with pytest.raises(TypeError):
        save_generator(path, g_ema=generator, images_seen=3, config={"out": tmp_path})
    assert load_generator(path).images_seen == 1
    assert os.listdir(tmp_path) == ["g.pt"]
