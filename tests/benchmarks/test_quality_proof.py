"""`fg-bench proof`: a network learns from one set and is tested on others; it goes on where it stopped."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from fingergen.benchmarks.cli import main
from fingergen.benchmarks.quality import descriptor
from fingergen.benchmarks.quality.image_sets import ImageSet, read_folder
from fingergen.runtime.errors import BadInput

STEPS = 12


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network and prints small enough for a test."""
    for name, value in {"SIDE": 32, "WIDTHS": (4, 8), "LENGTH": 16, "FINGERS": 8, "KEPT_EVERY": 4}.items():
        monkeypatch.setattr(descriptor, name, value)


def write(folder: Path, seed: int, fingers: int = 8) -> ImageSet:
    """Two impressions, the second noisy, of each finger: blotches that no other finger has."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for finger in range(fingers):
        blotches = Image.fromarray(rng.integers(0, 256, (5, 5), dtype=np.uint8)).resize((320, 320))
        for impression in (1, 2):
            noisy = np.asarray(blotches) + rng.normal(0, 12, (320, 320))
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{finger}_{impression}.png")
    return read_folder(folder)


def test_an_interrupted_training_ends_like_another(tmp_path: Path) -> None:
    images = write(tmp_path / "set", 0)
    prints = descriptor.read_prints(images)
    whole = descriptor.train(images, prints, STEPS, tmp_path / "whole.pt")
    descriptor.train(images, prints, 8, tmp_path / "parts.pt")
    parts = descriptor.train(images, prints, STEPS, tmp_path / "parts.pt")
    for one, other in zip(whole.state_dict().values(), parts.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_the_loss_is_low_where_mates_are_nearest() -> None:
    described = torch.nn.functional.normalize(torch.randn(6, 16, generator=torch.Generator().manual_seed(0)))
    near = descriptor.contrastive_loss(described, described)
    assert near < 0.1 < descriptor.contrastive_loss(described, described.roll(1, 0))


def test_what_is_learned_holds_on_other_fingers(tmp_path: Path) -> None:
    for name, seed in (("train", 0), ("test", 1)):
        write(tmp_path / name, seed)
    words = [
        "proof",
        str(tmp_path / "train"),
        "--real",
        str(tmp_path / "test"),
        "--out",
        str(tmp_path / "out"),
    ]
    done = CliRunner().invoke(main, [*words, "--steps", str(STEPS), "--json"])
    assert done.exit_code == 0, done.stderr
    (result,) = json.loads(done.stdout)
    assert result["mated_pairs"] == 8 and result["non_mated_pairs"] == 28
    assert result["eer"]["value"] < 0.2
    again = CliRunner().invoke(main, [*words, "--steps", str(STEPS)])
    assert "train" in again.stdout and "EER" in again.stdout


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    images = write(tmp_path / "set", 0)
    (tmp_path / "other.pt").write_bytes(b"no checkpoint")
    torch.save({"step": 3, "network": {}}, tmp_path / "generator.pt")
    with pytest.raises(BadInput, match=r"other\.pt"):
        descriptor.train(images, descriptor.read_prints(images), 1, tmp_path / "other.pt")
    with pytest.raises(BadInput, match=r"generator\.pt: is not a checkpoint of this training; delete it"):
        descriptor.train(images, descriptor.read_prints(images), 1, tmp_path / "generator.pt")
    descriptor.train(images, descriptor.read_prints(images), 2, tmp_path / "longer.pt")
    with pytest.raises(BadInput, match=r"longer\.pt: has 2 steps already; ask for so many"):
        descriptor.train(images, descriptor.read_prints(images), 1, tmp_path / "longer.pt")
    words = ["proof", str(tmp_path / "set"), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2 and "give a set to test on, with --test or --real" in done.stderr
    done = CliRunner().invoke(main, [*words, "--test", str(tmp_path / "set")])
    assert done.exit_code == 2 and "set: 16 images are in set too; give other fingers" in done.stderr
    assert not (tmp_path / "out").exists()


def test_another_set_of_the_same_name_is_another_training(tmp_path: Path) -> None:
    """A checkpoint belongs to the images that it has seen, wherever they lie."""
    write(tmp_path / "test", 2)
    for place, seed in (("one", 0), ("moved", 0), ("other", 1)):
        (tmp_path / place).mkdir()
        write(tmp_path / place / "train", seed)
        words = ["proof", str(tmp_path / place / "train"), "--test", str(tmp_path / "test")]
        done = CliRunner().invoke(main, [*words, "--out", str(tmp_path / "out"), "--steps", "1"])
        assert done.exit_code == 0, done.stderr
    assert len(list((tmp_path / "out").glob("train-*.pt"))) == 2
