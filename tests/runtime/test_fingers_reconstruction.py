"""Ridges through given minutiae: the solver, the phase, and ridge maps read back."""

import dataclasses
import math

import numpy as np
import pytest

from fingergen.cpp_ops import kernels
from fingergen.runtime.fingers import make_finger, take_impression
from fingergen.runtime.fingers.identity.minutiae import Minutiae, read_minutiae, thinned
from fingergen.runtime.fingers.reconstruction import multigrid
from fingergen.runtime.fingers.reconstruction.phase import phase
from fingergen.runtime.fingers.reconstruction.ridges import enlarge, reconstruct_ridges, reference_ridges
from fingergen.runtime.minutiae import Minutia, MinutiaType, Point, Template
from fingergen.runtime.minutiae.raster import CELLS, CHANNELS, rasterize
from fingergen.training.data.fields import fields

SIZE = 64
NONE = np.zeros(0)


def constant_fields(orientation: float, period: float) -> tuple[np.ndarray, np.ndarray]:
    return np.full((SIZE, SIZE), orientation), np.full((SIZE, SIZE), period)


# -- the solver --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("anchored", [False, True])
def test_solution_is_that_of_dense_elimination(anchored: bool):
    rng = np.random.default_rng(0)
    right, below = rng.uniform(0.1, 1.0, (32, 31)), rng.uniform(0.1, 1.0, (31, 32))
    right *= rng.choice([-1, 1], right.shape)
    below *= rng.choice([-1, 1], below.shape)
    anchors = np.where(rng.random((32, 32)) < 0.02, 1.0, 0.0) if anchored else 0.0
    level = multigrid._Level(right, below, multigrid._diagonal(right, below) + anchors)
    sides = rng.standard_normal((2, 32, 32))
    matrix = level.apply(np.eye(1024).reshape(1024, 32, 32)).reshape(1024, 1024)
    expected = np.linalg.solve(matrix, sides.reshape(2, 1024).T).T.reshape(2, 32, 32)
    np.testing.assert_allclose(multigrid.solve(right, below, sides, anchors), expected, atol=1e-3)


