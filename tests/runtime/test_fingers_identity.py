"""Identities: a seed is always the same finger, and its ground truth is there to be seen."""

import math
from collections import Counter

import numpy as np
import pytest

from fingergen.runtime.errors import BadInput
from fingergen.runtime.fingers import (
    FREQUENCIES_BY_POSITION,
    FULL_PRINT,
    NATURAL_FREQUENCIES,
    SMALL_SENSOR,
    FingerPosition,
    PatternClass,
    make_finger,
    make_fingers,
    sample_pattern,
)
from fingergen.runtime.fingers.identity.fields import orientation, ridge_period
from fingergen.runtime.fingers.identity.growth import grow
from fingergen.runtime.fingers.identity.minutiae import BIFURCATION, ENDING, read_minutiae, thinned

TINY = (96, 96)
TURN = 2 * np.pi


@pytest.fixture(scope="module")
def fingers():
    return [make_finger(seed, SMALL_SENSOR) for seed in range(4)]


def seed_of(kind: PatternClass) -> int:
    return next(seed for seed in range(10_000) if sample_pattern(seed).kind is kind)


def at(*place: float) -> tuple[np.ndarray, np.ndarray]:
    """One point, as the fields take it."""
    x, y = (np.array([value], np.float32) for value in place)
    return x, y


def winding(pattern, x: float, y: float, radius: float = 6.0) -> float:
    """Turns of the orientation along a small counter-clockwise circle: the Poincaré index."""
    t = np.linspace(0, TURN, 721, dtype=np.float32)
    angle = orientation(pattern, x + radius * np.cos(t), y - radius * np.sin(t))
    step = np.remainder(np.diff(angle) + math.pi / 2, math.pi) - math.pi / 2
    return float(step.sum()) / TURN


def chi_squared(kinds: list[PatternClass]) -> float:
    """Of observed classes against their natural frequencies; 4 degrees of freedom."""
    counts, total = Counter(kinds), sum(NATURAL_FREQUENCIES.values())
    expected = {kind: len(kinds) * share / total for kind, share in NATURAL_FREQUENCIES.items()}
    return sum((counts[kind] - count) ** 2 / count for kind, count in expected.items())


def test_classes_come_at_their_natural_frequencies():
    assert chi_squared([sample_pattern(seed).kind for seed in range(4000)]) < 13.28  # p > 0.01
    assert (
        chi_squared([sample_pattern(seed).kind for seed in range(3900)] + [PatternClass.ARCH] * 100) > 13.28
    )


def test_each_finger_has_its_frequencies():
    """Galton's figures: whorls, arches, and the directions of loops."""
    assert list(FREQUENCIES_BY_POSITION) == list(FingerPosition)
    for position, table in FREQUENCIES_BY_POSITION.items():
        assert sum(table.values()) == pytest.approx(1.0) and min(table.values()) > 0, position
    right, left = (FREQUENCIES_BY_POSITION[FingerPosition(f"{hand}-index")] for hand in ("right", "left"))
    assert (right[PatternClass.WHORL], left[PatternClass.WHORL]) == (0.30, 0.28)
    # Towards the thumb: to the left on the print of a right hand, to the right on that of a left hand.
    assert right[PatternClass.LEFT_LOOP] == pytest.approx(0.21) == left[PatternClass.RIGHT_LOOP]
    kinds = [sample_pattern(seed, position=FingerPosition.RIGHT_RING).kind for seed in range(1000)]
    assert kinds.count(PatternClass.WHORL) / 1000 == pytest.approx(0.45, abs=0.05)
    assert kinds.count(PatternClass.LEFT_LOOP) < 40 < 400 < kinds.count(PatternClass.RIGHT_LOOP)


@pytest.mark.parametrize("kind", list(PatternClass))
def test_singular_points_are_where_the_field_turns(kind: PatternClass):
    pattern = sample_pattern(seed_of(kind))
    count = {PatternClass.ARCH: 0, PatternClass.WHORL: 2}.get(kind, 1)
    assert len(pattern.cores) == len(pattern.deltas) == count
    for core in pattern.cores:
        assert winding(pattern, *core, radius=2.0) == pytest.approx(0.5, abs=0.02)
    for delta in pattern.deltas:
        assert winding(pattern, *delta) == pytest.approx(-0.5, abs=0.02)
    assert winding(pattern, 230.0, -200.0) == pytest.approx(0.0, abs=0.02)


