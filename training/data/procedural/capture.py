"""What varies between impressions of a finger: placement, distortion, contact, skin and sensor.

A `Capture` is drawn for one finger and one impression number and holds plain numbers and small arrays;
`impressions` renders many at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fingergen.runtime.minutiae import Minutia, MinutiaType, Point, Template

from .finger import PPI, Finger
from .minutiae import BIFURCATION, ENDING
from .streams import impression_stream

Array = NDArray[np.floating]

OUTLINE = 2.4  # exponent of the outline of contact: between an ellipse (2) and a rectangle

_TYPES = {ENDING: MinutiaType.ENDING, BIFURCATION: MinutiaType.BIFURCATION}
_CLEAR = 6.0  # pixels inside the edge of contact at which a minutia can be seen
_CELLS = (12, 45)  # cell size in pixels of the smooth noise fields: blotches, uneven pressure


@dataclass(frozen=True, eq=False)
class Capture:
    """One impression of one finger. Lengths in pixels, window coordinates from the window's centre."""

    rotation: float  # radians, counter-clockwise as seen
    shift: Array  # (2,), where the middle of the master lands in the window
    middle: Array  # (2,), middle of the master, in master pixels
    waves: Array  # (K, 5): kx, ky, phase, and amplitudes in x and y of the skin's displacement
    contact: Array  # (6,): centre x, y in the master; half width, half height above, below; wobble
    lines: Array  # (K, 5): creases and cuts: x, y, angle, half length, half width; in the master
    skin: Array  # (5,): pressure, pressure variation, dryness, blotches, edge sharpness
    sensor: Array  # (4,): paper, ink, gamma, grain; grey levels 0 to 1
    fields: tuple[Array, ...]  # noise cells of blotches and uneven pressure, each (rows, columns)
    texture: Array  # (H + 2, W + 2), white noise: the roughness of ridge edges
    grain: Array  # (H, W), white noise: the sensor's


