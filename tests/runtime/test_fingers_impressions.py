"""Impressions: a finger, a number and a preset are always the same one, and the truth moves with the skin."""

import math
from dataclasses import fields

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from fingergen.runtime.errors import BadInput
from fingergen.runtime.fingers import (
    FULL_PRINT,
    LIMITS,
    PRESETS,
    SMALL_SENSOR,
    Effects,
    impressions,
    make_finger,
    take_impression,
)
from fingergen.runtime.fingers.capture.placement import place, skin_points
from fingergen.runtime.minutiae import MinutiaType

TINY = (96, 96)


@pytest.fixture(scope="module")
def fingers():
    return [make_finger(seed, SMALL_SENSOR) for seed in range(4)]


@pytest.fixture(scope="module")
def full():
    return make_finger(11, FULL_PRINT)


def test_an_impression_is_the_same_in_any_batch(fingers):
    images, templates = impressions([*fingers, fingers[0]], [3, 0, 1, 2, 4])
    assert images.dtype == np.uint8 and images.shape == (5, 256, 256)
    alone, alone_templates = impressions([fingers[2]], [1])
    np.testing.assert_array_equal(images[2], alone[0])
    assert templates[2] == alone_templates[0]
    assert not np.array_equal(images[0], images[4])


def test_impressions_are_dark_ridges_on_light_paper(full):
    image = take_impression(full, 0, "easy").pixels.astype(float)
    corners = np.stack([image[:24, :24], image[:24, -24:]])
    assert corners.mean() > 220 and corners.std() < 12
    assert image[200:312, 200:312].mean() < 190
    assert np.quantile(image[200:312, 200:312], 0.05) < 110


@pytest.mark.parametrize("preset", PRESETS)
def test_ridge_map_and_contact(full, preset: str):
    """The image is the ridge map's negative where the skin touches, and paper where it does not."""
    taken = take_impression(full, 2, preset)
    for image, low in ((taken.ridges, -1.0), (taken.contact, 0.0)):
        assert image.dtype == np.float32 and image.shape == (512, 512)
        assert image.min() >= low and image.max() <= 1.0
    touching, away = taken.contact > 0.95, taken.contact < 0.001
    assert np.abs(taken.ridges[away]).max() < 0.001
    assert 0.2 < touching.mean() < 0.7 and away.mean() > 0.1
    agreement = np.corrcoef(taken.pixels[touching], taken.ridges[touching])[0, 1]
    assert agreement < (-0.5 if preset == "hard" else -0.75)
    assert taken.pixels[away].mean() > 210


