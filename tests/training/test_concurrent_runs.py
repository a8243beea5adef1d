"""Two processes that write one dataset, run directory or bundle: one does, the other says so in one line."""

import json
from pathlib import Path

import pytest

from fingergen.runtime.bundle import read_bundle
from fingergen.runtime.errors import BadInput
from fingergen.runtime.files import locked
from fingergen.training.checkpoints import save_generator
from fingergen.training.commands.synthesize_data import DataSet, write_data_set
from fingergen.training.trainers.run_dir import RunDirectory

from ..export.test_graphs import small_generator
from ..processes import both, contents, ended, start
from .raw_scans import PREPARE, run


def test_what_another_process_writes_is_left_alone(raw: Path):
    out = raw.parent / "out"
    data = DataSet(out, 0, (96, 96), "json")
    with locked(out):
        assert run(raw).stderr.count("another process is writing there") == 1
        for refused in (lambda: next(write_data_set(data, 1, 1)), lambda: RunDirectory(out)):
            with pytest.raises(BadInput, match="out: another process is writing there"):
                refused()
        assert list(out.iterdir()) == []
    for _ in range(2):
        RunDirectory(out).close()


SYNTHESIZE = ["synthesize-data", "--fingers", 4, "--impressions", 2, "--window", 96, "--processes", 1]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["prepare", "synthesize-data"])
def test_two_that_make_one_data_set(raw: Path, tmp_path: Path, command: str):
    words = [*PREPARE, raw] if command == "prepare" else SYNTHESIZE
    ends = both("fg-train", [*words, "--out", tmp_path / "set"], [*words, "--out", tmp_path / "set"])
    codes = [code for code, _ in ends]
    assert codes in ([0, 0], [0, 2]), ends  # where the other comes late, all is done
    assert all("another process is writing there" in line for code, lines in ends for line in lines if code)
    assert ended(start("fg-train", *words, "--out", tmp_path / "alone"))[0] == 0
    assert contents(tmp_path / "set") == contents(tmp_path / "alone")


@pytest.mark.slow
def test_two_trainings_in_one_run_directory(tmp_path: Path):
    sizes = ["--resolution", 16, "--style-dim", 16, "--n-mlp", 2, "--channel-base", 128, "--channel-max", 16]
    words = ["generator", *sizes, "--fingers", 2, "--window", 96, "--masters", tmp_path / "masters"]
    words += [
        "--batch",
        4,
        "--images",
        40,
        "--checkpoint-every",
        20,
        "--device",
        "cpu",
        "--loader-processes",
        0,
    ]
    ends = both("fg-train", *([*words, "--out", tmp_path / "run"] for _ in range(2)))
    codes = [code for code, _ in ends]
    assert codes in ([0, 0], [0, 2]), ends
    assert ended(start("fg-train", *words, "--out", tmp_path / "alone"))[0] == 0
    rows = [
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("run", "alone")
    ]
    assert rows[0] == rows[1]


@pytest.mark.slow
def test_two_exports_to_one_bundle(tmp_path: Path):
    save_generator(tmp_path / "g.pt", g_ema=small_generator(), images_seen=1, config={"ppi": 125})
    out = tmp_path / "bundle"
    words = [[tmp_path / "g.pt", "--truncation", psi, "--out", out] for psi in (0.5, 0.25)]
    ends = both("fg-export", *words)
    assert [code for code, _ in ends] == [0, 2] and len(ends[1][1]) == 1, ends
    assert f"{out}: exists already" in ends[1][1][0]
    ends = both("fg-export", *([*each, "--overwrite"] for each in words))
    assert [code for code, _ in ends] == [0, 0], ends
    assert read_bundle(out).manifest.recommended.truncation in (0.5, 0.25)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "g.pt"]