def draw_capture(finger: Finger, impression: int, window: tuple[int, int]) -> Capture:
    """Impression number `impression` of `finger` in a window (width, height)."""
    rng = impression_stream(finger.seed, impression)
    width, height = window
    master = np.array(finger.ridges.shape[::-1], np.float32)
    rotation = float(np.clip(rng.normal(0.0, 0.14), -0.38, 0.38))
    return Capture(
        rotation=rotation,
        shift=_shift(rng, rotation, master, window),
        middle=(master - 1.0) / 2,
        waves=_displacement(rng),
        contact=_contact(rng, finger),
        lines=_lines(rng, finger),
        skin=_skin(rng),
        sensor=_sensor(rng),
        fields=tuple(
            rng.standard_normal((height // cell + 2, width // cell + 2), dtype=np.float32) for cell in _CELLS
        ),
        texture=rng.standard_normal((height + 2, width + 2), dtype=np.float32),
        grain=rng.standard_normal((height, width), dtype=np.float32),
    )


def displacement(waves: Array, q: Array) -> Array:
    """How far skin at `q` (…, 2), from the middle of the master, is drawn from there: (…, 2)."""
    phase = q @ waves[:, :2].T + waves[:, 2]
    return np.sin(phase) @ waves[:, 3:]


def place(capture: Capture, points: Array, window: tuple[int, int]) -> Array:
    """Master points (M, 2) as window pixels from its top left (M, 2)."""
    target = points - capture.middle
    q = target
    for _ in range(8):  # the displacement changes slowly, so this contracts fast
        q = target - displacement(capture.waves, q)
    c, s = np.cos(capture.rotation), np.sin(capture.rotation)
    turned = np.stack([c * q[..., 0] + s * q[..., 1], -s * q[..., 0] + c * q[..., 1]], axis=-1)
    return (turned + capture.shift + (np.array(window) - 1.0) / 2).astype(np.float32)


def visible_truth(capture: Capture, finger: Finger, window: tuple[int, int]) -> Template:
    """The template of the impression: what lies in the window and is touched by the sensor."""
    xy, angle, kind = finger.minutiae
    heading = np.stack([np.cos(angle), -np.sin(angle)], axis=1)
    placed = place(capture, xy, window)
    # Carried along with the skin, so that rotation and distortion turn it as they turn the ridge.
    step = place(capture, xy + 3.0 * heading, window) - placed
    degrees = np.degrees(np.arctan2(-step[:, 1], step[:, 0]))
    shown = _in_window(placed, window) & (_depth(capture.contact, finger, xy) > _CLEAR)
    minutiae = (
        Minutia(float(x), float(y), float(a), _TYPES[int(k)])
        for (x, y), a, k in zip(placed[shown], degrees[shown], kind[shown], strict=True)
    )
    cores, deltas = (_points(capture, finger, points, window) for points in (finger.cores, finger.deltas))
    return Template(*window, PPI, tuple(minutiae), cores, deltas)


def _points(capture: Capture, finger: Finger, points: Array, window: tuple[int, int]) -> tuple[Point, ...]:
    placed = place(capture, points, window)
    shown = _in_window(placed, window) & (_depth(capture.contact, finger, points) > _CLEAR)
    return tuple(Point(float(x), float(y)) for x, y in placed[shown])


def _in_window(points: Array, window: tuple[int, int]) -> NDArray[np.bool_]:
    return np.all((points >= 0) & (points <= np.array(window) - 1), axis=-1)


def _depth(contact: Array, finger: Finger, points: Array) -> Array:
    """Rough distance in pixels from master points (M, 2) to the edge of contact, positive inside: (M,)."""
    x, y = points[:, 0] - contact[0], points[:, 1] - contact[1]
    tall = np.where(y < 0, contact[3], contact[4])
    radius = (np.abs(x / contact[2]) ** OUTLINE + np.abs(y / tall) ** OUTLINE) ** (1 / OUTLINE)
    border = np.minimum(points, np.array(finger.ridges.shape[::-1]) - 1 - points).min(axis=1)
    return np.minimum((1.0 - radius) * contact[2], border)


def _shift(rng: Generator, rotation: float, master: Array, window: tuple[int, int]) -> Array:
    """A translation that keeps a small window on the master; a full print's outline does that itself."""
    wanted = rng.normal(0.0, 14.0, 2)
    c, s = abs(np.cos(rotation)), abs(np.sin(rotation))
    reach = np.array([c * window[0] + s * window[1], s * window[0] + c * window[1]]) / 2
    room = master / 2 - reach - 8.0
    room = np.where(room < 4.0, 20.0, room)
    return np.clip(wanted, -room, room).astype(np.float32)


def _displacement(rng: Generator, count: int = 3) -> Array:
    direction, phase = rng.uniform(0.0, 2 * np.pi, (2, count))
    k = 2 * np.pi / rng.uniform(220.0, 600.0, count)
    amplitude = rng.normal(0.0, 2.0, (2, count))
    columns = [k * np.cos(direction), k * np.sin(direction), phase, *amplitude]
    return np.stack(columns, axis=1).astype(np.float32)


def _contact(rng: Generator, finger: Finger) -> Array:
    x, y = finger.origin
    return np.array(
        [
            x + rng.normal(0.0, 8.0),
            y + rng.normal(0.0, 8.0),
            rng.normal(178.0, 12.0),
            rng.normal(215.0, 14.0),
            rng.normal(225.0, 20.0),
            rng.uniform(1.0, 3.5),
        ],
        np.float32,
    )


def _lines(rng: Generator, finger: Finger) -> Array:
    count = int(rng.choice(3, p=[0.85, 0.12, 0.03]))
    width, height = finger.ridges.shape[::-1]
    cuts = [
        rng.uniform(0, width, count),
        rng.uniform(0, height, count),
        rng.uniform(0.0, 2 * np.pi, count),
        rng.uniform(10, 70, count),
        rng.uniform(0.7, 1.4, count),
    ]
    return np.concatenate([finger.creases, np.stack(cuts, axis=1)])


def _skin(rng: Generator) -> Array:
    dryness = rng.beta(1.6, 4.0)
    pressure = rng.normal(0.05, 0.22) - 0.3 * dryness
    values = [pressure, rng.uniform(0.1, 0.3), dryness, rng.uniform(0.03, 0.2), rng.uniform(2.5, 5.0)]
    return np.array(values, np.float32)


def _sensor(rng: Generator) -> Array:
    low, high = np.transpose([(0.93, 1.0), (0.02, 0.3), (0.8, 1.25), (0.006, 0.025)])
    return rng.uniform(low, high).astype(np.float32)
