"""Kernels that Python calls by itself, not from a graph; they are part of libfingergen."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import C_API, status

_ARGUMENTS = {
    "fingergen_kernel_ridge_map": (
        ctypes.c_int,
        ctypes.c_double,
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_void_p,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_void_p,
        ctypes.c_void_p,
    )
}


def has_ridge_map() -> bool:
    """Whether `ridge_map` can be called: its library was built with this install."""
    return _function("fingergen_kernel_ridge_map") is not None


def ridge_map(
    width: int,
    ppi: float,
    places: NDArray[np.float64],
    types: NDArray[np.uint8],
    fields: NDArray[np.float32],
    size: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The ridge map that has a template's minutiae and no others; `ridge_map/` says how. It releases the GIL.

    Args:
        width: Pixels a side of the template's square field of view.
        ppi: Pixels per inch of it.
        places: (M, 3), x and y in pixels, angle in degrees.
        types: (M,), 1 for a ridge ending, 2 for a bifurcation, 0 where that is not known.
        fields: (4, C, C), what a network reads off the template: see `runtime.minutiae.raster.FIELDS`.
        size: Pixels a side of the result, divides by 32.

    Returns:
        Ridge map times contact, and mask of contact, (size, size) each.

    Raises:
        MemoryError: If there is too little memory.
    """
    function = _function("fingergen_kernel_ridge_map")
    assert function is not None
    places = np.ascontiguousarray(places, np.float64)
    types = np.ascontiguousarray(types, np.uint8)
    fields = np.ascontiguousarray(fields, np.float32)
    ridges, contact = np.empty((2, size, size), np.float32)
    into = (ridges.ctypes.data, contact.ctypes.data)
    given = (places.ctypes.data, types.ctypes.data, len(types), fields.ctypes.data, fields.shape[-1], size)
    if function(width, ppi, *given, *into):
        raise MemoryError
    return ridges, contact


@cache
def _function(name: str) -> Any:
    """A function of the library; None where that was not built, or is of an older version."""
    path = status(C_API).path
    if path is None:
        return None
    function = getattr(ctypes.CDLL(str(path)), name, None)
    if function is not None:
        function.argtypes, function.restype = _ARGUMENTS[name], ctypes.c_int
    return function
