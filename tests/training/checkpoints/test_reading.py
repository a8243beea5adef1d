"""Checkpoints that we read: SynFing's, rosinality's and our own, of every age."""

import argparse
from collections.abc import Callable
from datetime import datetime
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import pytest
import torch

from fingergen.runtime import seeds
from fingergen.runtime.errors import BadInput
from fingergen.training.checkpoints import (
    GeneratorCheckpoint,
    ReconstructionCheckpoint,
    load_checkpoint,
    load_generator,
    load_reconstruction,
)
from fingergen.training.networks import Encoder, Generator, Reconstructor

from .networks import same_image

WIDTHS = {4: 12, 8: 10, 16: 8}
Edit = Callable[[dict[str, Any]], None]


def test_synfing_generator(tmp_path, synfing, generator):
    torch.save(synfing, tmp_path / "g.pt")
    checkpoint = load_checkpoint(tmp_path / "g.pt")
    assert isinstance(checkpoint, GeneratorCheckpoint)
    assert checkpoint.source_format == "synfing"
    assert checkpoint.g_ema.architecture() == generator.architecture()
    assert not checkpoint.g_ema.training
    assert same_image(checkpoint.g_ema, generator)
    assert checkpoint.ada_p == 0.25
    assert checkpoint.config["channel_multiplier"] == 2
    assert checkpoint.g_optim is not None and checkpoint.g_optim["param_groups"]
    assert checkpoint.d is not None and torch.equal(checkpoint.d["final_linear.1.bias"], torch.zeros(1))
    assert checkpoint.images_seen is None


def test_generator_without_training_state(tmp_path, synfing, generator):
    torch.save({"g_ema": synfing["g_ema"]}, tmp_path / "g.pt")
    checkpoint = load_generator(tmp_path / "g.pt")
    assert same_image(checkpoint.g_ema, generator)
    assert checkpoint.g is checkpoint.d is checkpoint.g_optim is checkpoint.d_optim is None


def test_file_of_old_pytorch(tmp_path, synfing, generator):
    torch.save(synfing, tmp_path / "g.pt", _use_new_zipfile_serialization=False)
    assert same_image(load_generator(tmp_path / "g.pt").g_ema, generator)


@pytest.mark.parametrize("average", [torch.arange(8.0), torch.arange(8.0)[None]])
def test_rosinality_generator(tmp_path, average):
    generator = Generator(resolution=32, channels=3, style_dim=8, n_mlp=8, channel_base=256, channel_max=16)
    torch.save({"g_ema": generator.state_dict(), "latent_avg": average}, tmp_path / "g.pt")
    checkpoint = load_generator(tmp_path / "g.pt")
    assert checkpoint.source_format == "rosinality"
    assert checkpoint.g_ema.architecture() == generator.architecture()
    assert same_image(checkpoint.g_ema, generator)
    assert checkpoint.latent_avg is not None and torch.equal(checkpoint.latent_avg, torch.arange(8.0))


def test_weights_saved_inside_a_wrapper(tmp_path, synfing, reconstruction, generator):
    for part in ("g", "d", "g_ema"):
        synfing[part] = {f"module.{key}": value for key, value in synfing[part].items()}
    torch.save(synfing, tmp_path / "g.pt")
    assert same_image(load_generator(tmp_path / "g.pt").g_ema, generator)
    state = {f"module.{key}": value for key, value in reconstruction["state_dict"].items()}
    torch.save(reconstruction | {"state_dict": state}, tmp_path / "e.pt")
    assert same_image(load_reconstruction(tmp_path / "e.pt").decoder, generator)


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_weights_of_a_compiled_network(tmp_path, synfing, generator, prefix):
    synfing["g_ema"] = {prefix + key: tensor for key, tensor in synfing["g_ema"].items()}
    torch.save(synfing, tmp_path / "g.pt")
    assert same_image(load_generator(tmp_path / "g.pt").g_ema, generator)


def test_noise_buffers_that_are_missing_are_those_of_seed_0(tmp_path, synfing, reconstruction, generator):
    for part in ("g", "g_ema"):
        synfing[part] = {key: each for key, each in synfing[part].items() if not key.startswith("noises.")}
    torch.save(synfing, tmp_path / "g.pt")
    loaded = load_generator(tmp_path / "g.pt")
    drawn = seeds.noise(0, generator.noise_shapes())
    for buffer, expected in zip(loaded.g_ema.stored_noise(), drawn, strict=True):
        assert np.array_equal(buffer.numpy(), expected)
    assert same_image(loaded.g_ema, load_generator(tmp_path / "g.pt").g_ema)
    generator.load_state_dict(loaded.g)  # as who goes on training does
    torch.save(
        {"state_dict": {k: v for k, v in reconstruction["state_dict"].items() if "noises." not in k}},
        tmp_path / "r.pt",
    )
    decoder = load_reconstruction(tmp_path / "r.pt").decoder
    assert np.array_equal(decoder.stored_noise()[3].numpy(), drawn[3])


