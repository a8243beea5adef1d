"""What FingerGen keeps beside data and runs, damaged or somebody else's: one line, or as if absent."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fingergen.benchmarks.speed.regression import read_run
from fingergen.runtime.errors import BadInput
from fingergen.runtime.fingers import make_finger
from fingergen.runtime.images import read_provenance
from fingergen.training.checkpoints.manager import BEST_FIGURE, CheckpointManager
from fingergen.training.commands.synthesize_data import DataSet, write_data_set
from fingergen.training.config import read_configuration
from fingergen.training.data.masters import read_shard, write_shard
from fingergen.training.data.metadata import keep_metadata, view_of
from fingergen.training.trainers.run_dir import read_rows

DEEP = b"[" * 100_000
ODD = [
    DEEP,
    b"",
    b"[]",
    b"1",
    b'"a"',
    b"null",
    b"\xff",
    b"[[1, 2]]",
    b'{"ppi": 1e999, "size": [1e999, 64]}',
    b'{"ppi": 500, "size": [0, 0]}',
    b'{"ppi": 500, "size": "64"}',
    b'{"ppi": 0, "window": [64, 64]}',
    b'{"target_ppi": -500, "size": [64, 64]}',
    b'{"ppi": 500, "size": [1' + b"0" * 400 + b"]}",
    b"1" * 9999,
]


@pytest.mark.parametrize("content", ODD)
def test_json(tmp_path: Path, content: bytes):
    path = tmp_path / "dataset.json"
    path.write_bytes(content)
    assert view_of(tmp_path) is None
    with pytest.raises(BadInput, match=r"dataset\.json") as refused:
        keep_metadata(tmp_path, {"size": [64, 64]}, ())
    assert len(str(refused.value)) < 600 and path.read_bytes() == content
    with pytest.raises(BadInput, match="--against"):
        read_run(path)
    assert read_rows(path) == []
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.bmp")
    (tmp_path / "a.bmp.json").write_bytes(content)
    assert all(isinstance(each, str) for item in read_provenance(tmp_path / "a.bmp").items() for each in item)


@pytest.mark.parametrize("content", [*ODD, b'{"figure": "a"}', b'{"figure": "a", "value": "b"}'])
def test_the_figure_of_the_best_checkpoint(tmp_path: Path, content: bytes):
    (tmp_path / BEST_FIGURE).write_bytes(content)
    assert CheckpointManager(tmp_path, 2, "a")._is_best(0.5)
    (tmp_path / BEST_FIGURE).write_text(json.dumps({"figure": "a", "value": 0.25}))
    assert not CheckpointManager(tmp_path, 2, "a")._is_best(0.5)


@pytest.mark.parametrize(
    "content", [DEEP, b'{"finger": 1e999, "impression": 1}', b'{"finger": [], "impression": 1}']
)
def test_an_index_that_is_none(tmp_path: Path, content: bytes):

    (tmp_path / "metadata.jsonl").write_bytes(content)
    with pytest.raises(BadInput, match="not an index of impressions"):
        next(write_data_set(DataSet(tmp_path, 0, (96, 96), "json"), 1, 1))


def test_metadata_of_somebody_else_is_a_short_line(tmp_path: Path):
    content = {f"\x1b[2J{i}": "\n" * 1000 for i in range(1000)}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(BadInput) as refused:
        keep_metadata(tmp_path, {"size": [64, 64]}, ())
    assert str(refused.value).isprintable() and len(str(refused.value)) < 600


def test_options_with_escape_sequences(tmp_path: Path):
    (tmp_path / "a.yaml").write_text("batch: 8\n'\\x1b[2J\x07': [\n")
    with pytest.raises(BadInput) as refused:
        read_configuration(tmp_path / "a.yaml")
    assert str(refused.value).isprintable()


def test_damaged_masters(tmp_path: Path):
    write_shard(tmp_path / "a.npz", [make_finger(1, (64, 64))])
    whole = (tmp_path / "a.npz").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 3):
            damaged[place] = rng.integers(256)
        (tmp_path / "a.npz").write_bytes(damaged)
        try:
            read_shard(tmp_path / "a.npz")
        except BadInput as error:
            assert "not a shard of masters" in str(error)
