"""The minutiae map: equal to the stored SynFing map, and to its definition in SciPy at every size."""

import time
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from fingergen.runtime.errors import BadInput
from fingergen.runtime.minutiae import Minutia, MinutiaType, Point, Template, minutiae_map

REFERENCE = Path(__file__).parents[1] / "reference" / "minutiae_map.npz"
TYPES = {1: MinutiaType.ENDING, 2: MinutiaType.BIFURCATION}


def random_template(seed: int, width: int, height: int, count: int) -> Template:
    rng = np.random.default_rng(seed)
    places = rng.uniform((0, 0), (width, height), (count + 3, 2))
    minutiae = [
        Minutia(x, y, rng.uniform(0, 360), list(MinutiaType)[number % 3])
        for number, (x, y) in enumerate(places[:count])
    ]
    core, *deltas = (Point(x, y) for x, y in places[count:])
    return Template(width, height, 500, tuple(minutiae), (core,), tuple(deltas))


def test_equals_the_reference_exactly():
    stored = np.load(REFERENCE)
    rows = stored["minutiae"]
    template = Template(
        512,
        512,
        500,
        tuple(
            Minutia(x, y, -np.degrees(angle), TYPES[int(code)]) for code, x, y, angle in rows if code in TYPES
        ),
        tuple(Point(x, y) for code, x, y, _ in rows if code == 4),
        tuple(Point(x, y) for code, x, y, _ in rows if code == 5),
    )
    drawn = minutiae_map(template)
    assert drawn.dtype == np.uint8 and drawn.shape == (512, 512, 3)
    assert np.abs(drawn.astype(int) - stored["map"]).max() == 0


@pytest.mark.parametrize(
    ("width", "height", "count"),
    [(512, 512, 60), (97, 131, 40), (9, 30, 8), (3, 2, 4), (1, 1, 1), (40, 40, 0)],
)
def test_equals_its_definition(width: int, height: int, count: int):
    """Dense images, blurred by SciPy; one level of gray is left to the order of summation."""
    template = random_template(width, width, height, count)
    images = np.zeros((5, height, width))  # points and strokes of each kind, singular points
    for minutia in template.minutiae:
        channel = 1 if minutia.type is MinutiaType.BIFURCATION else 0
        images[channel, min(round(minutia.y), height - 1), min(round(minutia.x), width - 1)] = 1
        dx, dy = 15 * np.cos(np.radians(minutia.angle)), -15 * np.sin(np.radians(minutia.angle))
        for t in np.linspace(0, 1, int(np.ceil(max(abs(dx), abs(dy)))) + 1):
            x, y = int(np.round(minutia.x + t * dx)), int(np.round(minutia.y + t * dy))
            if 0 <= x < width and 0 <= y < height:
                images[2 + channel, y, x] = 1
    for point in template.cores + template.deltas:
        images[4, min(round(point.y), height - 1), min(round(point.x), width - 1)] = 1
    levels = [60 * gaussian_filter(images[c], 3) + 3 * gaussian_filter(images[2 + c], 3**0.5) for c in (0, 1)]
    levels.append(180 * gaussian_filter(images[4], 5))
    expected = np.clip(255 * np.stack(levels, axis=-1), 0, 255).astype(np.uint8)
    assert np.abs(minutiae_map(template).astype(int) - expected).max() <= 1
    assert np.mean(minutiae_map(template) != expected) < 1e-3


def test_minutiae_of_type_other():
    other, ending = (
        Template(64, 64, 500, (Minutia(30, 20, 45, kind),))
        for kind in (MinutiaType.OTHER, MinutiaType.ENDING)
    )
    assert np.array_equal(minutiae_map(other), minutiae_map(ending)) and minutiae_map(other)[20, 30, 0] == 255
    as_bifurcation = minutiae_map(other, other=MinutiaType.BIFURCATION)
    assert np.array_equal(as_bifurcation[..., 1], minutiae_map(ending)[..., 0])
    assert not minutiae_map(other, other=None).any()
    assert np.array_equal(minutiae_map(ending, other=None), minutiae_map(ending))


def test_stroke_runs_along_the_angle():
    """90° is up on the screen: above the minutia the map is brighter than below."""
    drawn = minutiae_map(Template(64, 64, 500, (Minutia(32, 32, 90, MinutiaType.ENDING),)))[..., 0]
    assert drawn[17, 32] > 50 and drawn[47, 32] == 0


def test_is_quick():
    """512 x 512 and 60 minutiae take 20 ms of CPU time at most, the best of 20: the machine may be busy."""
    template, took = random_template(1, 512, 512, 60), []
    for _ in range(20):
        start = time.thread_time()
        minutiae_map(template)
        took.append(time.thread_time() - start)
    assert min(took) < 0.02


def test_too_large_an_image():
    with pytest.raises(BadInput, match="crop or rescale"):
        minutiae_map(Template(65535, 65535))
