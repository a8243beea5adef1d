"""The template's dataclasses: conventions, moves and what they refuse."""

import math

import pytest

from fingergen.runtime.errors import BadInput
from fingergen.runtime.minutiae import Minutia, MinutiaType, Point, Template

TEMPLATE = Template(
    100,
    80,
    500,
    (
        Minutia(10, 20, 30, MinutiaType.ENDING, 90),
        Minutia(70, 60, 350, MinutiaType.BIFURCATION, 20),
        Minutia(50, 5, 0),
    ),
    (Point(40, 30, (90,)),),
    (Point(20, 70, (10, 130, 250)), Point(90, 75)),
    (Minutia(30, 40, 5, MinutiaType.ENDING), Minutia(99, 40, 5)),
)


def test_angles_are_brought_into_one_turn():
    assert Minutia(0, 0, -90).angle == 270 and Minutia(0, 0, 725).angle == 5
    assert Minutia(0, 0, -1e-17).angle == 0
    assert Point(0, 0, (360, -10)).angles == (0, 350)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Minutia(math.nan, 0, 0), "x is nan"),
        (lambda: Minutia(0, math.inf, 0), "y is inf"),
        (lambda: Minutia(0, 10**400, 0), "y is 1000"),
        (lambda: Minutia(0, 0, "up"), "angle is 'up'"),
        (lambda: Minutia(0, 0, 0, "ending"), "give a MinutiaType"),
        (lambda: Minutia(0, 0, 0, quality=101), "quality is 101"),
        (lambda: Minutia(0, 0, 0, quality=-1), "quality is -1"),
        (lambda: Template(0, 10), "width of the image is 0"),
        (lambda: Template(10, 2.5), "height of the image is 2.5"),
        (lambda: Template(10, 10, 0), "ppi is 0"),
        (
            lambda: Template(10, 10, 500, (Minutia(1, 1, 0), Minutia(10, 1, 0))),
            r"minutia 2 at \(10, 1\) lies outside",
        ),
        (lambda: Template(10, 10, 500, (), (Point(1, -1),)), r"core 1 at \(1, -1\) lies outside"),
        (lambda: Template(10, 10, 500, (), (Point(1, 1, (1, 2)),)), "core 1 has 2 angles: give 1, or none"),
        (
            lambda: Template(10, 10, 500, (), (), (Point(1, 1, (1,)),)),
            "delta 1 has 1 angles: give 3, or none",
        ),
        (lambda: TEMPLATE.rescale(-1), "ppi is -1"),
        (lambda: TEMPLATE.crop(0, 0, 0, 5), "width of the image is 0"),
    ],
)
def test_bad_values(make, said: str):
    with pytest.raises(BadInput, match=said):
        make()


def test_translate_drops_what_leaves():
    moved = TEMPLATE.translate(35, -10)
    assert [(m.x, m.y) for m in moved.minutiae] == [(45, 10)]
    assert (moved.width, moved.height) == (100, 80) and moved.cores == (Point(75, 20, (90,)),)
    assert moved.deltas == (Point(55, 60, (10, 130, 250)),)
    assert moved.unclear == (Minutia(65, 30, 5, MinutiaType.ENDING),)


def test_rotate_is_counter_clockwise_on_the_screen():
    turned = Template(101, 101, 500, (Minutia(80, 50, 10),), (Point(50, 30, (90,)),)).rotate(90)
    (minutia,), (core,) = turned.minutiae, turned.cores
    assert (minutia.x, minutia.y, minutia.angle) == pytest.approx(
        (50, 20, 100)
    )  # right of the middle goes above it
    assert (core.x, core.y, *core.angles) == pytest.approx((30, 50, 180))


def test_rotate_there_and_back():
    back = TEMPLATE.rotate(20, center=(45, 40)).rotate(-20, center=(45, 40))
    kept = {(round(m.x, 9), round(m.y, 9)) for m in back.minutiae}
    assert kept and kept <= {(m.x, m.y) for m in TEMPLATE.minutiae}


def test_rescale_keeps_pixel_centers():
    half = TEMPLATE.rescale(250)
    assert (half.width, half.height, half.ppi) == (50, 40, 250)
    assert (half.minutiae[0].x, half.minutiae[0].y) == (
        4.75,
        9.75,
    )  # pixels 10 and 20 end up beside 4.75 and 9.75
    assert half.minutiae[0].angle == 30
    again = half.rescale(500)
    assert again == TEMPLATE
    assert (
        Template(3, 3, 500, (Minutia(2.9, 0, 0),)).rescale(1000).minutiae[0].x == 5.5
    )  # the border stays inside
    assert Template(3, 3, 500, (Minutia(0, 2.9, 0),)).rescale(100).minutiae[0].y <= 0.5


def test_neighboring_crops_share_nothing():
    left, right = TEMPLATE.crop(0, 0, 50, 80), TEMPLATE.crop(50, 0, 50, 80)
    assert [m.x for m in left.minutiae] == [10] and [m.x for m in right.minutiae] == [20, 0]
    assert TEMPLATE.crop(0, 0, 100, 80) == TEMPLATE
    assert len(left.deltas) + len(right.deltas) == len(TEMPLATE.deltas)


def test_filter_quality():
    assert [m.quality for m in TEMPLATE.filter_quality(50).minutiae] == [90, None]
    assert [m.quality for m in TEMPLATE.filter_quality(20, keep_unknown=False).minutiae] == [90, 20]
    assert TEMPLATE.filter_quality(50).cores == TEMPLATE.cores


def test_pixel_stays_in_the_image():
    assert Template(10, 10).pixel(Minutia(9.8, 0.4, 0)) == (9, 0)
