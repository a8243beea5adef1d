"""`fg-run dataset --renderer sensor`: images with true templates, resumable, without a bundle."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from fingergen.runtime.cli import main
from fingergen.runtime.fingers import PatternClass, make_finger
from fingergen.runtime.images import read_image, read_provenance
from fingergen.runtime.minutiae import read_template

SMALL = ("--window", "96", "120")


def dataset(*arguments: object) -> Result:
    words = ["dataset", "--renderer", "sensor", *map(str, (*SMALL, *arguments))]
    return CliRunner().invoke(main, words)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_images_and_templates_are_the_fingers(tmp_path: Path):
    out = tmp_path / "set"
    result = dataset("--fingers", 2, "--impressions", 2, "--seed", 5, "--preset", "easy", "--out", out)
    assert result.exit_code == 0, result.output
    taken = make_finger(6, (96, 120)).impression(1, "easy")
    image = out / "00000006_2.png"
    np.testing.assert_array_equal(read_image(image), taken.pixels)
    assert read_template(out / "00000006_2.json") == taken.template
    about = read_provenance(image)
    assert (about["seed"], about["impression"], about["preset"]) == ("6", "2", "easy")
    assert about["class"] == taken.finger.kind.value
    rows = list(csv.DictReader((out / "impressions.csv").read_text().splitlines()))
    assert [row["file"] for row in rows] == [f"0000000{s}_{n}.png" for s in (5, 6) for n in (1, 2)]
    assert rows[3]["class"] == about["class"] and rows[3]["template"] == "00000006_2.json"
    assert json.loads((out / "dataset.json").read_text())["fingers"] == 2


def test_a_set_resumes_and_grows_to_the_same(tmp_path: Path):
    out, whole = tmp_path / "set", tmp_path / "whole"
    assert dataset("--fingers", 1, "--impressions", 2, "--out", out).exit_code == 0
    (out / "00000000_1.json").unlink()
    grown = dataset("--fingers", 2, "--impressions", 2, "--out", out, "--resume", "--workers", 1)
    assert "3 images of 500 ppi, 1 kept" in grown.output
    assert dataset("--fingers", 2, "--impressions", 2, "--out", whole, "--workers", 3).exit_code == 0
    assert contents(out) == contents(whole)
    refused = dataset("--fingers", 2, "--impressions", 2, "--out", out, "--resume", "--preset", "hard")
    assert refused.exit_code != 0 and contents(out) == contents(whole)


def test_what_is_fixed_holds_for_all(tmp_path: Path):
    options = ("--pattern", "tented-arch", "--rotation", 30, "--moisture", "dry", "--contact", 0.6)
    assert dataset("--fingers", 2, "--impressions", 1, *options, "--out", tmp_path).exit_code == 0
    for seed in range(2):
        finger = make_finger(seed, (96, 120), PatternClass.TENTED_ARCH)
        taken = finger.impression(0, rotation=30, moisture="dry", contact=0.6)
        np.testing.assert_array_equal(read_image(tmp_path / f"{seed:08d}_1.png"), taken.pixels)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--moisture", "damp"),
        ("--moisture", 2),
        ("--contact", 0),
        ("--rotation", "nan"),
        ("--finger", "thumb"),
        ("--window", 32, 32),
    ],
)
def test_wrong_options_are_one_line(tmp_path: Path, arguments: tuple):
    result = dataset("--fingers", 1, *arguments, "--out", tmp_path / "set")
    assert result.exit_code == 2 and str(arguments[0]) in result.output
    assert "damp" not in arguments or "give dry, normal, wet or a number" in result.output
    assert not (tmp_path / "set").exists()