@pytest.mark.parametrize("empty", [{}, None, "absent"])
def test_parts_that_hold_nothing(tmp_path, synfing, generator, empty):
    for part in ("g", "d", "g_optim", "d_optim"):
        synfing[part] = empty
        if empty == "absent":
            del synfing[part]
    torch.save(synfing, tmp_path / "g.pt")
    loaded = load_generator(tmp_path / "g.pt")
    assert same_image(loaded.g_ema, generator)
    assert (loaded.g, loaded.d, loaded.g_optim, loaded.d_optim) == (None, None, None, None)


@pytest.mark.parametrize("zip_format", [True, False])
def test_plain_values_of_numpy_and_pathlib(tmp_path, synfing, generator, zip_format):
    array = np.arange(6, dtype=">f4").reshape(2, 3, order="F")
    synfing["args"] = argparse.Namespace(
        lr=np.float32(0.5),
        steps=np.int64(7),
        big=np.array(2.5, ">f8")[()],
        yes=np.bool_(True),
        path=Path("a/b"),
        windows=PureWindowsPath("c"),
        table=array,
        nested=[{"deep": (np.float64(0.1), None)}],
    )
    synfing["ada_aug_p"] = np.float64(0.2)
    synfing["latent_avg"] = np.arange(8, dtype=np.float32)
    torch.save(synfing, tmp_path / "g.pt", _use_new_zipfile_serialization=zip_format)
    loaded = load_generator(tmp_path / "g.pt")
    assert same_image(loaded.g_ema, generator) and loaded.ada_p == 0.2
    assert torch.equal(loaded.latent_avg, torch.arange(8.0))
    config = dict(loaded.config)
    assert np.array_equal(config.pop("table").numpy(), array)
    expected = {"lr": 0.5, "steps": 7, "big": 2.5, "yes": True, "path": "a/b", "windows": "c"}
    assert config == expected | {"nested": [{"deep": (0.1, None)}]}
    assert all(type(config[key]) is type(value) for key, value in expected.items())


@pytest.mark.parametrize("value", [np.array([object()]), np.datetime64("2026-01-01")])
def test_other_values_of_numpy_are_refused(tmp_path, synfing, value):
    synfing["args"] = argparse.Namespace(value=value)
    torch.save(synfing, tmp_path / "g.pt")
    with pytest.raises(BadInput, match=r"g\.pt: holds NumPy values of type '[OM]8"):
        load_generator(tmp_path / "g.pt")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.str_("text"), "text"),
        (np.bytes_(b"text"), b"text"),
        (np.array([["a", "bc"]]), [["a", "bc"]]),
        (torch.__version__, str(torch.__version__)),
        (datetime(2026, 1, 2, 3), "2026-01-02T03:00:00"),
    ],
)
def test_texts_and_times(tmp_path, synfing, value, expected):
    synfing["args"] = argparse.Namespace(value=value)
    torch.save(synfing, tmp_path / "g.pt")
    assert load_generator(tmp_path / "g.pt").config["value"] == expected


def test_buffers_saved_as_parameters(tmp_path, generator):
    state = {key: torch.nn.Parameter(value) for key, value in generator.state_dict().items()}
    torch.save({"g_ema": state}, tmp_path / "g.pt")
    assert not any(buffer.requires_grad for buffer in load_generator(tmp_path / "g.pt").g_ema.buffers())


def test_half_precision_weights_become_float32(tmp_path, generator):
    state = {key: value.half() for key, value in generator.state_dict().items()}
    torch.save({"g_ema": state}, tmp_path / "g.pt")
    assert {p.dtype for p in load_generator(tmp_path / "g.pt").g_ema.parameters()} == {torch.float32}


def test_synfing_reconstruction(tmp_path, reconstruction, encoder, generator):
    torch.save(reconstruction, tmp_path / "e.pt")
    checkpoint = load_checkpoint(tmp_path / "e.pt")
    assert isinstance(checkpoint, ReconstructionCheckpoint)
    assert checkpoint.source_format == "synfing"
    assert checkpoint.encoder.architecture() == encoder.architecture()
    assert same_image(checkpoint.decoder, generator)
    maps = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(checkpoint.reconstructor().encode(maps).w, encoder(maps) + torch.arange(8.0))


@pytest.mark.parametrize(
    ("latent_avg", "opts", "added"),
    [
        (torch.ones(8), {"start_from_latent_avg": False}, None),
        (torch.ones(8), argparse.Namespace(start_from_latent_avg=False), None),
        (torch.ones(8), {}, torch.ones(8)),
        (torch.ones(1, 8), {}, torch.ones(8)),
        (torch.ones(6, 8), {}, torch.ones(6, 8)),
        (None, {"start_from_latent_avg": True}, None),
    ],
)
def test_which_average_latent_is_added(tmp_path, reconstruction, latent_avg, opts, added):
    torch.save(reconstruction | {"latent_avg": latent_avg, "opts": opts}, tmp_path / "e.pt")
    found = load_reconstruction(tmp_path / "e.pt").latent_avg
    assert found is added is None or torch.equal(found, added)


def test_encoder_into_w_plus(tmp_path, generator):
    encoder = Encoder("ir_se_10", width=2, style_dim=8, num_ws=generator.num_ws).eval()
    torch.save({"state_dict": Reconstructor(encoder, generator).state_dict()}, tmp_path / "e.pt")
    assert load_reconstruction(tmp_path / "e.pt").encoder.architecture() == encoder.architecture()
