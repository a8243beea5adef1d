"""Checkpoints in every format we read, and files that only look like checkpoints."""

import argparse
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
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
    save_generator,
    save_reconstruction,
)
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


def same_image(one: Generator, other: Generator) -> bool:
    z = torch.randn(2, one.style_dim)
    with torch.no_grad():
        return torch.equal(one(z), other(z))


# -- what we read -------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("value", [np.array([object()]), np.array(["text"]), np.datetime64("2026-01-01")])
def test_other_values_of_numpy_are_refused(tmp_path, synfing, value):
    synfing["args"] = argparse.Namespace(value=value)
    torch.save(synfing, tmp_path / "g.pt")
    with pytest.raises(BadInput, match=r"g\.pt: "):
        load_generator(tmp_path / "g.pt")


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


# -- what we write ------------------------------------------------------------------------------------------


def test_own_generator_round_trip(tmp_path, discriminator):
    g_ema = Generator(resolution=16, style_dim=8, n_mlp=3, widths=WIDTHS, lr_mlp=0.5)
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
    assert checkpoint.g_ema.architecture() == g_ema.architecture()  # lr_mlp too, which no shape tells
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


# -- what we refuse -----------------------------------------------------------------------------------------


class Payload:
    """Its pickle makes a file when it is loaded without care."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def refusal(path: Path) -> str:
    """The error of loading `path`; one line that names the file."""
    with pytest.raises(BadInput) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("zip_format", [True, False])
def test_code_in_a_checkpoint_is_never_run(tmp_path, synfing, zip_format):
    path, marker = tmp_path / "g.pt", tmp_path / "ran"
    torch.save(synfing | {"args": Payload(marker)}, path, _use_new_zipfile_serialization=zip_format)
    assert "mkdir" in refusal(path)
    assert not marker.exists()
    torch.load(path, weights_only=False)  # the payload is a working one
    assert marker.exists()


def test_code_in_a_bare_pickle_is_never_run(tmp_path):
    path, marker = tmp_path / "g.pt", tmp_path / "ran"
    path.write_bytes(pickle.dumps({"g_ema": Payload(marker)}))
    refusal(path)
    assert not marker.exists()


@pytest.mark.parametrize("zip_format", [True, False])
@pytest.mark.parametrize("kept", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_truncated_file(tmp_path, synfing, kept, zip_format):
    path = tmp_path / "g.pt"
    torch.save(synfing, path, _use_new_zipfile_serialization=zip_format)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    assert "not the whole" in refusal(path)


@pytest.mark.parametrize(
    "content", [b"", b"version https://git-lfs.github.com/spec/v1\n", bytes(range(256)) * 9]
)
def test_another_kind_of_file(tmp_path, content):
    (tmp_path / "g.pt").write_bytes(content)
    assert "no PyTorch checkpoint" in refusal(tmp_path / "g.pt")


def test_kinds_of_files_that_are_named(tmp_path):
    header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    safetensors = len(header).to_bytes(8, "little") + header + bytes(4)
    (tmp_path / "model.safetensors").write_bytes(safetensors)
    with pytest.raises(BadInput, match="is a safetensors file; load it with"):
        load_checkpoint(tmp_path / "model.safetensors")
    for module in (b"torch_utils.persistence", b"dnnlib.tflib.network"):
        pickled = b"\x80\x04\x95" + bytes(8) + b"}\x8c" + bytes([len(module)]) + module + b"\x94."
        (tmp_path / "network.pkl").write_bytes(pickled)
        with pytest.raises(BadInput, match=r"is a pickle of NVIDIA's StyleGAN code \(NVlabs\).*convert it"):
            load_checkpoint(tmp_path / "network.pkl")


def test_a_flipped_bit_in_a_weight_is_found(tmp_path, synfing):
    torch.save(synfing, tmp_path / "g.pt")
    content = bytearray((tmp_path / "g.pt").read_bytes())
    with zipfile.ZipFile(tmp_path / "g.pt") as archive:
        member = archive.getinfo("g/data/5")
    start = member.header_offset
    name, extra = struct.unpack("<HH", content[start + 26 : start + 30])  # lengths, before the values
    content[start + 30 + name + extra] ^= 1
    (tmp_path / "g.pt").write_bytes(content)
    with pytest.raises(BadInput, match=r"g\.pt: is damaged \(g/data/5 does not fit its checksum\)"):
        load_generator(tmp_path / "g.pt")


@pytest.mark.parametrize(
    "config",
    [
        {"a": b"bytes"},
        {"a": float("nan")},
        {"a": "\ud800"},
        {("a", 1): 2},
        {"a": torch.ones(1)},
        {"a": "x" * 2**21},
    ],
    ids=["bytes", "nan", "surrogate", "tuple", "tensor", "large"],
)
def test_odd_configurations_are_refused_when_they_are_read(tmp_path, generator, config):
    save_generator(tmp_path / "g.pt", g_ema=generator)
    content = torch.load(tmp_path / "g.pt", weights_only=False)
    content["fingergen"]["config"] = {"a": config}
    torch.save(content, tmp_path / "g.pt")
    with pytest.raises(BadInput, match=r"g\.pt: fingergen\.config: "):
        load_generator(tmp_path / "g.pt")


def test_missing_file_and_folder(tmp_path):
    assert "No such file" in refusal(tmp_path / "none.pt")
    assert "directory" in refusal(tmp_path)


def set_tensor(part: str, key: str, value: Any) -> Edit:
    def edit(content: dict[str, Any]) -> None:
        content[part] = content[part] | {key: value}

    return edit


def remove(part: str, key: str) -> Edit:
    def edit(content: dict[str, Any]) -> None:
        content[part] = {k: v for k, v in content[part].items() if k != key}

    return edit


def put(key: str, value: Any) -> Edit:
    return lambda content: content.update({key: value})


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (remove("g_ema", "conv1.conv.weight"), ["g_ema", "lacks", "conv1.conv.weight"]),
        (remove("g_ema", "input.input"), ["g_ema", "lacks", "input.input"]),
        (remove("g_ema", "style.2.weight"), ["g_ema", "lacks", "style.2.weight"]),
        (remove("g", "noises.noise_0"), ["g:", "lacks", "noises.noise_0"]),
        (remove("d", "convs.1.conv2.1.weight"), ["d:", "lacks", "convs.1.conv2.1.weight"]),
        (set_tensor("g_ema", "style.99999999.weight", torch.zeros(8, 8)), ["style.99999999"]),
        (set_tensor("g_ema", "spare", torch.zeros(1)), ["g_ema", "spare", "no key of Generator"]),
        (
            set_tensor("g_ema", "conv1.activate.bias", torch.zeros(7)),
            ["conv1.activate.bias", "(7,)", "(12,)"],
        ),
        (set_tensor("g_ema", "input.input", torch.zeros(12)), ["input.input", "(12,)", "4 dimensions"]),
        (set_tensor("g_ema", "input.input", 3), ["input.input", "no plain tensor"]),
        (
            set_tensor("g_ema", "conv1.noise.weight", torch.tensor([float("nan")])),
            ["conv1.noise.weight", "finite"],
        ),
        (
            set_tensor("g_ema", "input.input", torch.zeros(1).expand(1, 9999, 4, 4)),
            ["input.input", "no plain"],
        ),
        (set_tensor("d", "final_linear.1.bias", torch.zeros(2)), ["d:", "final_linear.1.bias", "(2,)"]),
        (put("g_ema", [1, 2]), ["g_ema", "state dict", "list"]),
        (put("g_optim", 5), ["g_optim", "int"]),
        (put("ada_aug_p", "high"), ["ada_aug_p", "str"]),
        (put("latent_avg", torch.zeros(9)), ["latent_avg", "(9,)", "(8,)"]),
        (put("fingergen", {"format_version": 99}), ["version 99", "update"]),
        (put("fingergen", {"format_version": 1, "networks": {}}), ["fingergen.images_seen"]),
        (lambda content: content.pop("g_ema"), ["g_ema", "state_dict"]),
    ],
)
def test_damaged_generator(tmp_path, synfing, edit, words):
    edit(synfing)
    torch.save(synfing, tmp_path / "g.pt")
    message = refusal(tmp_path / "g.pt")
    assert not [word for word in words if word not in message], message


def three_styles(content: dict[str, Any]) -> None:
    content["state_dict"] |= {
        "encoder.linear.weight": torch.zeros(24, 8),
        "encoder.linear.bias": torch.zeros(24),
    }


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (remove("state_dict", "encoder.linear.bias"), ["encoder", "lacks", "linear.bias"]),
        (
            remove("state_dict", "encoder.body.1.res_layer.1.weight"),
            ["encoder", "lacks", "body.1.res_layer.1.weight"],
        ),
        (set_tensor("state_dict", "encoder.linear.weight", torch.zeros(12, 8)), ["linear.weight", "12", "8"]),
        (set_tensor("state_dict", "encoder.linear.weight", torch.zeros(24, 8)), ["linear.bias", "(24,)"]),
        (three_styles, ["linear.weight", "3 styles", "1 or 6"]),
        (
            set_tensor("state_dict", "decoder.to_rgb1.bias", torch.zeros(3)),
            ["decoder", "to_rgb1.bias", "(3,)"],
        ),
        (set_tensor("state_dict", "latent", torch.zeros(3)), ["state_dict", "latent", "neither"]),
        (put("latent_avg", torch.zeros(5, 8)), ["latent_avg", "(5, 8)", "(6, 8)"]),
        (put("latent_avg", "mean"), ["latent_avg", "str"]),
        (put("opts", ["--size"]), ["opts", "list"]),
        (put("state_dict", {}), ["decoder."]),
    ],
)
def test_damaged_reconstruction(tmp_path, reconstruction, edit, words):
    edit(reconstruction)
    torch.save(reconstruction, tmp_path / "e.pt")
    message = refusal(tmp_path / "e.pt")
    assert not [word for word in words if word not in message], message


def test_the_other_kind_of_checkpoint(tmp_path, synfing, reconstruction):
    torch.save(synfing, tmp_path / "g.pt")
    torch.save(reconstruction, tmp_path / "e.pt")
    with pytest.raises(BadInput, match="lacks the key 'state_dict'"):
        load_reconstruction(tmp_path / "g.pt")
    with pytest.raises(BadInput, match="lacks the key 'g_ema'"):
        load_generator(tmp_path / "e.pt")


def test_flipped_bytes_never_escape_as_another_error(tmp_path, synfing):
    """A damaged file either still holds a fitting generator or is refused in one line."""
    path = tmp_path / "g.pt"
    torch.save({"g_ema": synfing["g_ema"], "args": synfing["args"]}, path)
    whole = path.read_bytes()
    start = whole.index(b"data.pkl") + len(b"data.pkl")  # keys, shapes and offsets lie here
    random = torch.Generator().manual_seed(0)
    refused = 0
    for position in torch.randint(start, start + 8000, (150,), generator=random).tolist():
        damaged = bytearray(whole)
        damaged[position] ^= 1 << int(torch.randint(8, (1,), generator=random))
        path.write_bytes(damaged)
        try:
            load_checkpoint(path)
        except BadInput as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 75
