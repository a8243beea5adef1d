"""`fg-train` and `fg-export` on a full disk and killed: one line, whole files only, continued to the same."""

import json
import shutil
from pathlib import Path

import pytest

from fingergen.runtime.bundle import read_bundle
from fingergen.training.checkpoints import save_generator

from ..export.test_graphs import small_generator
from ..processes import contents, ended, kill_when, small_disk, start
from .raw_scans import PREPARE

SYNTHESIZE = ["synthesize-data", "--fingers", 12, "--impressions", 2, "--window", 96, "--processes", 1]
GENERATOR = ["--resolution", 16, "--style-dim", 16, "--n-mlp", 2, "--channel-base", 128, "--channel-max", 16]
GENERATOR += ["--fingers", 2, "--window", 96, "--batch", 4, "--images", 40, "--checkpoint-every", 20]
GENERATOR += ["--device", "cpu"]


def last_line(lines: list[str], folder: Path) -> None:
    """Nothing but progress bars, and one line that names what could not be written."""
    assert f"fg-train: error: {folder}" in lines[-1] and "No space left on device" in lines[-1], lines
    assert not any("Traceback" in line for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize(("command", "room"), [("prepare", "100k"), ("synthesize-data", "90k")])
def test_a_data_set_on_a_full_disk_is_continued(raw: Path, tmp_path: Path, command: str, room: str):
    words = [*PREPARE, raw] if command == "prepare" else SYNTHESIZE
    with small_disk(tmp_path / "disk", room) as disk:
        code, lines = ended(start("fg-train", *words, "--out", disk / "set"))
        assert code == 1
        last_line(lines, disk / "set")
        assert len(list(disk.glob("set/images/*.png"))) > 1
        assert not [path for path in disk.rglob(".*") if path.is_file()]
        shutil.copytree(disk / "set", tmp_path / "set")
    for name in ("set", "alone"):
        assert ended(start("fg-train", *words, "--out", tmp_path / name))[0] == 0
    assert contents(tmp_path / "set") == contents(tmp_path / "alone")


@pytest.mark.slow
def test_a_killed_synthesis_of_data_is_continued(tmp_path: Path):
    process = start("fg-train", *SYNTHESIZE, "--out", tmp_path / "set")
    kill_when(process, lambda: len(list(tmp_path.glob("set/images/*.png"))) > 2)
    for name in ("set", "alone"):
        assert ended(start("fg-train", *SYNTHESIZE, "--out", tmp_path / name))[0] == 0
    assert contents(tmp_path / "set") == contents(tmp_path / "alone")


@pytest.mark.slow
def test_a_training_on_a_full_disk_is_continued(tmp_path: Path):
    words = ["generator", *GENERATOR, "--masters", tmp_path / "masters", "--out"]
    with small_disk(tmp_path / "disk", "1100k") as disk:  # room for a checkpoint, not for all
        code, lines = ended(start("fg-train", *words, disk / "run"))
        assert code == 1
        last_line(lines, disk / "run")
        assert not [path for path in disk.rglob(".*") if path.is_file()]
        shutil.copytree(disk / "run", tmp_path / "run")
    for name in ("run", "alone"):
        assert ended(start("fg-train", *words, tmp_path / name))[0] == 0
    rows = [
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("run", "alone")
    ]
    assert rows[0] == rows[1]


@pytest.mark.slow
def test_an_export_on_a_full_disk_or_killed_leaves_nothing(tmp_path: Path):
    save_generator(tmp_path / "g.pt", g_ema=small_generator(), images_seen=1, config={"ppi": 125})
    with small_disk(tmp_path / "disk", "40k") as disk:
        code, lines = ended(start("fg-export", tmp_path / "g.pt", "--out", disk / "bundle"))
        assert code == 1 and len(lines) == 1 and "No space left on device" in lines[0], lines
        assert list(disk.iterdir()) == []
    here = tmp_path / "here"
    here.mkdir()
    process = start("fg-export", tmp_path / "g.pt", "--out", here / "bundle")
    kill_when(process, lambda: any(here.iterdir()))
    assert not (here / "bundle").exists()
    assert ended(start("fg-export", tmp_path / "g.pt", "--out", here / "bundle")) == (0, [])
    assert read_bundle(here / "bundle") and [path.name for path in here.iterdir()] == ["bundle"]
