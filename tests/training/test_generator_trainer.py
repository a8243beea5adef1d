"""The generator trainer: its losses, its data, resuming, and that training moves towards the data."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from fingergen.runtime.errors import BadInput
from fingergen.training.checkpoints import load_generator
from fingergen.training.cli import main
from fingergen.training.data.datasets import ImageFolder
from fingergen.training.losses.adversarial import path_lengths, r1_penalty
from fingergen.training.trainers.generator import GeneratorTrainer
from fingergen.training.trainers.training_loop import Interruption, train

from . import tiny_generator

CPU = torch.device("cpu")
TINY = replace(
    tiny_generator.TINY,
    r1_weight=0.1,
    ema_half_life=200,
)
TINY_OPTIONS = [
    "--resolution=16",
    "--style-dim=16",
    "--n-mlp=2",
    "--channel-base=128",
    "--channel-max=16",
    "--batch=8",
]


@pytest.fixture
def stripes(tmp_path: Path) -> Path:
    """A folder of 64 images with horizontal stripes of random phase."""
    folder = tmp_path / "stripes" / "images"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(64):
        rows = 127.5 + 120 * np.sin(np.arange(16) * np.pi / 4 + rng.uniform(0, 2 * np.pi))
        Image.fromarray(np.repeat(rows[:, None], 16, axis=1).astype(np.uint8)).save(
            folder / f"{index:02d}.png"
        )
    return folder.parent


def tiny_trainer(folder: Path, **changes: Any) -> GeneratorTrainer:
    config = replace(TINY, **changes)
    return GeneratorTrainer(config, ImageFolder(folder, config.resolution, 1), {"ppi": 250}, CPU)


def advance(trainer: GeneratorTrainer, out: Path, images: int) -> None:
    """Train, from the state in `out` if there is one."""
    for _ in train(trainer, out, images, 10**9, Interruption()):
        pass


def test_r1_penalty_is_the_squared_gradient_norm():
    images = torch.randn(3, 1, 4, 4, requires_grad=True)
    weight = torch.randn(1, 4, 4)
    penalty = r1_penalty((images * weight).sum(dim=(1, 2, 3)).unsqueeze(1), images)
    torch.testing.assert_close(penalty, weight.square().sum())


def test_path_lengths_of_a_linear_map():
    """For an image that is c·w (one pixel a style component), Jᵀy = c·y, so the length is c·‖y‖."""
    torch.manual_seed(5)
    direction = torch.randn(2, 1, 8, 8) / 8
    ws = torch.zeros(2, 1, 64, requires_grad=True)
    torch.manual_seed(5)
    lengths = path_lengths((3 * ws).view(2, 1, 8, 8), ws, 8 * direction)
    torch.testing.assert_close(lengths, 3 * direction.flatten(1).norm(dim=1))


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"augment": True, "augment_p": 0.2, "precision": "bf16", "num_fp16_res": 1, "accumulate": 2},
    ],
)
def test_training_moves_towards_the_data(stripes: Path, tmp_path: Path, options: dict[str, Any]):
    """Rows of the data are constant: the variance along x, relative to all variance, must fall. Augmentation
    turns many of them upright, which must not be seen in what is made."""

    def unevenness(trainer: GeneratorTrainer) -> float:
        images = trainer.samples(32)
        return (images.var(dim=3).mean() / images.var(dim=(2, 3)).mean()).item()

    trainer = tiny_trainer(stripes, resolution=8, learning_rate=0.01, path_weight=0.0, **options)
    before = unevenness(trainer)
    advance(trainer, tmp_path / "run", 1200)
    after = unevenness(trainer)
    assert before > 0.5
    assert after < 0.25


@pytest.mark.slow
def test_resumed_run_ends_bit_equal(stripes: Path, tmp_path: Path):
    whole = tiny_trainer(stripes)
    advance(whole, tmp_path / "whole", 320)
    advance(tiny_trainer(stripes), tmp_path / "parts", 160)
    resumed = tiny_trainer(stripes)
    advance(resumed, tmp_path / "parts", 320)

    assert resumed.images_seen == 320
    for network in ("generator", "discriminator", "g_ema"):
        expected, found = (getattr(trainer, network).state_dict() for trainer in (whole, resumed))
        for key, value in expected.items():
            assert torch.equal(value, found[key]), f"{network}.{key}"


def test_resuming_takes_the_learning_rate_given(stripes: Path, tmp_path: Path):
    tiny_trainer(stripes).save(tmp_path / "state.pt")
    resumed = tiny_trainer(stripes, learning_rate=0.001)
    resumed.load(tmp_path / "state.pt")
    assert resumed.g_optim.param_groups[0]["lr"] == pytest.approx(0.001 * 4 / 5)


def test_state_of_another_shape_is_refused(stripes: Path, tmp_path: Path):
    tiny_trainer(stripes).save(tmp_path / "state.pt")
    with pytest.raises(BadInput, match=r"state.pt: was trained with style_dim 16, not 8"):
        tiny_trainer(stripes, style_dim=8).load(tmp_path / "state.pt")


@pytest.mark.slow
def test_command_writes_a_run_and_continues_it(stripes: Path, tmp_path: Path):
    command = [
        "generator",
        "--data",
        str(stripes),
        "--out",
        str(tmp_path / "run"),
        *TINY_OPTIONS,
        "--device",
        "cpu",
    ]
    assert CliRunner().invoke(main, [*command, "--images", "256", "--checkpoint-every", "128"]).exit_code == 0
    result = CliRunner().invoke(main, [*command, "--images", "512", "--checkpoint-every", "128"])
    assert result.exit_code == 0, result.output

    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["images"] for row in rows] == [128, 256, 384, 512]
    assert all(np.isfinite(list(row.values())).all() for row in rows)
    sheets = sorted(path.name for path in (tmp_path / "run" / "samples").iterdir())
    assert sheets == [f"samples_{images:09d}.png" for images in (128, 256, 384, 512)]
    checkpoint = load_generator(tmp_path / "run" / "state.pt")
    assert checkpoint.images_seen == 512
    assert checkpoint.g_ema.resolution == 16


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--resolution", "100"], "--resolution 100: must be a power of two"),
        (["--batch", "6"], "--batch 6: must be 1 to 4 or a multiple of 4"),
        (["--mixing", "2"], "--mixing 2.0: is a probability"),
        (["--accumulate", "8"], "--accumulate 8: a part must hold a multiple of 4 images"),
        (["--augment-p", "0.2"], "--augment-p 0.2: has no effect without --augment"),
        (["--augment", "--augment-p", "2"], "--augment-p 2.0: is a probability"),
        (["--ada-target", "2"], "--ada-target 2.0: is a mean of signs"),
        (["--ada-interval", "0"], "--ada-interval 0: must be 1 or more"),
        (["--precision", "fp8"], "--precision fp8: must be one of fp32, bf16, fp16"),
        (["--device", "cuda:77"], "--device cuda:77: not usable here"),
    ],
)
def test_wrong_options_get_one_line(stripes: Path, tmp_path: Path, options: list[str], message: str):
    result = CliRunner().invoke(
        main, ["generator", "--data", str(stripes), "--out", str(tmp_path / "run"), *options]
    )
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_folder_of_mixed_resolutions_needs_a_word(tmp_path: Path):
    data = tmp_path / "scans"
    data.mkdir()
    for ppi in (500, 1000):
        Image.new("L", (16, 16), ppi // 5).save(data / f"{ppi}.png", dpi=(ppi, ppi))
    words = ["generator", "--data", str(data), "--out", str(tmp_path / "run"), "--resolution", "8",
             "--style-dim", "8", "--n-mlp", "1", "--channel-base", "32", "--channel-max", "4", "--batch", "4",
             "--images", "4", "--device", "cpu"]  # fmt: skip
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert "scans: mixes resolutions, 1000 ppi (1000.png) and 500 ppi (500.png)" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()
    assert CliRunner().invoke(main, [*words, "--ppi", "250"]).exit_code == 0


def test_image_folder(tmp_path: Path):
    Image.fromarray(np.full((20, 10), 40, np.uint8)).save(tmp_path / "narrow.png")
    dataset = ImageFolder(tmp_path, 10, 1)
    batch = dataset.batch(np.random.default_rng(0), 3)
    assert batch.shape == (3, 1, 10, 10)
    assert batch.dtype == torch.uint8
    assert batch[0, 0, 5, 5] == 40
    assert batch[0, 0, 5, 0] == 255  # padded with white


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n"])
def test_unreadable_images_are_named(tmp_path: Path, content: bytes):
    (tmp_path / "broken.png").write_bytes(content)
    with pytest.raises(BadInput, match=r"broken.png: not a readable image"):
        ImageFolder(tmp_path, 16, 1)


def test_empty_folder_is_named(tmp_path: Path):
    with pytest.raises(BadInput, match="holds no image"):
        ImageFolder(tmp_path, 16, 1)
