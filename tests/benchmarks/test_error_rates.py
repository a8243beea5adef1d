"""Error rates: against PyEER's, on scores whose rates are known, and their intervals."""

import sys
from importlib.util import find_spec
from types import ModuleType

import numpy as np
import pytest
from scipy.stats import ks_2samp

from fingergen.benchmarks.quality.error_rates import Scores, curve, det_points, error_rates, same_scores

# PyEER's HTML reports, which nothing here needs, find their templates by a module that setuptools dropped in
# release 82.
with pytest.MonkeyPatch.context() as patch:
    if find_spec("pkg_resources") is None:
        patch.setitem(sys.modules, "pkg_resources", ModuleType("pkg_resources"))
    from pyeer.eer_info import get_eer_stats


def drawn(seed: int, fingers: int = 60, apart: float = 2.0) -> Scores:
    """Whole-number scores of two normal distributions, as Bozorth3's are whole numbers."""
    rng = np.random.default_rng(seed)
    one, other = np.triu_indices(fingers, 1)
    return Scores(
        np.round(30 + 10 * apart + 10 * rng.standard_normal(4 * fingers)),
        np.repeat(np.arange(fingers), 4),
        np.round(30 + 10 * rng.standard_normal(len(one))),
        np.stack([one, other], axis=1),
        fingers,
    )


@pytest.mark.parametrize("apart", [0.5, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_equal_error_rate_is_that_of_pyeer(seed: int, apart: float) -> None:
    scores = drawn(seed, apart=apart)
    ours = error_rates(scores, replicates=2)
    theirs = get_eer_stats(scores.mated, scores.non_mated)
    assert ours["eer"].value == pytest.approx(theirs.eer, abs=0.001)


def test_equal_rates_are_the_equal_error_rate() -> None:
    """At 0.5 both rates are 1/2; at the next threshold they are 2/5 and 1/2, whose mean is less."""
    mated = np.array([0.4, 0.6])
    other = np.array([0.1, 0.2, 0.3, 0.31, 0.32, 0.5, 0.55, 0.57, 0.58, 0.59])
    assert curve(mated, other).equal_error_rate() == 0.5 == pytest.approx(get_eer_stats(mated, other).eer)


def test_rates_by_hand() -> None:
    """Of four mated scores one lies below, of four non-mated scores one above the threshold of 5."""
    rates = curve(np.array([1.0, 6, 7, 8]), np.array([0.0, 2, 3, 6]))
    assert rates.equal_error_rate() == 0.25
    assert rates.fnmr_at(0.25) == 0.25 and rates.fnmr_at(0.0) == 0.5 and rates.fnmr_at(1.0) == 0.0


def test_weights_count_a_pair_several_times() -> None:
    mated, other = np.array([1.0, 6, 7, 8]), np.array([0.0, 2, 3, 6])
    weighted = curve(mated, other, np.array([3.0, 1, 1, 0]), np.array([0.0, 1, 1, 2]))
    repeated = curve(np.array([1.0, 1, 1, 6, 7]), np.array([2.0, 3, 6, 6]))
    assert weighted.equal_error_rate() == repeated.equal_error_rate()
    assert weighted.fnmr_at(0.0) == repeated.fnmr_at(0.0)


def test_the_interval_holds_the_rate_and_shrinks_with_more_fingers() -> None:
    few, many = (error_rates(drawn(0, fingers, 1.0))["eer"] for fingers in (20, 200))
    for rate in (few, many):
        assert rate.low is not None and rate.value is not None and rate.high is not None
        assert rate.low <= rate.value <= rate.high
    assert many.high - many.low < few.high - few.low  # type: ignore[operator]


def test_a_rate_that_the_pairs_cannot_show_is_not_given() -> None:
    rates = error_rates(drawn(0, 30), replicates=5)  # 435 pairs of different fingers
    assert rates["fmr100"].value is not None
    assert rates["fmr1000"].value is None and rates["tar_at_fmr_0.0001"].value is None
    nothing = Scores(np.zeros(0), np.zeros(0, int), np.ones(3), np.zeros((3, 2), int), 3)
    assert error_rates(nothing) == {} and det_points(nothing) == []


def test_the_det_curve_falls() -> None:
    points = det_points(drawn(0))
    fmr, fnmr = zip(*points, strict=True)
    assert list(fmr) == sorted(fmr, reverse=True) and list(fnmr) == sorted(fnmr)
    assert points[0] == (1.0, 0.0) and points[-1] == (0.0, 1.0)


def simulated(seed: int, easier: float = 0.0, fingers: int = 60) -> Scores:
    """Non-mated scores of fingers, some of which are more like all others; two mated pairs of each."""
    rng = np.random.default_rng(seed)
    own = rng.normal(size=fingers)
    pairs = np.array([(i, j) for i in range(fingers) for j in range(i)])
    other = np.round(10 + easier + 2 * own[pairs].sum(axis=1) + rng.normal(size=len(pairs)))
    finger = np.repeat(np.arange(fingers), 2)
    mated = np.round(100 + easier + 10 * own[finger] + rng.normal(size=len(finger)))
    return Scores(mated, finger, other, pairs, fingers)


@pytest.mark.parametrize("mated", [True, False])
def test_sets_of_one_kind_have_the_same_scores_though_pairs_share_fingers(mated: bool):
    found = [same_scores(simulated(2 * n), simulated(2 * n + 1), mated, 200) for n in range(40)]
    p = np.array([each[1] for each in found if each is not None])
    assert len(p) == 40 and (p < 0.05).sum() <= 5  # two are expected
    assert np.median(p) > 0.25
    if not mated:
        usual = [ks_2samp(simulated(2 * n).non_mated, simulated(2 * n + 1).non_mated) for n in range(40)]
        assert sum(each.pvalue < 0.05 for each in usual) > 20  # it takes all pairs for independent


def test_sets_of_other_scores_are_told_apart():
    statistic, p = same_scores(simulated(1), simulated(2, easier=3.0), False)
    assert statistic > 0.2 and p < 0.01
    nothing = Scores(np.zeros(0), np.zeros(0, np.intp), np.zeros(0), np.zeros((0, 2), np.intp), 3)
    assert same_scores(simulated(1), nothing, True) is None
