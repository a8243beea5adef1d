"""Orientation field and ridge period of a pattern, at any points.

The orientation is a zero-pole field (Sherlock and Monro, "A model for interpreting fingerprint topology",
Pattern Recognition 26(7), 1993) over a smooth background that bends the ridges around the fingertip, as
in the phase-portrait-plus-singularities models (Zhou and Gu, 2004); an arch is background alone.
Coordinates and angles are those of `patterns`. Values are rounded to multiples of STEP: ridge growth would
spread the last bit of a sine, in which math libraries differ, over the whole finger.
"""

from __future__ import annotations

import math

import numpy as np

from ...arguments import AnyFloats as Floats
from .patterns import Pattern, PatternClass, Points, Wave

STEP = 2.0**-14


def orientation(pattern: Pattern, x: Floats, y: Floats) -> Floats:
    """Ridge orientation of a pattern.

    Args:
        pattern: The pattern.
        x: float32, x of the points in finger coordinates, any shape.
        y: Their y, of a shape that broadcasts with it: of a grid, a row and a column.

    Returns:
        float32 of the shape of both, radians counter-clockwise, defined modulo π.
    """
    x, y = x.astype(np.float64), y.astype(np.float64)
    angle = _background(pattern, x, y) + _half_turns(pattern.cores, pattern.deltas, x, y)
    if len(pattern.cores) == 1:
        angle -= _parallel_legs(pattern, x, y)
    elif len(pattern.cores) == 2:
        angle += _rings(pattern, x, y)
    return _rounded(angle)


def ridge_period(pattern: Pattern, x: Floats, y: Floats) -> Floats:
    """Distance between neighboring ridges, wider below the deltas and finer above the cores.

    Args:
        pattern: The pattern.
        x: float32, x of the points in finger coordinates, any shape.
        y: Their y, of a shape that broadcasts with it: of a grid, a row and a column.

    Returns:
        float32 of the shape of both, pixels at 500 ppi.
    """
    x, y = x.astype(np.float64), y.astype(np.float64)
    below = _sigmoid((y - 110.0) / 40.0)
    above = _sigmoid((-90.0 - y) / 40.0)
    return _rounded(pattern.period * (1.0 + 0.10 * below - 0.05 * above + _waves(pattern.period_waves, x, y)))


def _rounded(values: Floats) -> Floats:
    return (np.round(values / STEP) * STEP).astype(np.float32)


def _background(pattern: Pattern, x: Floats, y: Floats) -> Floats:
    """The field without its singular points."""
    sideways = x / np.sqrt(x**2 + 130.0**2 + np.minimum(y, 0.0) ** 2)
    fingertip = _sigmoid((90.0 - y) / 55.0)  # ridges near the joint lie flat
    angle = pattern.tilt - pattern.bend * sideways * fingertip
    if pattern.kind is PatternClass.ARCH:
        across = x / pattern.arch_width
        rise = _sigmoid((120.0 - y) / 60.0) * _sigmoid((y + 200.0) / 70.0)
        angle -= np.arctan(pattern.arch_height * across * np.exp(0.5 - across**2 / 2) * rise)
    return angle + _waves(pattern.orientation_waves, x, y)


def _half_turns(zeros: Points, poles: Points, x: Floats, y: Floats) -> Floats:
    """Half the direction from each zero, less half that from each pole: modulo π, so one arctangent does."""
    real, imaginary = np.ones(1, x.dtype), np.zeros(1, x.dtype)
    for points, sign in ((zeros, 1.0), (poles, -1.0)):
        for px, py in points:
            u, v = x - px, sign * (py - y)
            real, imaginary = real * u - imaginary * v, real * v + imaginary * u
    return np.arctan2(imaginary, real) / 2


def _parallel_legs(pattern: Pattern, x: Floats, y: Floats) -> Floats:
    """A correction in the manner of Vizcaya and Gerhardt (Pattern Recognition 29(7), 1996).

    Around a bare zero the orientation turns evenly, half as fast as the direction from the core; in a
    finger it hardly turns between the legs of a loop and faster over its top.
    """
    cx, cy = pattern.focus
    # A loop opens where the orientation (direction / 2 + the rest) equals the direction from the core.
    opening = 2.0 * _rest_at_focus(pattern)
    u, v = x - cx, cy - y
    # The sine of the angle from the opening to the direction from the core.
    turn = (math.cos(opening) * v - math.sin(opening) * u) / np.sqrt(np.maximum(u**2 + v**2, 1e-12))
    return pattern.leg * turn * _near(pattern.focus, pattern.leg_radius, x, y)


def _rings(pattern: Pattern, x: Floats, y: Floats) -> Floats:
    """The turn that makes the rings of a whorl close, or spiral as far as the pattern says."""
    # Rings around two cores close where the rest of the field is upright.
    excess = (_rest_at_focus(pattern) % math.pi) - math.pi / 2
    return (pattern.spiral - excess) * _near(pattern.focus, pattern.spiral_radius, x, y)


def _rest_at_focus(pattern: Pattern) -> float:
    """The field without its cores, in the middle of the pattern."""
    x, y = (np.array([value]) for value in pattern.focus)
    return float((_background(pattern, x, y) + _half_turns((), pattern.deltas, x, y))[0])


def _near(point: tuple[float, float], radius: float, x: Floats, y: Floats) -> Floats:
    # e^(a + b): of a grid, powers of as many numbers as a row and a column have.
    return np.exp((x - point[0]) ** 2 / (-2 * radius**2)) * np.exp((y - point[1]) ** 2 / (-2 * radius**2))


def _sigmoid(x: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-x))


def _waves(waves: tuple[Wave, ...], x: Floats, y: Floats) -> Floats:
    kx, ky, phase, amplitude = np.array(waves).T.reshape(4, -1, *[1] * x.ndim)
    # sin(a + b): of a grid, sines of as many numbers as a row and a column have.
    a, b = kx * x + phase, ky * y
    along_x = np.concatenate([amplitude * np.sin(a), amplitude * np.cos(a)])
    along_y = np.concatenate([np.cos(b), np.sin(b)])
    return np.einsum("k...,k...->...", along_x, along_y)
