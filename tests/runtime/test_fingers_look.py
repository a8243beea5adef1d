"""Looks: named numbers that change how an impression looks, and nothing about where it lies."""

from dataclasses import fields, replace

import numpy as np
import pytest

from fingergen.runtime.fingers import Effects, Finger, Impression, make_finger, take_impression
from fingergen.runtime.fingers.capture.look import EFFECTS, EXTREME, LOOK, look_of, traits_of, with_look
from fingergen.runtime.fingers.capture.parameters import Capture

WINDOW = (128, 128)


@pytest.fixture(scope="module")
def finger() -> Finger:
    return make_finger(3, WINDOW)


def taken(finger: Finger, **numbers: float) -> Impression:
    """Impression 0 with an average look but for `numbers`."""
    look = np.zeros(LOOK, np.float32)
    for name, value in numbers.items():
        look[list(EFFECTS).index(name)] = value
    return Impression(finger, with_look(take_impression(finger, 0).capture, look))


def test_effects_are_fields_of_a_capture_in_range_and_grow_or_fall():
    names = {field.name for field in fields(Capture)}
    assert set(EFFECTS) <= names
    assert len(EFFECTS) <= LOOK
    numbers = np.linspace(-6, 6, 49)
    for name, effect in EFFECTS.items():
        values = np.array([effect(number) for number in numbers])
        steps = np.diff(values)
        assert np.isfinite(values).all(), name
        assert (steps >= 0).all() or (steps <= 0).all(), name
        middle = np.abs(numbers[1:]) < 1
        assert (steps[middle] != 0).all(), name


def test_a_look_leaves_the_finger_where_it_is(finger: Finger):
    one, other = taken(finger), taken(finger, moisture=2.0, ink=-1.0, stains=2.0, vignette=1.0)
    np.testing.assert_array_equal(one.ridges, other.ridges)
    np.testing.assert_array_equal(one.contact, other.contact)
    assert one.template == other.template
    assert (one.pixels != other.pixels).mean() > 0.5


@pytest.mark.parametrize(
    ("name", "inside"),
    [("pressure", -1), ("moisture", -1), ("ink", -1), ("film", -1), ("paper", 1)],
)
def test_effects_make_the_print_darker_or_brighter(finger: Finger, name: str, inside: int):
    """`inside`: sign of what a larger number adds to gray levels where the skin touches."""
    means = [taken(finger, **{name: value}) for value in (-2.0, -1.0, 0.0, 1.0, 2.0)]
    grays = [one.pixels[one.contact > 0.9].mean() for one in means]
    assert (np.sign(np.diff(grays)) == inside).all()


def test_stains_vignette_and_noise_are_seen_on_the_background(finger: Finger):
    def background(name: str, value: float) -> np.ndarray:
        one = taken(finger, **{name: value})
        capture = replace(one.capture, contact=one.capture.contact * np.float32([1, 1, 0.2, 0.2, 0.2, 0]))
        print_of_a_tip = Impression(finger, capture)
        return print_of_a_tip.pixels[print_of_a_tip.contact < 0.01].astype(float)

    for name in ("stains", "noise", "background", "vignette"):
        assert background(name, 2.0).std() > 1.5 * background(name, -2.0).std(), name
    assert background("vignette", 2.0).mean() < background("vignette", -2.0).mean() - 5


def test_the_look_of_a_capture_is_the_one_it_was_given(finger: Finger):
    numbers = np.random.default_rng(1).uniform(-2.0, 2.0, LOOK).astype(np.float32)
    capture = take_impression(finger, 0).capture
    found = look_of(traits_of(with_look(capture, numbers)), list(EFFECTS))
    np.testing.assert_allclose(found, numbers[: len(EFFECTS)], atol=1e-5)
    beyond = look_of({"stains": 0.0, "film": 1.0}, ["film", "stains"])
    np.testing.assert_allclose(beyond, [EXTREME, -EXTREME], atol=1e-5)


def test_presets_and_fixed_effects_decide_the_look(finger: Finger):
    def moisture(preset: str, effects: Effects | None = None) -> list[float]:
        taken = [take_impression(finger, number, preset, effects) for number in range(40)]
        return [look_of(traits_of(one.capture), ["moisture"])[0] for one in taken]

    assert np.std(moisture("easy")) < 0.5 < np.std(moisture("medium"))
    assert np.mean(moisture("easy")) < -0.3 and np.mean(moisture("hard")) > 0.8
    dry, wet = (moisture("easy", Effects(moisture=value)) for value in ("dry", "wet"))
    assert max(dry) < -1.5 and min(wet) > 2.0
