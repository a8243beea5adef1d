"""Checks of what callers pass: a wrong type is one line that names the argument, and no traceback."""

from __future__ import annotations

import math
import operator
import os
import reprlib
from collections.abc import Collection, Iterable, Sequence, Sized
from enum import StrEnum
from numbers import Real
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .errors import BadInput

Floats = NDArray[np.float32]
AnyFloats = NDArray[np.floating]  # float32 or float64
Member = TypeVar("Member", bound=StrEnum)


def check_finite(name: str, value: Any) -> None:
    """`BadInput` unless `value` is a number that float32 can hold."""
    if not isinstance(value, Real) or isinstance(value, bool) or not _is_finite(value):
        raise BadInput(f"{name}: {value!r}; must be a finite number")


def check_whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    """`value` as a Python int; `BadInput` unless it is an integer in [least, most]."""
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    # True is an integer to Python, and a slip to everybody else.
    if isinstance(value, bool) or number < least or (most is not None and number > most):
        span = f"from {least}" if most is None else f"from {least} to {most}"
        raise BadInput(f"{name}: {value!r}; must be a whole number {span}")
    return number


def check_type(name: str, value: Any, kinds: type | tuple[type, ...], give: str) -> None:
    """`BadInput` unless `value` is of one of `kinds`, which are `give` in words."""
    if not isinstance(value, kinds):
        raise BadInput(f"{name}: {reprlib.repr(value)}; give {give}")


def check_path(value: Any) -> None:
    """`BadInput` unless `value` names a file."""
    check_type("path", value, (str, os.PathLike), "the path of a file")


def check_choice(name: str, value: Any, choices: Collection[Any]) -> None:
    """`BadInput` unless `value` is one of `choices`."""
    try:
        known = value in list(choices)
    except (TypeError, ValueError):  # an array is equal to nothing in particular
        known = False
    if not known:
        raise BadInput(f"{name} {reprlib.repr(value)}: choose {', '.join(map(str, choices))}")


def to_member(name: str, value: Any, choices: type[Member]) -> Member | None:
    """The one of `choices` that `value` is or names; None for None; `BadInput` for anything else."""
    if value is None:
        return None
    check_choice(name, value, list(choices))
    return choices(value)


def check_iterable(name: str, values: Any, of: str = "integers, such as [7] or range(10)") -> None:
    """`BadInput` unless one can iterate over `values`, which may not be a text or a mapping."""
    if isinstance(values, str | bytes | dict) or not isinstance(values, Iterable) or _has_no_axis(values):
        raise BadInput(f"{name}: {values!r}; give {of}")


def check_one_per_image(name: str, values: Any, images: int) -> Sequence[Any]:
    """`values`; `BadInput` unless there are as many as images."""
    if values is None or isinstance(values, str | bytes | dict) or not isinstance(values, Sized):
        raise BadInput(f"{name}: give one seed per image ({images})")
    if _has_no_axis(values) or len(values) != images:
        raise BadInput(f"{name}: give one seed per image ({images})")
    return values  # type: ignore[return-value]


def to_floats(name: str, values: Any) -> Floats:
    """`values` as a float32 array; `BadInput` if they are no numbers."""
    try:
        if isinstance(values, str | bytes):
            raise TypeError
        return np.asarray(values, np.float32)
    except (TypeError, ValueError, OverflowError):
        raise BadInput(f"{name}: {type(values).__name__}; must be an array of numbers") from None


def _is_finite(value: Any) -> bool:
    try:
        with np.errstate(over="ignore"):
            return math.isfinite(np.float32(float(value)))
    except OverflowError:  # a long integer
        return False


def _has_no_axis(values: Any) -> bool:
    return isinstance(values, np.ndarray) and values.ndim == 0
