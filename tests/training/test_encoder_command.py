"""`fg-train encoder`: its files, and what it refuses."""

import json

import pytest
import torch
from click.testing import CliRunner

from fingergen.runtime.errors import BadInput
from fingergen.training.checkpoints import load_reconstruction, save_generator
from fingergen.training.checkpoints.files import write
from fingergen.training.checkpoints.manager import STATE
from fingergen.training.commands.encoder import encoder as encoder_command
from fingergen.training.networks import Encoder, Generator
from fingergen.training.trainers.minutiae import MinutiaeTrainer

from .tiny_encoder import CPU, MAP, RESOLUTION, TINY, Repeated


@pytest.fixture
def generator() -> Generator:
    torch.manual_seed(0)
    return Generator(RESOLUTION, style_dim=8, n_mlp=2, channel_base=128, channel_max=8)


def run_command(*arguments: object, **options: object):
    named = {f"--{name.replace('_', '-')}": value for name, value in {**TINY, **options}.items()}
    words = [f"{name}={value}" if value != "" else name for name, value in named.items()]
    return CliRunner().invoke(encoder_command, [*map(str, arguments), *words])


@pytest.mark.slow
def test_command(tmp_path, generator, masters):
    save_generator(tmp_path / "g.pt", g_ema=generator, config={"ppi": 250})
    files = {"generator": tmp_path / "g.pt", "masters": masters, "out": tmp_path / "run"}
    small = {"fingers": 4, "images": 8, "minutiae_images": 8, "checkpoint_every": 8}
    result = run_command(**files, **small, trunk=tmp_path / "g.pt")
    assert isinstance(result.exception, BadInput) and "g.pt" in str(result.exception)
    write(tmp_path / "trunk.pt", Encoder("ir_se_10", 4, style_dim=4).state_dict())
    assert run_command(**files, **small, trunk=tmp_path / "trunk.pt").exit_code == 0
    assert run_command(**files, **{**small, "images": 12}).exit_code == 0
    checkpoint = load_reconstruction(tmp_path / "run" / STATE)
    assert checkpoint.images_seen == 12
    assert (checkpoint.config["map_size"], checkpoint.config["ppi"]) == (MAP, 250)
    assert checkpoint.latent_avg is not None
    names = sorted(path.name for path in (tmp_path / "run/samples").iterdir())
    assert names == [f"{kind}_{images:09d}.png" for kind in ("held_out", "sampled") for images in (8, 12)]
    assert list((tmp_path / "run/tensorboard").iterdir())
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert {"held_out/recall", "held_out/precision", "held_out/chance_recall"} <= set().union(*rows)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "either --data FOLDER or --fingers N"),
        ({"fingers": 4, "data": "x"}, "either --data FOLDER or --fingers N"),
        ({"fingers": 4, "depth": "resnet"}, "--depth resnet: must be one of"),
        ({"fingers": 4, "sampled": 1.5}, "--sampled 1.5"),
        ({"fingers": 4, "noise_maps": "", "map_size": 96}, "--map-size 96: with --noise-maps a power of two"),
        ({"fingers": 4, "device": "warp"}, "--device warp"),
        ({"data": "/nowhere"}, "/nowhere: no such folder"),
    ],
)
def test_command_refuses(tmp_path, generator, options, words):
    save_generator(tmp_path / "g.pt", g_ema=generator)
    result = run_command(generator=tmp_path / "g.pt", out=tmp_path / "run", **options)
    assert isinstance(result.exception, BadInput)
    assert words in str(result.exception)
    assert not (tmp_path / "run").exists()


def test_command_refuses_a_minutiae_network_of_other_images(tmp_path, generator, masters):
    save_generator(tmp_path / "g.pt", g_ema=generator, config={"ppi": 250})
    other = MinutiaeTrainer(Repeated(torch.zeros(4, 3, 16, 16, dtype=torch.uint8)), 16, 16, 4, 0, CPU)
    (tmp_path / "net").mkdir()
    other.save(tmp_path / "net" / STATE)
    result = run_command(
        generator=tmp_path / "g.pt",
        fingers=4,
        masters=masters,
        out=tmp_path / "run",
        minutiae_net=tmp_path / "net",
    )
    assert isinstance(result.exception, BadInput)
    assert "is of a minutiae network for" in str(result.exception)


def test_a_minutiae_network_of_another_field_is_used(tmp_path, generator, masters):
    """It is convolutional throughout: images of the same pixels per inch are enough."""
    save_generator(tmp_path / "g.pt", g_ema=generator, config={"ppi": 250})
    smaller = MinutiaeTrainer(Repeated(torch.zeros(4, 3, 16, 16, dtype=torch.uint8)), 16, 32, 4, 0, CPU)
    smaller.images_seen = 8
    (tmp_path / "net").mkdir()
    smaller.save(tmp_path / "net" / STATE)
    before = (tmp_path / "net" / STATE).read_bytes()
    result = run_command(
        generator=tmp_path / "g.pt", fingers=4, masters=masters, out=tmp_path / "run", images=4,
        minutiae_net=tmp_path / "net", minutiae_images=8, workers=1,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert (tmp_path / "net" / STATE).read_bytes() == before
    assert load_reconstruction(tmp_path / "run" / STATE).images_seen == 4