@pytest.mark.parametrize("kind", list(PatternClass))
def test_a_class_can_be_asked_for(kind: PatternClass):
    finger = make_finger(5, TINY, kind)
    assert finger.kind is kind
    natural = make_finger(5, TINY)
    same = np.array_equal(finger.ridges, natural.ridges)
    assert same == (kind is natural.kind)


def test_ridges_do_not_depend_on_threads():
    np.testing.assert_array_equal(make_finger(5, TINY).ridges, make_finger(5, TINY, threads=3).ridges)


@pytest.mark.parametrize("kind, side", [(PatternClass.LEFT_LOOP, -1.0), (PatternClass.RIGHT_LOOP, 1.0)])
def test_loops_open_to_their_side(kind: PatternClass, side: float):
    seeds = [seed for seed in range(200) if sample_pattern(seed).kind is kind][:20]
    for pattern in map(sample_pattern, seeds):
        (cx, cy), (dx, _) = pattern.cores[0], pattern.deltas[0]
        assert (dx - cx) * side < 0
        # Below the core, on the open side, ridges run down towards that side.
        angle = orientation(pattern, *at(cx + side * 40.0, cy + 60.0))
        assert math.sin(2 * float(angle[0])) * -side > 0


def test_ridges_follow_the_field():
    """Of a straight field, the grown ridges have its orientation and its period."""
    degrees, period = 35.0, 4.6
    noise = np.random.default_rng(0).standard_normal((128, 128)).astype(np.float32)
    ridges = grow(noise, np.full_like(noise, math.radians(degrees)), np.full_like(noise, period))
    assert ridges.dtype == np.float32 and ridges.shape == (256, 256)
    power = np.abs(np.fft.fft2(ridges * np.outer(np.hanning(256), np.hanning(256)))) ** 2
    fy, fx = np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256), indexing="ij")
    power *= np.hypot(fx, fy) < 1.5 / (2 * period)  # the fundamental: ridges are not quite a sine
    half = np.where(fy > 0, power, 0.0) / power[fy > 0].sum()
    # The wave runs across the ridges; y is down in the image and up in the angle.
    mean_x, mean_y = (half * fx).sum(), (half * fy).sum()
    assert math.degrees(math.atan2(mean_x, mean_y)) == pytest.approx(degrees, abs=2.0)
    assert 1.0 / (half * np.hypot(fx, fy)).sum() == pytest.approx(2 * period, rel=0.04)


def test_thinning_is_zhang_and_suens():
    """Against the paper's conditions, pixel by pixel; widths around the 64 bits of a word."""
    rng = np.random.default_rng(0)
    for width in (63, 64, 65, 130):
        blobs = np.cumsum(np.cumsum(rng.standard_normal((60, width)), 0), 1)
        image = (np.sin(blobs) > 0) & (np.cos(blobs / 3) > -0.5)
        np.testing.assert_array_equal(thinned(image), plainly_thinned(image))


def plainly_thinned(image: np.ndarray) -> np.ndarray:
    pixels = np.pad(image, 1).astype(int)
    while True:
        before = pixels.copy()
        for first in (True, False):
            ring = [
                np.roll(pixels, (-dy, -dx), (0, 1))
                for dy, dx in ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
            ]
            neighbors = sum(ring)
            steps = sum((ring[i] == 0) & (ring[(i + 1) % 8] == 1) for i in range(8))
            n, _, e, _, s, _, w, _ = ring
            free = (n * e * s == 0) & (e * s * w == 0) if first else (n * e * w == 0) & (n * s * w == 0)
            pixels[(pixels == 1) & (neighbors >= 2) & (neighbors <= 6) & (steps == 1) & free] = 0
        if (pixels == before).all():
            return pixels[1:-1, 1:-1].astype(bool)


def test_minutiae_of_a_drawn_ridge():
    """A ridge from the left that forks to the right, and one that ends: ISO directions."""
    ridges = np.zeros((120, 160), bool)
    ridges[29:32, :80] = True
    for x in range(80, 160):
        rise = (x - 80) // 3
        ridges[29 - rise : 32 - rise, x] = ridges[29 + rise : 32 + rise, x] = True
    ridges[89:92, :70] = True
    minutiae = read_minutiae(thinned(ridges), lambda x, y: np.zeros_like(x))
    assert minutiae.clear.all()
    found = {int(kind): (xy, math.degrees(angle)) for xy, angle, kind, _ in zip(*minutiae, strict=True)}
    assert set(found) == {ENDING, BIFURCATION} and len(minutiae.xy) == 2
    assert np.abs(found[BIFURCATION][0] - (82, 30)).max() <= 4
    assert found[BIFURCATION][1] == pytest.approx(0.0, abs=0.1)  # into the valley between the branches
    assert np.abs(found[ENDING][0] - (69, 90)).max() <= 2
    assert found[ENDING][1] == pytest.approx(180.0, abs=0.1)  # back along the ridge


