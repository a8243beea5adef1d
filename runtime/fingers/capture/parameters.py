"""What varies between impressions of a finger: placement, distortion, contact, skin and sensor.

A `Capture` is drawn for one finger and one impression number and holds plain numbers and small arrays;
`placement`, `contact` and `sensor` make images and points of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ...arguments import AnyFloats as Floats
from ...minutiae import PPI
from ...seeds import Purpose, stream
from ..master import Master
from .presets import Effects, Preset, Range

if TYPE_CHECKING:  # NumPy imports it when it is first used
    from numpy.random import Generator

    from .area import SensorArea

_CELLS = (12, 45)  # cell size in pixels of the smooth noise fields: blotches, uneven pressure
_FINE_CELLS = 8  # of stains
_ROLLED = 1.45  # width of a rolled print's contact, by that of a plain one


@dataclass(frozen=True, eq=False)
class Capture:
    """How one impression of one finger is taken.

    Lengths in pixels; window coordinates from the window's center, y down; master: the finger's ridge map.

    Attributes:
        seed: Of the finger.
        number: Of the impression.
        window: (width, height).
        rotation: Degrees, counter-clockwise as seen.
        shift: float32 (2,), where the middle of the master lands in the window.
        middle: float32 (2,), middle of the master, in its pixels.
        waves: float32 (K, 5): kx, ky, phase, and amplitudes in x and y of the skin's displacement.
        contact: float32 (6,): center x, y in the master; half width, half height above and below; wobble.
        contact_part: The part of the fingertip that touches, up to 1.
        lines: float32 (K, 5), creases and cuts: x, y, angle, half length, half width; in the master.
        pressure: -1 (light) to 1 (firm).
        moisture: -1 (dry) to 1 (wet).
        unevenness: How far pressure varies over the contact.
        blotches: Strength of spots where ink or moisture lacks or abounds.
        sharpness: Of the edges of ridges.
        paper: Gray level of the background, 0 to 1.
        ink: Gray level of ridges, 0 to 1.
        gamma: Of the sensor.
        noise: Standard deviation of the sensor's noise, 0 to 1.
        background: Standard deviation of the background's smooth variation, 0 to 1.
        blotch_cells: float32 (rows, columns), standard normal noise on a coarse grid.
        uneven_cells: The same for uneven pressure, coarser.
        backdrop_cells: The same for the background.
        stain_cells: The same for stains, finer than all others.
        fading: How much fainter ridges are at the edge of contact.
        film: Darkness of valleys that touch, from moisture or ink between ridges; 0 to 1.
        stains: Standard deviation of stains on sensor or paper, 0 to 1.
        vignette: How much darker the background's corners are than its center, 0 to 1.
        area: Of the sensor, about the middle of the window; None: it has the window's pixels.
    """

    seed: int
    number: int
    window: tuple[int, int]
    rotation: float
    shift: Floats
    middle: Floats
    waves: Floats
    contact: Floats
    contact_part: float
    lines: Floats
    pressure: float
    moisture: float
    unevenness: float
    blotches: float
    sharpness: float
    paper: float
    ink: float
    gamma: float
    noise: float
    background: float
    blotch_cells: Floats
    uneven_cells: Floats
    backdrop_cells: Floats
    stain_cells: Floats
    fading: float = 0.9
    film: float = 0.0
    stains: float = 0.0
    vignette: float = 0.0
    area: SensorArea | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the image, in its pixels."""
        return self.window if self.area is None else self.area.size

    @property
    def ppi(self) -> float:
        """Pixels per inch of the image."""
        return PPI if self.area is None else self.area.ppi

    @property
    def pitch(self) -> float:
        """Distance of two pixels of the image, in the window's pixels."""
        return PPI / self.ppi

    @property
    def texture(self) -> Floats:
        """float32 (H + 2, W + 2), standard normal: the roughness of ridge edges."""
        return self._pixel_noise[0]

    @property
    def grain(self) -> Floats:
        """float32 (H, W), standard normal: the sensor's noise."""
        return self._pixel_noise[1]

    @cached_property
    def _pixel_noise(self) -> tuple[Floats, Floats]:
        # As large as images: drawn when it is first asked for, which a generator of impressions never does.
        rng, (width, height) = stream(self.seed, Purpose.PIXEL_NOISE, self.number), self.size
        texture = rng.standard_normal((height + 2, width + 2), np.float32)
        return texture, rng.standard_normal((height, width), np.float32)


