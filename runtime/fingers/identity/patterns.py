"""Pattern classes and their frequencies; what a seed draws for the pattern of its finger.

Finger coordinates: pixels at 500 ppi, x to the right, y down, origin at the center of the finger pad.
Angles are counter-clockwise as seen on the page (y up).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...arguments import to_member
from ...seeds import Purpose, stream

if TYPE_CHECKING:  # NumPy imports it when it is first used
    from numpy.random import Generator


class PatternClass(StrEnum):
    """The five classes of NIST, as seen on the print."""

    ARCH = "arch"
    TENTED_ARCH = "tented arch"
    LEFT_LOOP = "left loop"
    RIGHT_LOOP = "right loop"
    WHORL = "whorl"


# Wilson, Candela and Watson, "Neural network fingerprint classification" (NIST), 1994.
NATURAL_FREQUENCIES = {
    PatternClass.ARCH: 0.037,
    PatternClass.TENTED_ARCH: 0.029,
    PatternClass.LEFT_LOOP: 0.338,
    PatternClass.RIGHT_LOOP: 0.317,
    PatternClass.WHORL: 0.279,
}


class FingerPosition(StrEnum):
    """The ten fingers, in the order of ISO/IEC 19794-2 and ANSI/NIST-ITL (1 to 10)."""

    RIGHT_THUMB = "right-thumb"
    RIGHT_INDEX = "right-index"
    RIGHT_MIDDLE = "right-middle"
    RIGHT_RING = "right-ring"
    RIGHT_LITTLE = "right-little"
    LEFT_THUMB = "left-thumb"
    LEFT_INDEX = "left-index"
    LEFT_MIDDLE = "left-middle"
    LEFT_RING = "left-ring"
    LEFT_LITTLE = "left-little"


def _frequencies(arches: int, whorls: int, inner: float, right: bool) -> dict[PatternClass, float]:
    """Of percentages of one finger, `inner` those of loops that open towards the thumb."""
    plain = NATURAL_FREQUENCIES[PatternClass.ARCH]
    tented = NATURAL_FREQUENCIES[PatternClass.TENTED_ARCH]
    outer = 100 - arches - whorls - inner
    # On the print of a right hand the little finger is to the right.
    left_loops, right_loops = (inner, outer) if right else (outer, inner)
    return {
        PatternClass.ARCH: arches * plain / (plain + tented) / 100,
        PatternClass.TENTED_ARCH: arches * tented / (plain + tented) / 100,
        PatternClass.LEFT_LOOP: left_loops / 100,
        PatternClass.RIGHT_LOOP: right_loops / 100,
        PatternClass.WHORL: whorls / 100,
    }


# Arches and whorls of each finger, and the index fingers' loops by direction: Galton, "Finger Prints", 1892,
# chapter VIII (500 persons). He gives no figure for loops towards the thumb on the other fingers, only that
# they are rare: 1.5 % makes them, with 21 % on the index fingers, the 5.4 % of all fingers of Holt, "The
# Genetics of Dermal Ridges", 1968. Arches are plain and tented as in NATURAL_FREQUENCIES.
_GALTON = {
    FingerPosition.RIGHT_THUMB: (3, 44, 1.5),
    FingerPosition.RIGHT_INDEX: (17, 30, 21.0),
    FingerPosition.RIGHT_MIDDLE: (7, 15, 1.5),
    FingerPosition.RIGHT_RING: (2, 45, 1.5),
    FingerPosition.RIGHT_LITTLE: (1, 13, 1.5),
    FingerPosition.LEFT_THUMB: (5, 30, 1.5),
    FingerPosition.LEFT_INDEX: (17, 28, 21.0),
    FingerPosition.LEFT_MIDDLE: (8, 16, 1.5),
    FingerPosition.LEFT_RING: (3, 31, 1.5),
    FingerPosition.LEFT_LITTLE: (2, 8, 1.5),
}
FREQUENCIES_BY_POSITION = {
    position: _frequencies(*figures, right=position.value.startswith("right"))
    for position, figures in _GALTON.items()
}

Points = tuple[tuple[float, float], ...]


class Wave(NamedTuple):
    """A plane wave: `amplitude · sin(kx x + ky y + phase)`; a few make a smooth random field."""

    kx: float
    ky: float
    phase: float
    amplitude: float


class Pattern(NamedTuple):
    """What a finger's ridges follow.

    Lengths are pixels at 500 ppi, points lie in finger coordinates (see the module), angles are radians.

    Attributes:
        kind: The pattern class.
        cores: Points, none of an arch, one of a loop, two of a whorl.
        deltas: Points, as many as there are cores.
        tilt: Rotation of the whole field.
        bend: How far the ridges turn down at the sides of the fingertip.
        arch_height: Steepest slope of the bump of an arch.
        arch_width: Width of that bump.
        leg: How far the legs of a loop run parallel instead of fanning out from the core.
        leg_radius: Distance from the core within which they do.
        spiral: Of a whorl: closed rings at 0, spirals beyond.
        spiral_radius: Distance from the middle within which it spirals.
        period: Mean ridge period.
        orientation_waves: Waves that are added to the orientation.
        period_waves: Waves that the period is varied by.
    """

    kind: PatternClass
    cores: Points
    deltas: Points
    tilt: float
    bend: float
    arch_height: float
    arch_width: float
    leg: float
    leg_radius: float
    spiral: float
    spiral_radius: float
    period: float
    orientation_waves: tuple[Wave, ...]
    period_waves: tuple[Wave, ...]

    @property
    def focus(self) -> tuple[float, float]:
        """The middle of the pattern: mean core, or the top of an arch's bump."""
        if not self.cores:
            return (0.0, -20.0)
        x, y = np.mean(self.cores, axis=0)
        return (float(x), float(y))


