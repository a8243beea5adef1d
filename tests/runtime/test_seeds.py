"""Seeds: the rule of the design, and what a command line may write."""

from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from fingergen.runtime import seeds
from fingergen.runtime.errors import BadInput


@pytest.mark.parametrize("seed", [0, 7, 2**64 - 1])
def test_latents_follow_the_rule(seed: int):
    expected = np.random.Generator(np.random.Philox(key=seed)).standard_normal(512).astype(np.float32)
    z = seeds.z(seed, 512)
    assert z.dtype == np.float32 and np.array_equal(z, expected)


def test_a_seed_may_be_a_numpy_integer():
    assert np.array_equal(seeds.z(np.uint64(2**64 - 1), 4), seeds.z(2**64 - 1, 4))


def test_known_values():
    """A change of NumPy's stream would rename every finger: it must be noticed."""
    assert seeds.z(0, 3).tolist() == pytest.approx([0.15929547, -1.77418852, 1.32651186], abs=1e-7)
    assert seeds.z(7, 3).tolist() == pytest.approx([-1.74969447, 0.57454413, 0.61428338], abs=1e-7)


def test_noise_has_its_own_key_and_shapes():
    first, second = seeds.noise(7, [(1, 1, 4, 4), (1, 1, 8, 8)])
    assert first.shape == (1, 1, 4, 4) and second.shape == (1, 1, 8, 8) and second.dtype == np.float32
    assert not np.array_equal(first.ravel(), seeds.z(7, 16))
    assert not np.array_equal(first, seeds.noise(8, [(1, 1, 4, 4)])[0])
    assert np.array_equal(first, seeds.noise(7, [(1, 1, 4, 4)])[0])


def test_noise_of_impressions_is_white_and_standard_normal():
    one, other = seeds.impression_noise(7, 1, [(1, 1, 256, 256), (1, 1, 5, 5)])
    assert one.dtype == np.float32 and other.shape == (1, 1, 5, 5)
    assert abs(one.mean()) < 0.02 and abs(one.std() - 1.0) < 0.02
    assert abs(scipy.stats.kurtosis(one.ravel())) < 0.06
    assert scipy.stats.kstest(one.ravel(), "norm").pvalue > 0.01
    flat = one.ravel() - one.mean()
    for lag in (1, 2, 256):
        assert abs((flat[lag:] * flat[:-lag]).mean()) < 0.02
    assert not np.array_equal(one, seeds.impression_noise(7, 2, [(1, 1, 256, 256)])[0])
    np.testing.assert_array_equal(one.ravel()[:3], [0.53076171875, -0.946044921875, -0.486572265625])


def test_no_two_purposes_share_a_key():
    counts = {purpose: seeds.NUMBERS.get(purpose, 1) for purpose in seeds.Purpose}
    ends = {purpose: {0, min(1, count - 1), count - 1} for purpose, count in counts.items()}
    drawn = [
        seeds.stream(7, purpose, number).random(4).tobytes()
        for purpose, numbers in ends.items()
        for number in numbers
    ]
    assert len(set(drawn)) == len(drawn) == len(seeds.Purpose) + 2 * len(seeds.NUMBERS)
    np.testing.assert_array_equal(seeds.edits(7, 2), seeds.stream(7, seeds.Purpose.EDITS).random((2, 2)))


def test_there_is_no_other_list_of_purposes():
    """A Philox key made elsewhere might be one of these."""
    root = Path(__file__).parents[2]
    parts = ("runtime", "export", "training", "benchmarks", "cpp_ops")
    found = [p for part in parts for p in root.joinpath(part).rglob("*.py") if "Philox(" in p.read_text()]
    assert found == [root / "runtime" / "seeds.py"]


@pytest.mark.parametrize("purpose, number", [("IMPRESSION", 2**32), ("IMPRESSION", -1), ("NOISE", 1)])
def test_numbers_do_not_run_into_another_purpose(purpose: str, number: int):
    with pytest.raises(BadInput, match=f"number {number}"):
        seeds.stream(7, seeds.Purpose[purpose], number)


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, "7", None])
def test_not_a_seed(seed):
    with pytest.raises(BadInput, match="seed"):
        seeds.z(seed, 4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("7", [7]), ("0-3", [0, 1, 2, 3]), ("5,0-1, 9", [5, 0, 1, 9]), (f"{2**64 - 1}", [2**64 - 1])],
)
def test_parse_seeds(text: str, expected: list[int]):
    assert list(seeds.parse_seeds(text)) == expected


@pytest.mark.parametrize("text", ["", "a", "3-1", "-1", "1-", "1,,2", f"{2**64}", f"0-{2**60}", "1.5"])
def test_seeds_that_cannot_be_parsed(text: str):
    with pytest.raises(BadInput, match="seed"):
        seeds.parse_seeds(text)


def test_many_ranges_are_one_sequence():
    found = seeds.parse_seeds("5-7,3,20-21")
    numbers = [5, 6, 7, 3, 20, 21]
    assert list(found) == [found[i] for i in range(6)] == numbers and len(found) == 6
    assert [found[-1], found[-6], found[1:4]] == [21, 5, [6, 7, 3]]
    assert 3 in found and 8 not in found
    with pytest.raises(IndexError):
        found[6]


def test_ranges_hold_no_numbers():
    found = seeds.parse_seeds("0-99999999,200000000-299999999")
    assert len(found) == 2 * 10**8 and found[10**8] == 2 * 10**8 and 10**8 not in found


@pytest.mark.parametrize(
    ("text", "repeated"), [("1,2,3", None), ("7,7", 7), ("5-9,0-3,2", 2), ("0-9,9-12", 9)]
)
def test_repeated_numbers(text: str, repeated: int | None):
    assert seeds.parse_seeds(text).repeated() == repeated
