"""How an impression looks: what skin and sensor do to it, as a vector of standard normal numbers.

The vector is the beginning of the latent z of a generator that learned from these impressions: so its looks
vary as widely as theirs, and each number has a name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...arguments import Floats
from .parameters import Capture

LOOK = 16
"""Numbers of a look; those after the ones that `EFFECTS` names have no effect so far."""

EXTREME = 2.5
"""Largest magnitude of a number that `look_of` gives: a generator has seen few beyond."""

_HALVINGS = 24  # of the range of a number, so that its error is below that of float32


def _uniform(low: float, high: float) -> Callable[[float], float]:
    """A standard normal number as one that is uniform."""
    return lambda number: low + (high - low) * 0.5 * (1.0 + math.erf(number / math.sqrt(2.0)))


def _normal(mean: float, deviation: float, low: float, high: float) -> Callable[[float], float]:
    return lambda number: min(max(mean + deviation * number, low), high)


def _log_normal(median: float, octaves: float, most: float) -> Callable[[float], float]:
    return lambda number: min(median * 2.0 ** (octaves * number), most)


EFFECTS: Mapping[str, Callable[[float], float]] = {
    "pressure": _normal(0.05, 0.42, -1.0, 1.0),
    "moisture": _normal(-0.1, 0.38, -1.0, 1.0),
    "unevenness": _log_normal(0.18, 0.7, 0.6),
    "blotches": _log_normal(0.07, 1.0, 0.4),
    "sharpness": _log_normal(3.2, 0.45, 8.0),
    "paper": lambda number: 1.0 - 0.4 * _uniform(0.0, 1.0)(-number) ** 2,
    "ink": lambda number: 0.02 + 0.45 * _uniform(0.0, 1.0)(-number) ** 1.5,
    "gamma": _log_normal(1.0, 0.35, 2.0),
    "noise": lambda number: _log_normal(3.5, 0.9, 20.0)(number) / 255.0,
    "background": lambda number: _log_normal(2.5, 1.3, 24.0)(number) / 255.0,
    "fading": _log_normal(0.9, 0.8, 3.0),
    "film": lambda number: 0.4 * _uniform(0.0, 1.0)(number) ** 2,
    "stains": lambda number: _log_normal(1.5, 1.4, 18.0)(number) / 255.0,
    "vignette": lambda number: 0.3 * _uniform(0.0, 1.0)(number) ** 3,
}
"""What each number of a look decides on, in its order: field of `Capture` → its value.

A larger number: firmer, wetter, more uneven, more blotches, sharper, brighter paper, darker ink, darker tone,
noisier, an uneven background, fainter at the edge, darker valleys, more stains, darker corners."""


def with_look(capture: Capture, look: Floats) -> Capture:
    """A capture that looks otherwise.

    Args:
        capture: What was drawn.
        look: float32 (LOOK,), standard normal numbers.

    Returns:
        The capture with the same placement, distortion and contact and with that look.
    """
    numbers = zip(EFFECTS.items(), look.tolist(), strict=False)
    changes: dict[str, Any] = {name: effect(number) for (name, effect), number in numbers}
    return replace(capture, **changes)


def traits_of(capture: Capture) -> dict[str, float]:
    """What a look decides on, by the names of EFFECTS."""
    return {name: getattr(capture, name) for name in EFFECTS}


def look_of(traits: Mapping[str, float], names: Sequence[str]) -> Floats:
    """Which look has such traits, the reverse of `with_look`.

    Args:
        traits: Values by the names of EFFECTS.
        names: Of the numbers that are asked for, keys of EFFECTS.

    Returns:
        float32, one number per name, -EXTREME to EXTREME.
    """
    return np.array([_number(EFFECTS[name], traits[name]) for name in names], np.float32)


def _number(effect: Callable[[float], float], value: float) -> float:
    """The number whose effect, a monotone function, is `value`; else that of the nearer end."""
    low, high = -EXTREME, EXTREME
    rises = effect(high) > effect(low)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if (effect(middle) < value) == rises:
            low = middle
        else:
            high = middle
    return (low + high) / 2
