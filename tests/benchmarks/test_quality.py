"""What is measured of fingerprints: how ridges run, how minutiae are spread, and what a bundle adds."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fingergen.benchmarks.quality import directions, image_distances
from fingergen.benchmarks.quality.cylinders import cylinders, match
from fingergen.benchmarks.quality.image_distances import classifier_test, distances
from fingergen.benchmarks.quality.image_sets import ImageSet, PrintFile
from fingergen.benchmarks.quality.matching import cross_pairs, non_mated_pairs
from fingergen.benchmarks.quality.minutiae_statistics import histograms, permutation_test
from fingergen.benchmarks.quality.reconstruction import PARTIAL, TEMPLATES, attack, innermost
from fingergen.benchmarks.quality.ridge_patterns import Ridges, pattern_class, ridge_period, singular_points
from fingergen.runtime import load
from fingergen.runtime.fingers import PatternClass, impressions, make_finger
from fingergen.runtime.minutiae import Minutia, MinutiaType, Template

from ..tiny_bundle import write_tiny_bundle

SIDE = 256


def waves(period: float, degrees: float) -> NDArray[np.uint8]:
    """Straight ridges that run at `degrees`, counter-clockwise as seen."""
    y, x = np.mgrid[:SIDE, :SIDE]
    across_ridges = x * math.sin(math.radians(degrees)) + y * math.cos(math.radians(degrees))
    return (127.5 + 120 * np.cos(2 * np.pi * across_ridges / period)).astype(np.uint8)


# -- pairs --------------------------------------------------------------------------------------------------


def flat_set(fingers: int, impressions: int = 1) -> ImageSet:
    files = [PrintFile(Path(f"{f}_{i}.png"), f"{f}") for f in range(fingers) for i in range(impressions)]
    return ImageSet("flat", tuple(files))


def test_pairs_are_all_or_as_many_as_wanted():
    assert {tuple(pair) for pair in non_mated_pairs(flat_set(5, 2), 100).tolist()} == {
        (2 * one, 2 * other) for one, other in combinations(range(5), 2)
    }
    some = non_mated_pairs(flat_set(400), 50)
    assert len(np.unique(some, axis=0)) == 50 and (some[:, 0] < some[:, 1]).all() and some.max() < 400
    assert np.array_equal(some, non_mated_pairs(flat_set(400), 50))


def test_pairs_of_a_large_set_are_drawn_without_listing_them():
    some = non_mated_pairs(flat_set(100_000), 1000)
    assert len(np.unique(some, axis=0)) == 1000 and (some[:, 0] < some[:, 1]).all()
    assert 40_000 < some.mean() < 60_000


def test_pairs_of_two_sets():
    assert cross_pairs(2, 3, 10).tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    assert len(np.unique(cross_pairs(30, 40, 100), axis=0)) == 100


# -- minutiae -----------------------------------------------------------------------------------------------


def scattered(count: int, spread: float, rng: np.random.Generator) -> list[list[list[float]]]:
    """Prints of minutiae at random places, `spread` pixels around a middle."""
    return [
        [[*rng.normal(150, spread, 2), rng.uniform(0, 360), 1, 50] for _ in range(40)] for _ in range(count)
    ]


def test_minutiae_spread_otherwise_are_told_apart():
    rng = np.random.default_rng(0)
    wide, other, narrow = (histograms(scattered(30, spread, rng)) for spread in (60, 60, 40))
    for kind in ("places", "pairs"):
        assert permutation_test(wide[kind], other[kind])[1] > 0.01
        assert permutation_test(wide[kind], narrow[kind])[1] < 0.01
    assert permutation_test(wide["directions"], narrow["directions"])[1] > 0.01


def test_histograms_of_a_pair():
    counted = histograms([[[100, 100, 90, 1, 50], [130, 140, 0, 2, 50]]])
    assert counted["pairs"][0, 2, 5] == counted["pairs"].sum() == 1  # 50 pixels, 90 degrees
    assert counted["directions"][0].nonzero()[0].tolist() == [0, 3]
    assert counted["places"].sum() == 2


def test_cylinders_match_a_turned_print_and_no_other():
    rng = np.random.default_rng(0)
    one, other = scattered(2, 50, rng)
    turned = [[x + 6, y - 9, (angle + 10) % 360, kind, q] for x, y, angle, kind, q in turn(one, 10)]
    described, mate, stranger = (cylinders(rows, 300) for rows in (one, turned, other))
    assert match(described, described) > 0.5
    assert match(described, mate) > 0.3 > 5 * match(described, stranger)
    assert match(described, cylinders([], 300)) == 0


def turn(rows: list[list[float]], degrees: float) -> list[list[float]]:
    """Minutiae turned counterclockwise around (150, 150), angles as they were."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    return [
        [150 + (x - 150) * cosine + (y - 150) * sine, 150 - (x - 150) * sine + (y - 150) * cosine, *rest]
        for x, y, *rest in rows
    ]


