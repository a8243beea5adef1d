"""From a template, and the fields that a network reads off it, to a ridge map with these minutiae.

The kernel `cpp_ops/ridge_map` does it where it was built, in about a third of the time; what is here, in
`phase` and in `multigrid` is its reference, which it agrees with to a few thousandths.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fingergen.cpp_ops import kernels

from ...arguments import AnyFloats as Floats
from ...minutiae import PPI, MinutiaType, Template
from ...minutiae.raster import LOG_SCALE, PERIOD
from .phase import phase

_UNTOUCHED = 0.03  # weight of the fields where there is no contact, beside 1 where there is
_SHARPNESS = 4  # of the edge of contact
_STEEPNESS = 2.0  # of the profile of ridges, as grown ones have it


_TYPES = {MinutiaType.OTHER: 0, MinutiaType.ENDING: 1, MinutiaType.BIFURCATION: 2}  # of the kernel


class Reconstruction(NamedTuple):
    """What a template's finger left, as a generator with ridge noise takes it."""

    ridges: NDArray[np.float32]  # (S, S), -1 in a valley … 1 on a ridge, times contact
    contact: NDArray[np.float32]  # (S, S), 0 … 1


def reconstruct_ridges(template: Template, fields: Floats, size: int) -> Reconstruction:
    """The ridge map that has a template's minutiae and no others.

    Args:
        template: Of a square field of view.
        fields: (FIELDS, C, C), at the centers of cells; see `minutiae.raster.FIELDS`.
        size: Pixels a side of the result, which shows the field of view; divides by 32.

    Returns:
        The ridge map and the mask of contact.
    """
    if not kernels.has_ridge_map():
        return reference_ridges(template, fields, size)
    places = np.array([(m.x, m.y, m.angle) for m in template.minutiae], np.float64).reshape(-1, 3)
    types = np.array([_TYPES[m.type] for m in template.minutiae], np.uint8)
    return Reconstruction(*kernels.ridge_map(template.width, template.ppi, places, types, fields, size))


def reference_ridges(template: Template, fields: Floats, size: int) -> Reconstruction:
    """The same as `reconstruct_ridges`, computed by NumPy alone."""
    scale = size / template.width
    twice_cos, twice_sin, log_period, contact = (enlarge(field, size) for field in fields)
    # The network's mean over all outlines that there might be is softer than any of them.
    contact = contact**_SHARPNESS / (contact**_SHARPNESS + (1 - contact) ** _SHARPNESS)
    orientation = 0.5 * np.arctan2(twice_sin, twice_cos)
    period = PERIOD * np.exp(log_period / LOG_SCALE) * scale * template.ppi / PPI
    xy = np.array([(m.x, m.y) for m in template.minutiae], np.float64).reshape(-1, 2)
    xy = (xy + 0.5) * scale - 0.5
    angle = np.radians(np.array([m.angle for m in template.minutiae], np.float64))
    ending = np.array([m.type is MinutiaType.ENDING for m in template.minutiae], bool)
    typed = np.array([m.type is not MinutiaType.OTHER for m in template.minutiae], bool)
    weight = _UNTOUCHED + (1 - _UNTOUCHED) * contact
    wave = np.cos(phase(orientation, period, xy, angle, ending, typed, weight))
    ridges = np.tanh(_STEEPNESS * wave) / math.tanh(_STEEPNESS)
    return Reconstruction((ridges * contact).astype(np.float32), contact.astype(np.float32))


def enlarge(field: Floats, size: int) -> Floats:
    """A square field (C, C) at the centers of `size` by `size` pixels: bilinear, constant at the border."""
    cells = field.shape[0]
    at = np.clip((np.arange(size) + 0.5) * cells / size - 0.5, 0, cells - 1)
    low = np.minimum(at.astype(int), cells - 2)
    part = (at - low)[:, None]
    rows = (1 - part) * field[low] + part * field[low + 1]
    return (1 - part.T) * rows[:, low] + part.T * rows[:, low + 1]