def test_few_iterations_whatever_the_size(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(multigrid, "_ITERATIONS", 20)
    rng = np.random.default_rng(0)
    right, below = np.ones((256, 255)), np.ones((255, 256))
    sides = rng.standard_normal((1, 256, 256))
    sides -= sides.mean()
    found = multigrid.solve(right, below, sides)
    level = multigrid._Level(right, below, multigrid._diagonal(right, below))
    assert np.linalg.norm(sides - level.apply(found)) < 1e-3 * np.linalg.norm(sides)


@pytest.mark.skipif(not kernels.has_ridge_map(), reason="libfingergen was not built with this install")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_kernel_agrees_with_numpy(seed: int):
    taken = take_impression(make_finger(seed, (256, 256)), 0, "easy")
    unknown = tuple(dataclasses.replace(m, type=MinutiaType.OTHER) for m in taken.template.minutiae[::3])
    template = dataclasses.replace(taken.template, minutiae=(*taken.template.minutiae[1::3], *unknown))
    seen = fields(taken.finger, taken.capture)
    for size in (64, 256):
        expected, found = (make(template, seen, size) for make in (reference_ridges, reconstruct_ridges))
        assert found.ridges.dtype == np.float32 and found.contact == pytest.approx(expected.contact, abs=1e-6)
        assert np.abs(found.ridges - expected.ridges).max() < 0.02
        assert np.abs(found.ridges - expected.ridges).mean() < 0.0005


# -- the phase ---------------------------------------------------------------------------------------------


def test_without_minutiae_it_is_a_plane_wave():
    orientation, period = constant_fields(0.3, 5.0)
    psi = phase(orientation, period, np.zeros((0, 2)), NONE, NONE > 0, NONE > 0, np.ones((SIZE, SIZE)))
    y, x = np.mgrid[:SIZE, :SIZE]
    across = 2 * math.pi / 5 * (math.sin(0.3) * x + math.cos(0.3) * y)
    difference = np.exp(1j * (psi - across))
    assert abs(difference.mean()) > 0.999  # equal but for a constant


@pytest.mark.parametrize("ending", [True, False])
@pytest.mark.parametrize("degrees", [0, 50, 90, 180, 230, 300])
def test_the_one_minutia_is_there_and_no_other(degrees: int, ending: bool):
    direction = math.radians(degrees)
    orientation, period = constant_fields(direction, 5.0)
    psi = phase(
        orientation,
        period,
        np.array([[31.3, 30.6]]),
        np.array([direction]),
        np.array([ending]),
        np.array([True]),
        np.ones((SIZE, SIZE)),
    )
    wave = np.cos(psi)
    ahead = np.array([math.cos(direction), -math.sin(direction)])
    across = np.array([math.sin(direction), math.cos(direction)])

    def along_line(distance: float) -> np.ndarray:
        """The wave on a line across the ridges, at a distance from the minutia in its direction."""
        points = np.array([31.3, 30.6]) + distance * ahead + np.linspace(-24, 24, 401)[:, None] * across
        columns, rows = np.rint(points).astype(int).T
        return wave[rows, columns]

    more = [
        np.count_nonzero(np.diff(np.sign(along_line(d)))) - np.count_nonzero(np.diff(np.sign(along_line(-d))))
        for d in (4, 5, 6)
    ]
    assert sum(more) >= 4  # one ridge more, two crossings; some of it is seen farther away
    middle = along_line(0.75 * 5.0)[200]
    assert (middle > 0.5) if ending else (middle < -0.5)  # the ridge that ends, or the valley of the fork
    fine = enlarge(wave, 2 * SIZE)
    level = np.float32(direction)
    found = read_minutiae(thinned(fine > 0), lambda x, y: np.full(x.shape, level), margin=16)
    (place,) = found.xy[found.clear]
    assert np.hypot(*(place - (63.1, 61.7))) < 8


# -- templates ---------------------------------------------------------------------------------------------


def test_raster_of_a_template():
    template = Template(
        512,
        512,
        500,
        (Minutia(83.5, 19.5, 90, MinutiaType.ENDING), Minutia(300, 200, 10)),
        cores=(Point(256, 256),),
        deltas=(Point(511, 0),),
    )
    raster = rasterize(template)
    assert raster.shape == (CHANNELS, CELLS, CELLS) and raster[0].sum() == 2
    np.testing.assert_allclose(raster[:8, 2, 10], [1, -1, 0, 0, 1, 0.5, 0, 0], atol=1e-6)
    assert raster[5, 25, 37] == 0  # not known
    assert raster[8, 32, 32] == raster[9, 0, 63] == 1 and raster[8:].sum() == 2


def test_reconstruction_has_the_minutiae_of_its_template():
    """With the true fields: nearly all minutiae, of the right type, and hardly any other."""
    recalled, right, found, spurious, true = 0, 0, 0, 0, 0
    for seed in (1, 3):
        finger = make_finger(seed)
        impression = take_impression(finger, 0, "easy")
        template = impression.template
        behind = fields(finger, impression.capture)
        result = reconstruct_ridges(template, behind, 256)
        assert result.ridges.dtype == result.contact.dtype == np.float32
        assert np.abs(result.ridges).max() <= 1 and 0 <= result.contact.min() <= result.contact.max() <= 1
        fine, contact = enlarge(result.ridges, 512), enlarge(result.contact, 512)
        direction = 0.5 * np.arctan2(enlarge(behind[1], 512), enlarge(behind[0], 512))
        read = read_minutiae(thinned(fine > 0), lambda x, y, d=direction: d[y.astype(int), x.astype(int)])
        read = Minutiae(*(column[read.clear] for column in read))
        inside = contact[read.xy[:, 1].astype(int), read.xy[:, 0].astype(int)] > 0.9
        xy = np.array([(m.x, m.y) for m in template.minutiae])
        angle = np.radians([m.angle for m in template.minutiae])
        kind = np.array([1 if m.type is MinutiaType.ENDING else 3 for m in template.minutiae])
        near = np.linalg.norm(xy[:, None] - read.xy[None], axis=-1) < 12
        turn = np.abs((angle[:, None] - read.angle[None] + np.pi) % (2 * np.pi) - np.pi)
        same = near & (turn < math.radians(20))
        recalled += same.any(1).sum()
        right += (same & (kind[:, None] == read.kind[None])).any(1).sum()
        spurious += (~same.any(0) & inside).sum()
        found += inside.sum()
        true += len(xy)
    assert recalled / true > 0.85 and spurious / found < 0.1
    assert right / recalled > 0.8


def test_types_are_not_needed():
    finger = make_finger(3)
    impression = take_impression(finger, 0, "easy")
    untyped = dataclasses.replace(
        impression.template,
        minutiae=tuple(dataclasses.replace(m, type=MinutiaType.OTHER) for m in impression.template.minutiae),
    )
    result = reconstruct_ridges(untyped, fields(finger, impression.capture), 256)
    assert np.isfinite(result.ridges).all()


def test_fields_are_those_that_the_ridges_follow():
    """Orientation and period of an impression, against the gradient of its own ridge map."""
    finger = make_finger(5)
    impression = take_impression(finger, 0, "easy")
    behind = fields(finger, impression.capture)
    gy, gx = np.gradient(impression.ridges)

    def mean(values: np.ndarray) -> np.ndarray:
        return values.reshape(CELLS, 8, CELLS, 8).mean((1, 3))

    # The structure tensor: its doubled angle is that of the normal.
    across = np.arctan2(2 * mean(gx * gy), mean(gx * gx) - mean(gy * gy))
    expected = np.arctan2(-behind[1], -behind[0])  # of the normal, y up
    clear = behind[3] > 0.99
    error = np.abs((-across - expected + np.pi) % (2 * np.pi) - np.pi)[clear] / 2
    assert np.median(np.degrees(error)) < 4