def sample_pattern(
    seed: int, kind: PatternClass | None = None, position: FingerPosition | None = None
) -> Pattern:
    """What the ridges of a finger follow.

    Args:
        seed: Of the finger, in [0, 2**64).
        kind: Its class; None draws one at its natural frequency.
        position: Which of the ten fingers it is; None draws from NATURAL_FREQUENCIES, of all ten.

    Returns:
        The pattern, always the same for the same arguments.

    Raises:
        BadInput: For a seed, class or position that is none.
    """
    kind = to_member("kind", kind, PatternClass)
    position = to_member("position", position, FingerPosition)
    rng = stream(seed, Purpose.PATTERN)
    table = NATURAL_FREQUENCIES if position is None else FREQUENCIES_BY_POSITION[position]
    kinds, frequencies = list(table), np.array(list(table.values()))
    drawn = kinds[int(rng.choice(len(kinds), p=frequencies / frequencies.sum()))]
    kind = kind or drawn
    whorl = kind is PatternClass.WHORL
    cores, deltas, spiral = _whorl(rng) if whorl else (*_loop(rng, kind), 0.0)
    return Pattern(
        kind=kind,
        cores=cores,
        deltas=deltas,
        tilt=rng.normal(0.0, 0.05),
        bend=rng.normal(0.55 if whorl else 0.8, 0.1),
        arch_height=rng.uniform(0.5, 1.2),
        arch_width=rng.uniform(80.0, 130.0),
        leg=rng.uniform(0.2, 0.45),
        leg_radius=rng.uniform(90.0, 150.0),
        spiral=spiral,
        spiral_radius=rng.uniform(50.0, 110.0),
        period=float(np.clip(rng.normal(9.0, 0.7), 7.5, 11.5)),
        orientation_waves=_waves(rng, count=8, shortest=160.0, longest=500.0, amplitude=0.055),
        period_waves=_waves(rng, count=6, shortest=120.0, longest=400.0, amplitude=0.025),
    )


def _loop(rng: Generator, kind: PatternClass) -> tuple[Points, Points]:
    """Cores and deltas of every class but whorls."""
    x, y = _middle(rng)
    if kind is PatternClass.ARCH:
        return (), ()
    if kind is PatternClass.TENTED_ARCH:
        height = rng.uniform(45.0, 100.0)
        return ((x, y + 25.0),), ((x + rng.normal(0.0, 6.0), y + 25.0 + height),)
    side = 1.0 if kind is PatternClass.LEFT_LOOP else -1.0  # the delta lies opposite the open end
    delta = (x + side * max(45.0, rng.normal(95.0, 24.0)), y + max(60.0, rng.normal(120.0, 22.0)))
    return ((x, y),), (delta,)


def _whorl(rng: Generator) -> tuple[Points, Points, float]:
    """Cores, deltas and spiral turn of a plain whorl, a double loop or a central pocket."""
    x, y = _middle(rng)
    variant = rng.choice(3, p=[0.6, 0.25, 0.15])
    handed = rng.choice([-1.0, 1.0])
    apart = (rng.gamma(2.5, 9.0) + 6.0, rng.uniform(50.0, 95.0), rng.uniform(8.0, 22.0))[variant]
    spiral = handed * (abs(rng.normal(0.0, 0.15)), rng.uniform(0.35, 0.7), rng.uniform(0.0, 0.2))[variant]
    angle = rng.normal(np.pi / 2, 0.35)
    half = (apart / 2 * np.cos(angle), apart / 2 * np.sin(angle))
    cores = ((x - half[0], y - half[1]), (x + half[0], y + half[1]))
    reach = rng.normal(118.0, 20.0, 2)
    drop = rng.normal(125.0, 20.0, 2)
    if variant == 2:  # a pocket in a loop: one delta close to the cores
        reach[0], drop[0] = reach[0] * 0.55, drop[0] * 0.7
    deltas = tuple(
        (float(x + side * max(50.0, r)), float(y + max(60.0, d)))
        for side, r, d in zip((handed, -handed), reach, drop, strict=True)
    )
    return cores, deltas, float(spiral)


def _middle(rng: Generator) -> tuple[float, float]:
    return rng.normal(0.0, 12.0), rng.normal(-25.0, 15.0)


def _waves(rng: Generator, count: int, shortest: float, longest: float, amplitude: float) -> tuple[Wave, ...]:
    direction = rng.uniform(0.0, 2 * np.pi, count)
    k = 2 * np.pi / rng.uniform(shortest, longest, count)
    phase = rng.uniform(0.0, 2 * np.pi, count)
    size = rng.normal(0.0, amplitude, count)
    columns = zip(k * np.cos(direction), k * np.sin(direction), phase, size, strict=True)
    return tuple(Wave(*(float(value) for value in row)) for row in columns)
