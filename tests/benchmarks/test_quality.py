"""The judge of a bundle's fingerprints: which pairs, what counts as a match, how ridges run."""

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fingergen.benchmarks.quality import directions
from fingergen.benchmarks.quality.comparisons import across, share, threshold, within
from fingergen.benchmarks.quality.evaluate import Plan, judge
from fingergen.benchmarks.quality.ridge_patterns import pattern_class, ridge_period, singular_points
from fingergen.runtime import load
from fingergen.runtime.errors import BadInput
from fingergen.runtime.fingers import PatternClass, impressions, make_finger
from fingergen.runtime.images import read_image

from ..tiny_bundle import write_tiny_bundle

SIDE = 256


def waves(period: float, degrees: float) -> NDArray[np.uint8]:
    """Straight ridges that run at `degrees`, counter-clockwise as seen."""
    y, x = np.mgrid[:SIDE, :SIDE]
    across_ridges = x * math.sin(math.radians(degrees)) + y * math.cos(math.radians(degrees))
    return (127.5 + 120 * np.cos(2 * np.pi * across_ridges / period)).astype(np.uint8)


# -- comparisons --------------------------------------------------------------------------------------------


def test_pairs_within_are_all_or_as_many_as_wanted():
    assert within("abc", 10) == [("a", "b"), ("a", "c"), ("b", "c")]
    some = within("abcdefgh", 5)
    assert len(set(some)) == 5 and all(one < other for one, other in some)
    assert some == within("abcdefgh", 5)


def test_pairs_across_are_of_one_print_each():
    assert across("ab", "xy", 10) == [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")]
    assert set(across("abc", "xyz", 4)) < {(one, other) for one in "abc" for other in "xyz"}


def test_the_threshold_is_exceeded_as_often_as_the_rate_allows():
    scores = np.random.default_rng(0).permutation(10_000).astype(float)
    assert (scores > threshold(scores, 1e-3)).sum() == 10
    assert share(scores, threshold(scores, 1e-4)) == 1e-4
    assert threshold(scores[:100], 1e-3) == scores[:100].max()


def test_equal_scores_do_not_pass_the_rate():
    assert share(np.full(1000, 7.0), threshold(np.full(1000, 7.0), 0.1)) == 0


# -- ridges -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("period", [7.0, 9.0, 12.0])
@pytest.mark.parametrize("degrees", [0, 35, 90, 160])
def test_ridge_period_of_straight_ridges(period: float, degrees: float):
    assert ridge_period(waves(period, degrees)) == pytest.approx(period, rel=0.1)


def test_no_ridges_have_no_period():
    assert math.isnan(ridge_period(np.full((SIDE, SIDE), 255, np.uint8)))


def test_the_grain_around_a_print_has_no_ridges():
    """A sensor's noise has a period too, which is not that of the finger."""
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    grain = np.random.default_rng(0).normal(245, 4, (SIDE, SIDE)).clip(0, 255)
    print_ = np.where(np.hypot(x, y) < SIDE / 4, waves(9, 30), grain).astype(np.uint8)
    assert ridge_period(print_) == pytest.approx(9, rel=0.1)


def test_straight_ridges_are_an_arch():
    assert pattern_class(waves(9, 20)) == PatternClass.ARCH


@pytest.mark.parametrize("opens", [-135, -90, -45, 60, 180])
def test_a_core_opens_where_its_ridges_lead(opens: float):
    y, x = np.mgrid[4:SIDE:8, 4:SIDE:8]
    around = np.arctan2(SIDE / 2 - y, x - SIDE / 2)
    (core,), deltas = singular_points(-(around + math.radians(opens)) / 2 % np.pi, np.full(x.shape, True))
    assert not deltas
    assert math.dist((core.x, core.y), (SIDE / 2, SIDE / 2)) < 8
    assert (core.opens - opens + 180) % 360 - 180 == pytest.approx(0, abs=8)


def test_patterns_of_procedural_fingers():
    """Most are told: whorls can have their second core outside of a small window."""
    fingers = [make_finger(10_000_000 + seed, (320, 320)) for seed in range(20)]
    images, _ = impressions(fingers, [0] * len(fingers))
    found = [pattern_class(image) for image in images]
    right = sum(pattern == finger.kind for pattern, finger in zip(found, fingers, strict=True))
    assert right >= 14
    assert len(set(found)) >= 3


# -- traits that directions change --------------------------------------------------------------------------


def test_traits_of_straight_ridges():
    def measured(image: NDArray) -> dict[str, float]:
        return dict(zip(directions.TRAITS, directions.traits(image), strict=True))

    rising, falling, standing, lying = (measured(waves(9, degrees)) for degrees in (45, 135, 90, 0))
    assert rising["slant"] > 0.9 and falling["slant"] < -0.9
    assert standing["steepness"] > 0.9 and lying["steepness"] < -0.9
    assert rising["ridge share"] == pytest.approx(0.5, abs=0.05)
    assert rising["unevenness"] < 2
    assert measured(waves(9, 45) // 2)["contrast"] == pytest.approx(rising["contrast"] / 2, rel=0.05)


def test_changes_along_directions(tmp_path: Path):
    sheet = tmp_path / "directions.png"
    command = [str(write_tiny_bundle(tmp_path / "tiny")), "--directions", "2", "--seeds", "3"]
    directions.main([*command, "--grid", str(sheet)], standalone_mode=False)
    assert read_image(sheet).shape[1] > 9 * 64
    with Image.open(sheet) as picture:
        assert picture.info["degree"] == "5.0"


# -- the judge ----------------------------------------------------------------------------------------------


def test_judge_of_a_bundle(tmp_path: Path):
    with load(write_tiny_bundle(tmp_path / "tiny")) as model:
        figures = judge(model, Plan(seeds=2, fingers=2, training_fingers=1))
    assert set(figures) == {"held_out_fingers", "synthesis", "edits", "reconstruction"}
    truth, made, again = (figures[name] for name in ("held_out_fingers", "synthesis", "reconstruction"))
    assert truth["pairs_behind_thresholds"] == made["pairs_of_seeds"] == 1
    assert made["pairs_with_training_fingers"] == 2
    assert sum(truth["patterns"].values()) == pytest.approx(1)
    assert set(again["type_1_match"]) == {"fmr_0.1%", "fmr_0.01%"}


def test_judges_want_500_ppi(tmp_path: Path):
    with load(write_tiny_bundle(tmp_path / "tiny")) as model:
        half = model.bundle.manifest.image.__class__(ppi=125, output_size=64, output_ppi=250)
        object.__setattr__(model.bundle.manifest, "image", half)
        with pytest.raises(BadInput, match=r"have 250 ppi; the judges want 500"):
            judge(model, Plan(seeds=2, fingers=2))