def test_minutiae_near_each_other_or_a_core_are_unclear() -> None:
    """Ridges that end at x = 70, the second and third side by side, the fourth near a core."""
    ridges = np.zeros((160, 120), bool)
    for y in (20, 60, 67, 110, 140):
        ridges[y - 1 : y + 2, 20:70] = True
    singular = np.array([[74.0, 114.0], [69.0, 149.5]])
    minutiae = read_minutiae(thinned(ridges), lambda x, y: np.zeros_like(x), singular)
    right = minutiae.xy[:, 0] > 60
    clear = dict(zip(minutiae.xy[right, 1].astype(int).tolist(), minutiae.clear[right].tolist(), strict=True))
    assert clear == {20: True, 60: False, 67: False, 110: False, 140: True}


@pytest.mark.parametrize("half_opening", [12, 20, 30])
def test_a_fork_points_into_its_valley_at_any_angle(half_opening):
    """Thinned forks whose branches begin side by side once pointed the wrong way, 12 in 100."""
    y, x = np.mgrid[:140, :140]
    for degrees in range(0, 360, 5):
        branches = [math.radians(degrees + turn) for turn in (180, half_opening, -half_opening)]
        ridges = np.zeros((140, 140), bool)
        for angle in branches:
            along = (x - 70) * math.cos(angle) - (y - 70) * math.sin(angle)
            across = (x - 70) * math.sin(angle) + (y - 70) * math.cos(angle)
            ridges |= (np.abs(across) <= 2.5) & (along >= 0) & (along < 100)
        minutiae = read_minutiae(thinned(ridges), lambda x, y, a=degrees: np.full_like(x, math.radians(a)))
        forks = minutiae.angle[minutiae.clear & (minutiae.kind == BIFURCATION)]
        assert len(forks) == 1, degrees
        assert math.cos(forks[0] - math.radians(degrees)) > 0.999, degrees


def test_minutiae_density_is_natural(fingers):
    density = [f.minutiae.clear.sum() / (f.ridges.size / (500 / 25.4) ** 2) for f in fingers]
    assert 0.12 < np.mean(density) < 0.32, "minutiae per square millimeter"


def test_period_is_natural():
    periods = np.array([sample_pattern(seed).period for seed in range(300)])
    assert periods.mean() == pytest.approx(9.0, abs=0.15) and periods.min() >= 7.5 and periods.max() <= 11.5
    pattern = sample_pattern(0)
    assert ridge_period(pattern, *at(0, 200)) > ridge_period(pattern, *at(0, -150))


def test_a_seed_is_the_same_finger_in_any_batch(fingers):
    again = make_fingers([2, 0], SMALL_SENSOR)
    for finger, first in zip(again, (fingers[2], fingers[0]), strict=True):
        assert finger.ridges.dtype == np.float32 and np.abs(finger.ridges).max() <= 1.0
        np.testing.assert_array_equal(finger.ridges, first.ridges)
        np.testing.assert_array_equal(finger.minutiae.xy, first.minutiae.xy)
    assert not np.array_equal(fingers[0].ridges, fingers[1].ridges)


def test_windows_show_the_same_finger(fingers):
    small, full = fingers[1], make_finger(1, FULL_PRINT)
    shift = np.subtract(full.origin, small.origin)
    inner = ((small.minutiae.xy > 32) & (small.minutiae.xy < small.ridges.shape[0] - 32)).all(axis=1)
    inner &= small.minutiae.clear
    apart = np.hypot(*(small.minutiae.xy[inner, None] + shift - full.minutiae.xy[None]).transpose(2, 0, 1))
    assert inner.sum() > 20 and (apart.min(axis=1) < 4).mean() > 0.9
    np.testing.assert_allclose(small.creases[:, :2] + shift, full.creases[:, :2], atol=1e-4)


def test_wrong_windows_and_seeds_are_refused():
    for window in ((32, 256), (256, 1000)):
        with pytest.raises(BadInput, match="window"):
            make_finger(0, window)
    with pytest.raises(BadInput, match="seed"):
        make_finger(-1, TINY)