# -- images -------------------------------------------------------------------------------------------------


def textures(count: int, period: float) -> list[NDArray[np.uint8]]:
    return [waves(period, degrees) for degrees in np.linspace(0, 180, count, endpoint=False)]


def test_distances_and_the_classifier_tell_another_ridge_period(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(image_distances, "STEPS", 40)
    monkeypatch.setattr(image_distances, "CROP", 48)
    one, same, other = textures(12, 9), [waves(9, 7 + 15 * n) for n in range(12)], textures(12, 12)
    near, far = distances(one, same), distances(one, other)
    assert near["fid"] < far["fid"] / 5 and near["kid"] < far["kid"]
    assert near["images"] == 12 and near["features"] == "random network"
    assert distances(one[:3], other) == {}
    numbers = list(range(12))
    assert classifier_test(one, other, numbers, numbers)["p"] < 0.01
    assert classifier_test(one, same, numbers, numbers)["p"] > 0.01


# -- ridges -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("period", [7.0, 9.0, 12.0])
@pytest.mark.parametrize("degrees", [0, 35, 90, 160])
def test_ridge_period_of_straight_ridges(period: float, degrees: float):
    assert ridge_period(Ridges(waves(period, degrees))) == pytest.approx(period, rel=0.1)


def test_a_valley_whose_bottom_ripples_is_one():
    levels = waves(12.0, 30.0)
    rippled = np.where(levels > 225, 450 - levels.astype(int), levels).astype(np.uint8)
    assert ridge_period(Ridges(rippled)) == pytest.approx(12, rel=0.05)


def test_no_ridges_have_no_period():
    assert math.isnan(ridge_period(Ridges(np.full((SIDE, SIDE), 255, np.uint8))))


def test_the_grain_around_a_print_has_no_ridges():
    """A sensor's noise has a period too, which is not that of the finger."""
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    grain = np.random.default_rng(0).normal(245, 4, (SIDE, SIDE)).clip(0, 255)
    print_ = np.where(np.hypot(x, y) < SIDE / 4, waves(9, 30), grain).astype(np.uint8)
    assert ridge_period(Ridges(print_)) == pytest.approx(9, rel=0.1)


def test_straight_ridges_are_an_arch():
    assert pattern_class(Ridges(waves(9, 20))) == PatternClass.ARCH


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
    found = [pattern_class(Ridges(image)) for image in images]
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


def test_innermost_minutiae():
    around = [Minutia(50 + 3 * i * (-1) ** i, 50, 10 * i, MinutiaType.ENDING) for i in range(10)]
    inner = innermost(Template(100, 100, 500.0, tuple(around)), 4)
    assert len(inner.minutiae) == 4 < PARTIAL
    assert {m.x for m in inner.minutiae} <= {m.x for m in around[:6]}
    assert innermost(replace(inner, minutiae=()), 4).minutiae == ()


# -- bundles ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_edits_and_reconstructions_of_a_bundle(tmp_path: Path):
    """A network of random weights draws no prints: no finger is kept, none is reconstructed."""
    with load(write_tiny_bundle(tmp_path / "tiny")) as model, ThreadPoolExecutor(1) as pool:
        figures, shown = directions.edits(model, range(2), pool, tmp_path / "cache")
        again = attack(model, 2, pool, tmp_path / "cache", with_leader=True)
    assert len(figures["directions"]) == len(shown) == directions.DIRECTIONS
    first = figures["directions"]["0"]
    assert set(first["identity_kept"]) == {"2.5", "5", "10"} and set(first["moves"]) == set(directions.TRAITS)
    assert again["mates"]["pairs"] == 2 and again["non_mates"]["pairs"] == 1
    for kind in TEMPLATES:
        assert again[kind]["type_1"]["match"] == again[kind]["type_2"]["match"] == {"bozorth3_40": 0}
        assert again[kind]["recall"] == 0
