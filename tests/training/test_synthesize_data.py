"""Fingers kept on disk, datasets of their impressions, and what independent algorithms find in them."""

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from fingergen.runtime.errors import BadInput
from fingergen.runtime.fingers import SMALL_SENSOR, impressions, make_finger, sample_pattern, take_impression
from fingergen.runtime.minutiae import Minutia, Template, minutiae_map, read_template
from fingergen.runtime.minutiae.agreement import Agreement, agreement
from fingergen.training.commands.synthesize_data import DataSet, synthesize_data, write_data_set
from fingergen.training.data.masters import read_shard, write_masters

from .raw_scans import damage

TINY = (96, 96)


def test_masters_are_kept(tmp_path: Path):
    shards = list(write_masters(tmp_path, range(5, 8), TINY, shard_size=2))
    kept = [finger for shard in shards for finger in read_shard(shard)]
    stamps = [shard.stat().st_mtime_ns for shard in shards]
    assert list(write_masters(tmp_path, range(5, 8), TINY, shard_size=2)) == shards
    assert [shard.stat().st_mtime_ns for shard in shards] == stamps
    assert sorted(tmp_path.iterdir()) == sorted(shards)
    for seed, finger in zip(range(5, 8), kept, strict=True):
        made = make_finger(seed, TINY)
        assert (finger.seed, finger.kind, finger.origin) == (seed, made.kind, made.origin)
        assert finger.window == TINY
        for name in ("ridges", "cores", "deltas", "creases"):
            np.testing.assert_array_equal(getattr(finger, name), getattr(made, name))
        for one, other in zip(finger.minutiae, made.minutiae, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 not a zip", None])
def test_a_damaged_shard_is_one_clear_error(tmp_path: Path, damage: bytes | None):
    (shard,) = write_masters(tmp_path, range(1), TINY)
    shard.write_bytes(shard.read_bytes()[:-200] if damage is None else damage)
    with pytest.raises(BadInput, match=shard.name):
        read_shard(shard)


def test_data_set(tmp_path: Path):
    data = DataSet(tmp_path / "set", 40, TINY, "json")
    assert [written for _, written in write_data_set(data, 2, 3)] == [3, 3]
    rows = [json.loads(line) for line in (data.folder / "metadata.jsonl").read_text().splitlines()]
    assert [(row["finger"], row["impression"], row["seed"]) for row in rows] == [
        (finger, number, 40 + finger) for finger in range(2) for number in (1, 2, 3)
    ]
    row = rows[4]
    assert row["image"] == "images/00000041_2.png" and row["class"] == sample_pattern(41).kind.value
    taken = take_impression(make_finger(41, TINY), 1)
    with Image.open(data.folder / row["image"]) as image:
        assert image.mode == "L" and image.info["dpi"] == pytest.approx((500, 500), abs=0.1)
        np.testing.assert_array_equal(np.asarray(image), taken.pixels)
    assert read_template(data.folder / row["template"]) == taken.template
    with Image.open(data.folder / row["map"]) as drawn:
        np.testing.assert_array_equal(np.asarray(drawn), minutiae_map(taken.template))


def test_data_set_resumes_and_refuses_other_settings(tmp_path: Path):
    runner = CliRunner()
    options = ["--out", str(tmp_path), "--window", "96", "--workers", "1", "--format", "xyt"]
    command = ["--fingers", "2", "--impressions", "2", *options]
    assert runner.invoke(synthesize_data, command).exit_code == 0
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(files) == 2 * 2 * 3 + 2
    (tmp_path / "images/00000001_1.png").unlink()
    result = runner.invoke(synthesize_data, command)
    assert "1 impressions written, 3 kept" in result.output
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files
    for folder in ("images", "maps"):
        for number, path in enumerate(sorted((tmp_path / folder).iterdir())):
            damage(path, number)
    assert "4 impressions written, 0 kept" in runner.invoke(synthesize_data, command).output
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files
    refused = runner.invoke(synthesize_data, [*command, "--seed", "1"])
    assert isinstance(refused.exception, BadInput) and "seed 0" in str(refused.exception)


@pytest.mark.slow
def test_data_set_does_not_depend_on_workers(tmp_path: Path):
    one, two = (DataSet(tmp_path / name, 7, TINY, "json") for name in ("one", "two"))
    list(write_data_set(one, 2, 1))
    list(write_data_set(two, 2, 1, processes=2))
    for path in one.folder.rglob("*.*"):
        assert (two.folder / path.relative_to(one.folder)).read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_an_independent_extractor_and_matcher_agree():
    """MINDTCT finds the minutiae; Bozorth3 separates fingers; NFIQ 2 rates the prints as prints."""
    pytest.importorskip("nbis", reason="the independent extractor is not installed (extra: eval)")
    from fingergen.training.metrics.fingerprints import bozorth3, measure

    found, total = [], Agreement()
    for seed in (500, 501, 502, 503, 505):  # 504 shows a dozen minutiae: too few for Bozorth3
        images, truths = impressions([make_finger(seed, SMALL_SENSOR)] * 2, range(2), preset="easy")
        seen = [measure(image) for image in images]
        extracted = [
            Template(
                truth.width,
                truth.height,
                500.0,
                tuple(Minutia(x, y, angle) for x, y, angle, *_ in each.minutiae),
            )
            for truth, each in zip(truths, seen, strict=True)
        ]
        found += seen
        total += sum(map(agreement, extracted, truths), Agreement())
    assert total.precision > 0.7 and total.recall > 0.65
    records = [each.record for each in found]
    mated = bozorth3(records, [(i, i + 1) for i in range(0, 10, 2)])
    non_mated = bozorth3(records, list(combinations(range(0, 10, 2), 2)))
    assert max(non_mated) < 40 and max(non_mated) < min(mated) and np.median(mated) > 40
    assert np.median([each.quality for each in found]) > 30
