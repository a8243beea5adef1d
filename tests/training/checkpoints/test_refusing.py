"""Checkpoints that we refuse: code that never runs, damage, other shapes, all named in one line."""

import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fingergen.runtime.errors import BadInput
from fingergen.training.checkpoints import (
    load_checkpoint,
    load_generator,
    load_reconstruction,
    save_generator,
)

WIDTHS = {4: 12, 8: 10, 16: 8}
Edit = Callable[[dict[str, Any]], None]


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


def test_odd_archives(tmp_path, synfing):
    """Of several disks; of a name with escape sequences; packed, and damaged inside."""
    path = tmp_path / "g.pt"
    torch.save(synfing, path)
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[whole.rindex(b"PK\6\7") + 16] = 9  # disks, as the locator of the 64-bit end record has them
    path.write_bytes(damaged)
    refusal(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a\x1b[2J\n" + "b" * 500, bytes(1000))
    packed = path.read_bytes()
    for offset in range(530, 550):
        path.write_bytes(packed[:offset] + b"\xff\xff" + packed[offset + 2 :])
        message = refusal(path)
        assert message.isprintable() and len(message) < 400


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
        (set_tensor("g_ema", "spare", torch.zeros(1)), ["g_ema", "spare", "not a key of Generator"]),
        (
            set_tensor("g_ema", "conv1.activate.bias", torch.zeros(7)),
            ["conv1.activate.bias", "(7,)", "(12,)"],
        ),
        (set_tensor("g_ema", "input.input", torch.zeros(12)), ["input.input", "(12,)", "4 dimensions"]),
        (set_tensor("g_ema", "input.input", 3), ["input.input", "not a plain tensor"]),
        (
            set_tensor("g_ema", "conv1.noise.weight", torch.tensor([float("nan")])),
            ["conv1.noise.weight", "finite"],
        ),
        (
            set_tensor("g_ema", "input.input", torch.zeros(1).expand(1, 9999, 4, 4)),
            ["input.input", "not a plain"],
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
