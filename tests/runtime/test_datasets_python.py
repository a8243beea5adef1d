"""Datasets in Python: sequences of samples, the same as the command's files, a few made ahead."""

import copy
import csv
import threading
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fingergen.runtime import BadInput, load
from fingergen.runtime.cli import main
from fingergen.runtime.datasets import MatedDataset, sensor_dataset
from fingergen.runtime.fingers import FingerPosition, PatternClass
from fingergen.runtime.images import read_image
from fingergen.runtime.minutiae import read_template

from .. import tiny_bundle

SMALL = {"window": (64, 64), "preset": "easy"}


@pytest.fixture(scope="module")
def fingers() -> MatedDataset:
    return sensor_dataset(3, 2, workers=2, seed=5, **SMALL)


def test_classes_and_positions_may_be_text():
    named = sensor_dataset(1, 1, **SMALL, pattern="whorl", position="left-index")
    members = sensor_dataset(1, 1, **SMALL, pattern=PatternClass.WHORL, position=FingerPosition.LEFT_INDEX)
    assert named.request == members.request
    np.testing.assert_array_equal(named[0].pixels, members[0].pixels)


def test_samples_are_the_files_of_the_command(fingers: MatedDataset, tmp_path: Path):
    words = [
        "dataset",
        "--renderer",
        "sensor",
        "--window",
        "64",
        "64",
        "--preset",
        "easy",
        "--fingers",
        "3",
        "--seed",
        "5",
        "--out",
    ]
    assert CliRunner().invoke(main, [*words, str(tmp_path / "command")]).exit_code == 0
    with (tmp_path / "command/impressions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    samples = list(fingers)
    assert len(fingers) == len(samples) == len(rows) == 6
    for sample, row in zip(samples, rows, strict=True):
        assert (sample.finger, sample.impression, sample.seed) == tuple(
            int(row[name]) for name in ("finger", "impression", "seed")
        )
        np.testing.assert_array_equal(
            sample.pixels, np.asarray(read_image(tmp_path / "command" / row["file"]))
        )
        assert sample.template == read_template(tmp_path / "command" / row["template"])
        assert sample.columns["class"] == row["class"]
    np.testing.assert_array_equal(fingers[-1].pixels, samples[5].pixels)
    with pytest.raises(IndexError):
        fingers[6]
    for some in (slice(4, 1, -2), slice(5, 9), slice(3, 3)):
        found = fingers[some]
        assert [(each.finger, each.impression) for each in found] == [
            (each.finger, each.impression) for each in samples[some]
        ]
        for sample, expected in zip(found, samples[some], strict=True):
            np.testing.assert_array_equal(sample.pixels, expected.pixels)
    with closing(fingers.share(1, 2)) as share:
        assert [(each.finger, each.impression) for each in share] == [(1, 1), (1, 2)]
    done = fingers.write(tmp_path / "python")
    assert done.whole and done.made == 6
    for path in (tmp_path / "command").rglob("*"):
        if path.is_file():
            assert (
                tmp_path / "python" / path.relative_to(tmp_path / "command")
            ).read_bytes() == path.read_bytes()
    assert fingers.write(tmp_path / "python", resume=True).kept == 6


def test_few_are_made_ahead_of_a_slow_reader():
    endless = sensor_dataset(10**6, 1, workers=2, **SMALL)
    maker = endless._opened.maker  # type: ignore[union-attr]
    asked = []

    class Counting:
        def images(self, entries, use):
            return maker.images((asked.append(entry.finger) or entry for entry in entries), use)

    object.__setattr__(endless._opened, "maker", Counting())
    with closing(iter(endless)) as samples:
        assert next(samples).finger == 0
        deadline = time.monotonic() + 20
        while len(asked) < 4 and time.monotonic() < deadline:  # it works while nobody takes a sample
            time.sleep(0.05)
        time.sleep(0.5)
        assert 4 <= len(asked) <= 20
    assert not [thread for thread in threading.enumerate() if thread.name == "fingers"]


def test_a_model_makes_a_set(tmp_path: Path):
    bundle = tiny_bundle.write_tiny_bundle(tmp_path / "tiny", with_encoder=False)
    with load(bundle, workers=1) as model:
        fingers = model.dataset(2, 3, size=32)
        samples = list(fingers)
        assert [each.impression for each in samples] == [1, 2, 3, 1, 2, 3]
        assert samples[0].pixels.shape == (32, 32) and samples[0].template is None
        elsewhere = copy.copy(fingers)  # as pickled for another process, which loads the model
        np.testing.assert_array_equal(elsewhere[4].pixels, samples[4].pixels)
        for wrong in ({"subjects": True}, {"rolled": 1}, {"layout": "other"}, {"noise": "ridges"}):
            with pytest.raises(BadInput):
                list(model.dataset(10, **wrong))
    for name, value in (
        ("rolled", 2),
        ("pattern", "delta"),
        ("position", "toe"),
        ("effects", {"rotation": 20}),
        ("area", (300, 400)),
        ("templates", "json"),
        ("templates", ("iso",)),
        ("image_format", "jpg"),
        ("preset", "hardest"),
        ("seed", -1),
        ("seed", 1.5),
    ):
        with pytest.raises(BadInput, match=name):
            sensor_dataset(2, 1, **{name: value})  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="load a bundle"):
        MatedDataset(fingers.request)