def sample_capture(finger: Master, number: int, preset: Preset, effects: Effects) -> Capture:
    """How an impression is taken.

    Args:
        finger: The finger.
        number: Of the impression, in [0, 2**32).
        preset: Distributions of what varies.
        effects: What is fixed instead of drawn.

    Returns:
        The capture, always the same for the same arguments.

    Raises:
        BadInput: If the number is out of range.
    """
    rng = stream(finger.seed, Purpose.IMPRESSION, number)
    width, height = finger.window
    master = np.array(finger.ridges.shape[::-1], np.float32)

    # Every number is drawn, whatever is fixed, so that a fixed effect leaves the others as they were.
    rotation = _fixed(effects.rotation, preset.rotation * float(np.clip(rng.normal(), -2.7, 2.7)))
    shift = _shift(rng, preset.shift, rotation, master, finger.window)
    distortion = preset.distortion if effects.distortion is None else 2.0 * effects.distortion
    waves = _displacement(rng, distortion)
    contact_part = _fixed(effects.contact, _uniform(rng, preset.contact))
    pressure = _fixed(effects.pressure, _normal(rng, preset.pressure))
    contact = _contact(rng, finger, contact_part, pressure, effects.rolled)
    scars = int(_fixed(effects.scars, float(rng.choice(len(preset.scars), p=preset.scars))))
    lines = np.concatenate([finger.creases, _cuts(rng, scars, master)])
    traits = _traits(rng, preset, effects)
    cells = [_CELLS[0], _CELLS[1], _CELLS[1]]
    fields = [rng.standard_normal((height // cell + 2, width // cell + 2), np.float32) for cell in cells]
    return Capture(
        seed=finger.seed,
        number=number,
        window=finger.window,
        rotation=rotation,
        shift=shift,
        middle=(master - 1.0) / 2,
        waves=waves,
        contact=contact,
        contact_part=contact_part,
        lines=lines,
        pressure=pressure,
        **traits,
        blotch_cells=fields[0],
        uneven_cells=fields[1],
        backdrop_cells=fields[2],
        stain_cells=rng.standard_normal((height // _FINE_CELLS + 2, width // _FINE_CELLS + 2), np.float32),
    )


def sample_traits(seed: int, preset: Preset) -> dict[str, float]:
    """How a print looks whose finger is not grown from a seed.

    Args:
        seed: Of the look.
        preset: Distributions of what varies.

    Returns:
        Values of the fields of `Capture` that a look has, by their names.
    """
    rng = stream(seed, Purpose.LOOK)
    pressure = _normal(rng, preset.pressure)
    plain = {name: getattr(Capture, name) for name in ("fading", "film", "stains", "vignette")}
    return {"pressure": pressure, **_traits(rng, preset, Effects()), **plain}


def _traits(rng: Generator, preset: Preset, effects: Effects) -> dict[str, Any]:
    assert not isinstance(effects.moisture, str)  # Effects has replaced names by values
    return {
        "moisture": _fixed(effects.moisture, _normal(rng, preset.moisture)),
        "unevenness": _uniform(rng, preset.unevenness),
        "blotches": _uniform(rng, preset.blotches),
        "sharpness": _uniform(rng, preset.sharpness),
        "paper": rng.uniform(0.93, 1.0),
        "ink": rng.uniform(0.02, 0.3),
        "gamma": rng.uniform(0.8, 1.25),
        "noise": _fixed(effects.noise, _uniform(rng, preset.noise)) / 255.0,
        "background": _fixed(effects.background, _uniform(rng, preset.background)) / 255.0,
    }


def _fixed(value: float | None, drawn: float) -> float:
    return drawn if value is None else float(value)


def _uniform(rng: Generator, limits: Range) -> float:
    return float(rng.uniform(*limits))


def _normal(rng: Generator, mean_and_deviation: Range) -> float:
    return float(np.clip(rng.normal(*mean_and_deviation), -1.0, 1.0))


def _shift(
    rng: Generator, deviation: float, rotation: float, master: Floats, window: tuple[int, int]
) -> Floats:
    """A translation that keeps a small window on the master; a full print's outline does that itself."""
    wanted = rng.normal(0.0, deviation, 2)
    c, s = abs(np.cos(np.radians(rotation))), abs(np.sin(np.radians(rotation)))
    reach = np.array([c * window[0] + s * window[1], s * window[0] + c * window[1]]) / 2
    room = master / 2 - reach - 8.0
    room = np.where(room < 4.0, 20.0, room)
    return np.clip(wanted, -room, room).astype(np.float32)


def _displacement(rng: Generator, deviation: float, count: int = 3) -> Floats:
    direction, phase = rng.uniform(0.0, 2 * np.pi, (2, count))
    k = 2 * np.pi / rng.uniform(220.0, 600.0, count)
    amplitude = deviation * rng.normal(0.0, 1.0, (2, count))
    columns = [k * np.cos(direction), k * np.sin(direction), phase, *amplitude]
    return np.stack(columns, axis=1).astype(np.float32)


def _contact(rng: Generator, finger: Master, part: float, pressure: float, rolled: bool) -> Floats:
    """The outline: a part of the fingertip lies anywhere in it; a firm touch is a little larger."""
    sides = np.array([rng.normal(178.0, 12.0), rng.normal(215.0, 14.0), rng.normal(225.0, 20.0)])
    sides *= 1.0 + 0.04 * pressure
    if rolled:
        sides[0] *= _ROLLED
    wander, direction = rng.normal(0.0, 8.0, 2), rng.uniform(0.0, 2 * np.pi)
    wobble = rng.uniform(1.0, 3.5)
    scale = np.sqrt(part)
    toward = np.array([np.cos(direction) * sides[0], np.sin(direction) * sides[1:].mean()])
    center = np.array(finger.origin) + wander + (1.0 - scale) * toward
    return np.array([*center, *(scale * sides), wobble], np.float32)


def _cuts(rng: Generator, count: int, master: Floats, most: int = 8) -> Floats:
    width, height = master
    columns = [
        rng.uniform(0, width, most),
        rng.uniform(0, height, most),
        rng.uniform(0.0, 2 * np.pi, most),
        rng.uniform(10, 70, most),
        rng.uniform(0.7, 1.4, most),
    ]
    return np.stack(columns, axis=1).astype(np.float32)[:count]
