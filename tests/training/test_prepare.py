"""`fg-train prepare`: the dataset it makes, resuming, the split, and what the trainers read of it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fingergen.runtime.images import read_image
from fingergen.runtime.minutiae import minutiae_map, read_template
from fingergen.training.data.datasets import ImageFolder
from fingergen.training.data.pairs import PairFolder
from fingergen.training.data.storage import find_samples

from .raw_scans import MIDDLE, content, damage, run, save, scan

# -- the dataset -------------------------------------------------------------------------------------------


def test_prints_are_cut_out(raw):
    assert run(raw).exit_code == 0
    out = raw.parent / "out"
    for number in range(6):
        key = f"{number // 2}_{number % 2}"
        image = read_image(out / f"images/{key}.png")
        assert image.shape == (192, 192)
        assert Image.open(out / f"images/{key}.png").info["dpi"] == pytest.approx((500, 500), rel=1e-4)
        assert (image[0] == 255).all() and (image[:, -1] == 255).all()  # paper made white
        expected = np.asarray(scan(number))[90 : 90 + 140, 70 : 70 + 140]
        # The window is placed by the mask, whose grid is 4 pixels wide.
        differences = [
            abs(image[y + 50 : y + 90, x + 50 : x + 90].astype(int) - expected[50:90, 50:90]).mean()
            for y in range(20, 33)
            for x in range(20, 33)
        ]
        assert min(differences) < 1
        template = read_template(out / f"templates/{key}.json")
        assert [(m.x, m.y) for m in template.minutiae] == [(96, 96)]  # that in the corner is on no print
        assert np.array_equal(read_image(out / f"maps/{key}.png"), minutiae_map(template))


def test_the_trainers_read_it(raw):
    for number in range(6, 20):
        save(raw / f"{number // 2}_{number % 2}.png", scan(number))
    result = run(raw, "--test-fraction", 0.3, "--shards", 4)
    assert result.exit_code == 0, result.output
    out = raw.parent / "out"
    parts = {part: {tuple(s.key.split("_")) for s in find_samples(out / part)} for part in ("train", "test")}
    fingers = {part: {finger for finger, _ in keys} for part, keys in parts.items()}
    assert fingers["train"] | fingers["test"] == {str(n) for n in range(10)}
    assert not fingers["train"] & fingers["test"]
    assert len(parts["train"]) == 2 * len(fingers["train"]) and parts["test"]
    datasets = [PairFolder(data, 64, 1, 64) for data in (out, out / "train", out / "shards")]
    batches = [dataset.batch(np.random.default_rng(0), 6) for dataset in datasets]
    assert batches[0].maps.any()
    for batch in batches[1:]:
        assert torch.equal(batch.images, batches[0].images) and torch.equal(batch.maps, batches[0].maps)
    assert len(ImageFolder(out, 64, 1)) == len(parts["train"])
    rows = [json.loads(line) for line in (out / "test/metadata.jsonl").read_text().splitlines()]
    assert {row["finger"] for row in rows} == fingers["test"]
    assert all((out / "test" / row[kind]).exists() for row in rows for kind in ("image", "template", "map"))


@pytest.mark.slow
def test_the_same_files_with_several_processes_and_after_every_interruption(raw, monkeypatch):
    """Whatever part of the files is there, the same command makes it whole."""
    out = raw.parent / "out"
    assert run(raw).exit_code == 0
    whole = content(out)
    assert run(raw).exit_code == 0
    assert content(out) == whole
    rng = np.random.default_rng(0)
    for _ in range(2):
        for name in rng.permutation(sorted(whole))[:7]:
            if name != "dataset.json":
                (out / name).unlink(missing_ok=True)
        (out / "images/.0_0.png.4194305.34").write_bytes(b"half")
        assert run(raw).exit_code == 0
        assert content(out) == whole
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    assert run(raw, "--workers", 2, out=raw.parent / "other").exit_code == 0
    assert content(raw.parent / "other") == whole


def test_damaged_files_of_an_earlier_run_are_made_again(raw):
    assert run(raw, "--ridge-maps").exit_code == 0
    out = raw.parent / "out"
    whole = content(out)
    for folder in ("images", "maps", "ridges"):
        for number, path in enumerate(sorted((out / folder).iterdir())[:4]):
            damage(path, number)
    damage(min((out / "templates").iterdir()), 1)
    assert run(raw, "--ridge-maps").exit_code == 0
    assert content(out) == whole


@pytest.mark.slow
def test_killed_at_any_moment_it_continues_to_the_same_files(raw, tmp_path):
    assert run(raw).exit_code == 0
    whole = content(tmp_path / "out")
    code = "from fingergen.training.cli import main; main()"
    words = ["--size", "192", "--workers", "1", "--extractor", MIDDLE]
    command = [sys.executable, "-c", code, "prepare", str(raw), "--out", str(tmp_path / "killed"), *words]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "killed").glob("images/*.png")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 0 < len(list((tmp_path / "killed/images").glob("*.png"))) <= 6
    assert run(raw, out=tmp_path / "killed").exit_code == 0
    assert content(tmp_path / "killed") == whole


def test_a_raw_file_that_changed_is_done_again(raw):
    assert run(raw).exit_code == 0
    before = content(raw.parent / "out")
    save(raw / "0_0.png", scan(77))
    assert run(raw).exit_code == 0
    after = content(raw.parent / "out")
    assert {name for name in before if before[name] != after[name]} == {
        "images/0_0.png", "templates/0_0.json", "maps/0_0.png"
    } - {"templates/0_0.json"}  # fmt: skip  # the extractor's template is the same


def test_a_raw_file_that_is_gone_is_an_error(raw):
    assert run(raw).exit_code == 0
    (raw / "1_1.png").unlink()
    result = run(raw)
    assert result.exit_code == 2
    assert "images/1_1.png: its raw file is gone" in result.stderr


def test_other_settings_are_refused(raw):
    assert run(raw).exit_code == 0
    result = run(raw, "--background", "keep")
    assert result.exit_code == 2
    assert "a dataset made with background white is here" in result.stderr


# -- fingers ------------------------------------------------------------------------------------------------


def parts(out: Path) -> dict[str, set[str]]:
    return {
        part: {
            json.loads(line)["finger"] for line in (out / part / "metadata.jsonl").read_text().splitlines()
        }
        for part in ("train", "test")
    }


def test_fingers_of_nist_names_are_on_one_side(raw):
    for path in raw.iterdir():
        path.unlink()
    names = [f"{s:08d}_{d}_roll_{f:02d}" for s in (2303, 2304) for d in "AB" for f in (1, 2, 3)]
    for number, name in enumerate(names):
        save(raw / f"{name}.png", scan(number))
    assert run(raw, "--test-fraction", 0.4, "--extractor", "none").exit_code == 0
    found = parts(raw.parent / "out")
    assert not found["train"] & found["test"]
    assert found["train"] | found["test"] == {f"0000230{s}_0{f}" for s in (3, 4) for f in (1, 2, 3)}


def test_a_split_of_names_that_tell_no_finger_is_refused(raw):
    save(raw / "anna.png", scan(9))
    result = run(raw, "--test-fraction", 0.4)
    assert result.exit_code == 2 and "1 of 7 files, such as anna.png, state no finger" in result.stderr
    assert not (raw.parent / "out").exists()
    assert run(raw, "--extractor", "none").exit_code == 0  # without a split it does not matter
    result = run(raw, "--test-fraction", 0.4, "--finger-pattern", "^[^_]+", out=raw.parent / "split")
    assert result.exit_code == 0


def test_the_encoder_trains_by_the_fingers_that_prepare_was_told(raw):
    """Named IMPRESSION_FINGER, against the default rule; also through shards."""
    for path in raw.iterdir():
        path.unlink()
    for number in range(12):
        save(raw / f"{number % 3}_{number // 3}.png", scan(number))
    assert run(raw, "--finger-pattern", r"_(\d+)$", "--shards", 5).exit_code == 0
    out = raw.parent / "out"
    for data in (out, out / "shards"):
        dataset = PairFolder(data, 64, 1, 64)
        trained, held = (
            {s.key.split("_")[1] for s in each} for each in (dataset._split.trained, dataset._split.spare)
        )
        assert not trained & held and trained | held == {"0", "1", "2", "3"}


def test_no_extractor_makes_images_alone(raw):
    assert run(raw, "--extractor", "none").exit_code == 0
    assert sorted(path.name for path in (raw.parent / "out").iterdir() if path.is_dir()) == ["images"]
