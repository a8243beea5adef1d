"""Pattern classes, singular points, orientation field and ridge period of a finger.

Finger coordinates: pixels at 500 ppi, x to the right, y down, origin at the centre of the finger pad.
Angles are counter-clockwise as seen on the page (y up).

The orientation is a zero-pole field (Sherlock and Monro, "A model for interpreting fingerprint topology",
Pattern Recognition 26(7), 1993) over a smooth background that bends the ridges around the fingertip, as
in the phase-portrait-plus-singularities models (Zhou and Gu, 2004); an arch is background alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from .streams import pattern_stream


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

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Wave:
    """A plane wave: `amplitude · sin(kx x + ky y + phase)`; a few make a smooth random field."""

    kx: float
    ky: float
    phase: float
    amplitude: float


@dataclass(frozen=True)
class Pattern:
    """What a finger's ridges follow. Points in finger coordinates, angles in radians."""

    kind: PatternClass
    cores: Points
    deltas: Points
    tilt: float  # rotation of the whole field
    bend: float  # how far the ridges turn down at the sides of the fingertip
    arch_height: float  # steepest slope of the bump of an arch
    arch_width: float
    leg: float  # how far the legs of a loop run parallel instead of fanning out from the core
    leg_radius: float
    spiral: float  # of a whorl: closed rings at 0, spirals beyond
    spiral_radius: float
    period: float  # pixels at 500 ppi
    orientation_waves: tuple[Wave, ...]
    period_waves: tuple[Wave, ...]

    @property
    def focus(self) -> tuple[float, float]:
        """The middle of the pattern: mean core, or the top of an arch's bump."""
        if not self.cores:
            return (0.0, -20.0)
        x, y = np.mean(self.cores, axis=0)
        return (float(x), float(y))


def draw_pattern(seed: int) -> Pattern:
    """The pattern of finger `seed`, of a class drawn at its natural frequency."""
    rng = pattern_stream(seed)
    kinds = list(NATURAL_FREQUENCIES)
    frequencies = np.array(list(NATURAL_FREQUENCIES.values()))
    kind = kinds[int(rng.choice(len(kinds), p=frequencies / frequencies.sum()))]
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


def orientation(pattern: Pattern, x: Tensor, y: Tensor) -> Tensor:
    """Ridge orientation in radians (defined modulo π) at finger coordinates `x`, `y` of any one shape."""
    angle = _background(pattern, x, y)
    for cx, cy in pattern.cores:
        angle = angle + torch.atan2(cy - y, x - cx) / 2
    if len(pattern.cores) == 1:
        return angle - _parallel_legs(pattern, x, y)
    if len(pattern.cores) == 2:
        return angle + _rings(pattern, x, y)
    return angle


def _background(pattern: Pattern, x: Tensor, y: Tensor) -> Tensor:
    """The field without its cores."""
    sideways = x / torch.sqrt(x**2 + 130.0**2 + y.clamp(max=0.0) ** 2)
    fingertip = torch.sigmoid((90.0 - y) / 55.0)  # ridges near the joint lie flat
    angle = pattern.tilt - pattern.bend * sideways * fingertip
    if pattern.kind is PatternClass.ARCH:
        across = x / pattern.arch_width
        rise = torch.sigmoid((120.0 - y) / 60.0) * torch.sigmoid((y + 200.0) / 70.0)
        angle = angle - torch.atan(pattern.arch_height * across * torch.exp(0.5 - across**2 / 2) * rise)
    for dx, dy in pattern.deltas:
        angle = angle - torch.atan2(dy - y, x - dx) / 2
    return angle + _field(pattern.orientation_waves, x, y)


def _parallel_legs(pattern: Pattern, x: Tensor, y: Tensor) -> Tensor:
    """A correction in the manner of Vizcaya and Gerhardt (Pattern Recognition 29(7), 1996).

    Around a bare zero the orientation turns evenly, half as fast as the direction from the core; in a
    finger it hardly turns between the legs of a loop and faster over its top.
    """
    cx, cy = pattern.focus
    # A loop opens where the orientation (direction / 2 + background) equals the direction from the core.
    opening = 2.0 * _background_at(pattern, cx, cy)
    direction = torch.atan2(cy - y, x - cx)
    return pattern.leg * torch.sin(direction - opening) * _near(pattern.focus, pattern.leg_radius, x, y)


def _rings(pattern: Pattern, x: Tensor, y: Tensor) -> Tensor:
    """The turn that makes the rings of a whorl close, or spiral as far as the pattern says."""
    # Rings around two cores close where the background is upright.
    excess = (_background_at(pattern, *pattern.focus) % math.pi) - math.pi / 2
    return (pattern.spiral - excess) * _near(pattern.focus, pattern.spiral_radius, x, y)


def _background_at(pattern: Pattern, x: float, y: float) -> float:
    return float(_background(pattern, torch.tensor(x), torch.tensor(y)))


def _near(point: tuple[float, float], radius: float, x: Tensor, y: Tensor) -> Tensor:
    return torch.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / (2 * radius**2))


def ridge_period(pattern: Pattern, x: Tensor, y: Tensor) -> Tensor:
    """Local ridge period in pixels at 500 ppi; ridges are wider below the deltas, finer above the cores."""
    below = torch.sigmoid((y - 110.0) / 40.0)
    above = torch.sigmoid((-90.0 - y) / 40.0)
    return pattern.period * (1.0 + 0.10 * below - 0.05 * above + _field(pattern.period_waves, x, y))


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


def _field(waves: tuple[Wave, ...], x: Tensor, y: Tensor) -> Tensor:
    total = torch.zeros_like(x)
    for wave in waves:
        total += wave.amplitude * torch.sin(wave.kx * x + wave.ky * y + wave.phase)
    return total