@pytest.mark.parametrize("step", [2, 4])
def test_maps_of_a_lower_resolution(full, step: int):
    """About the means of the maps at 500 ppi, and at the same places."""
    impression = take_impression(full, 1, "medium")
    whole = np.stack([impression.ridges, impression.contact])
    means = whole.reshape(2, 512 // step, step, 512 // step, step).mean(axis=(2, 4))
    for mean, seen, least in zip(means, impression.maps(step), (0.95, 0.999), strict=True):
        similar = np.corrcoef(mean.ravel(), seen.ravel())[0, 1]
        assert similar > least
        assert similar > np.corrcoef(mean.ravel(), np.roll(seen, 1, axis=1).ravel())[0, 1]


def test_the_truth_is_where_the_skin_went(fingers):
    """The pixel on which a minutia lands looks at the minutia."""
    for finger in fingers:
        capture = take_impression(finger, 7, "hard").capture
        placed = place(capture, finger.minutiae.xy)
        inside = ((placed >= 0) & (placed <= 255)).all(axis=1)
        column, row = np.round(placed[inside]).astype(int).T
        seen = np.stack([axis[row, column] for axis in skin_points(capture)], axis=1)
        assert inside.sum() > 10
        assert np.abs(seen - finger.minutiae.xy[inside]).max() < 0.75  # half a pixel, and the skin's stretch


def test_truth_moves_with_the_ridges():
    """One rigid motion nearly maps the minutiae of one impression to those of another."""
    finger = make_finger(5, FULL_PRINT)
    _, (one, two) = impressions([finger, finger], [0, 1])
    assert (one.width, one.height, one.ppi) == (512, 512, 500)
    a, b = (
        np.array([(m.x, m.y, m.angle, m.type is MinutiaType.ENDING) for m in t.minutiae]) for t in (one, two)
    )
    best = 0.0
    for turn in np.radians(np.arange(-45, 46, 1.0)):
        rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        rotated = a[:, :2] @ rotation
        core, other = (np.array([t.cores[0].x, t.cores[0].y]) for t in (one, two))
        apart = np.hypot(*(rotated[:, None] + other - core @ rotation - b[None, :, :2]).transpose(2, 0, 1))
        angles = (a[:, None, 2] + np.degrees(turn) - b[None, :, 2] + 180) % 360 - 180
        near = (apart < 12) & (np.abs(angles) < 10) & (a[:, None, 3] == b[None, :, 3])
        pairs = linear_sum_assignment(~near)
        best = max(best, near[pairs].mean())
    assert best > 0.7


def test_unclear_minutiae_lie_at_the_edge_of_contact_in_a_line_or_close_together(full):
    """Together with the others they are all that the skin inside the edge has."""
    at_the_edge = []
    for number in range(6):
        taken = take_impression(full, number, "hard")
        truth = taken.template
        assert not set(truth.minutiae) & set(truth.unclear)
        assert full.minutiae.clear[taken.minutiae].all()
        contact = np.array([taken.contact[row, column] for column, row in map(truth.pixel, truth.unclear)])
        at_the_edge += [*contact[contact < 0.9]]
        placed = place(taken.capture, full.minutiae.xy)
        inside = ((placed >= 0) & (placed <= 511)).all(axis=1)
        column, row = np.round(placed[inside]).astype(int).T
        touching = int((taken.contact[row, column] > 0.5).sum())
        assert len(truth.minutiae) < touching <= len(truth.minutiae) + len(truth.unclear)
    assert len(at_the_edge) > 10 and min(at_the_edge) > 0.02
    assert taken.capture.lines.size and (contact > 0.99).any()  # in a crease


def test_any_window_in_range_has_a_master():
    for window in (TINY, (101, 130), (480, 300), (576, 576)):
        taken = take_impression(make_finger(3, window), 0)
        assert taken.pixels.shape == window[::-1]
        assert (taken.template.width, taken.template.height) == window


def test_a_rotation_is_as_asked(full):
    upright, turned = (take_impression(full, 1, "easy", Effects(rotation=angle)) for angle in (0.0, 20.0))
    (a,), (b,) = ([point for point in t.template.deltas][:1] for t in (upright, turned))
    (c,), (d,) = ([point for point in t.template.cores][:1] for t in (upright, turned))
    one = math.degrees(math.atan2(c.y - a.y, a.x - c.x))
    other = math.degrees(math.atan2(d.y - b.y, b.x - d.x))
    assert (other - one) % 360 == pytest.approx(20.0, abs=0.5)


def test_an_effect_leaves_the_others_alone(full):
    effects = Effects(), Effects(moisture="dry")
    plain, fixed = (take_impression(full, 4, "medium", each).capture for each in effects)
    assert fixed.moisture == -0.7 != plain.moisture
    for field in fields(plain):
        if field.name != "moisture":
            np.testing.assert_array_equal(getattr(plain, field.name), getattr(fixed, field.name))


def test_effects_do_what_they_say(full):
    def taken(**effects):
        return take_impression(full, 3, "easy", Effects(**effects))

    def area(**effects):
        return taken(**effects).contact.mean()

    def darkness(**effects):
        one = taken(**effects)
        return 255.0 - one.pixels[one.contact > 0.95].mean()

    assert 0.4 < area(contact=0.5) / area(contact=1.0) < 0.6
    assert len(taken(contact=0.5).template.minutiae) < len(taken(contact=1.0).template.minutiae)
    assert darkness(pressure=-1) < darkness(pressure=0) < darkness(pressure=1)
    assert darkness(moisture="dry") < darkness(moisture="normal") < darkness(moisture="wet")
    assert len(taken(scars=5).capture.lines) == len(full.creases) + 5
    paper = np.s_[:40, :40]
    for effect in ("noise", "background"):
        deviations = [taken(**{effect: level}).pixels[paper].std() for level in (0.0, 20.0)]
        assert deviations[0] < deviations[1] > 2.0, effect
    still, moved = (place(taken(distortion=d, rotation=0).capture, full.minutiae.xy) for d in (0, 2))
    assert np.ptp(still - full.minutiae.xy, axis=0).max() < 0.01
    assert np.ptp(moved - full.minutiae.xy, axis=0).max() > 2.0


def test_a_scar_hides_what_lies_under_it(full):
    """A minutia in the middle of a cut is no part of what shows."""
    hidden = 0
    for number in range(8):
        plain, cut = (take_impression(full, number, "easy", Effects(scars=count)) for count in (0, 8))
        lost = set(plain.template.minutiae) - set(cut.template.minutiae)
        assert set(cut.template.minutiae) <= set(plain.template.minutiae)
        x, y = skin_points(cut.capture)
        lines = cut.capture.lines
        for minutia in lost:
            column, row = plain.template.pixel(minutia)
            seen = np.array([x[row, column], y[row, column]])
            assert (np.hypot(*(seen - lines[:, :2]).T) < lines[:, 3] + 8).any()
        hidden += len(lost)
    assert 1 <= hidden < 40


@pytest.mark.parametrize("name", LIMITS)
def test_wrong_effects_are_refused(name: str):
    low, high = LIMITS[name]
    for value in (low - 1, high + 1, "much", math.nan):
        with pytest.raises(BadInput, match=name):
            Effects(**{name: value})


def test_a_finger_gives_impressions(fingers):
    one = fingers[1].impression(2, "hard", rotation=-30, moisture="wet")
    other = take_impression(fingers[1], 2, "hard", Effects(rotation=-30, moisture="wet"))
    np.testing.assert_array_equal(one.pixels, other.pixels)
    assert one.template == other.template and one.capture.rotation == -30


def test_wrong_presets_and_numbers_are_refused(fingers):
    with pytest.raises(BadInput, match="preset 'bad': choose easy, medium, hard, partial"):
        take_impression(fingers[0], 0, "bad")
    with pytest.raises(BadInput, match="number"):
        take_impression(fingers[0], -1)
