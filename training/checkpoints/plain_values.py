"""Plain values of NumPy and pathlib in checkpoints, rebuilt without NumPy's and pathlib's pickle support.

Published checkpoints keep options as `argparse.Namespace`s with NumPy scalars, paths and small arrays. A
pickle rebuilds those by calling functions by name. PyTorch's restricted unpickler calls the functions of
`STAND_INS` instead, which put together a number, a text or a tensor and can do nothing else.
"""

import argparse
import math
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np
import torch

PLAIN_TYPE = re.compile(r"[biufc?]\d{0,2}|[SU]\d{1,6}")  # NumPy's names of booleans, numbers and texts


class NotPlain(ValueError):
    """A value that is neither a number nor text, which the message names."""


class DType:
    """Stands in for `numpy.dtype`: the name of a plain type, and its byte order."""

    def __init__(self, name: str, align: bool = False, copy: bool = True) -> None:
        if not isinstance(name, str) or not PLAIN_TYPE.fullmatch(name):
            raise NotPlain(f"NumPy values of type {name!r}")
        self._name = name
        self._order: Literal["<", ">", "="] = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._order = state[1] if state[1] in ("<", ">") else "="

    @property
    def type(self) -> np.dtype[Any]:
        """The NumPy type that the file names, in its byte order."""
        return np.dtype(self._name).newbyteorder(self._order)


class Array:
    """Stands in for `numpy.ndarray`, until `plain` takes its tensor, or its list of texts."""

    values: torch.Tensor | list[Any] = torch.empty(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, is_fortran, data = state
        values = np.frombuffer(data, dtype.type)
        if math.prod(shape) != values.size:
            raise ValueError(f"an array of shape {shape} with {values.size} values")
        values = values.reshape(shape, order="F" if is_fortran else "C")
        if values.dtype.kind in "SU":
            self.values = values.tolist()
        else:
            self.values = torch.from_numpy(np.array(values, values.dtype.newbyteorder("="), order="C"))


def _array(*_: Any) -> Array:
    """For `numpy._core.multiarray._reconstruct`, which makes an empty array to be filled."""
    return Array()


def _scalar(dtype: DType, data: bytes) -> Any:
    """For `numpy._core.multiarray.scalar`: the number or text in Python's own type."""
    return np.frombuffer(data, dtype.type, count=1)[0].item()


def _path(*parts: str) -> str:
    """For classes of `pathlib`: the path as text."""
    return str(PurePosixPath(*parts)) if parts else "."


class Version(str):
    """Stands in for the class of `torch.__version__`."""


def _time(*parts: Any) -> str:
    """For `datetime.datetime`: the time as text."""
    return datetime(*parts).isoformat()


STAND_INS: list[tuple[Callable[..., Any], str]] = [
    (Array, "numpy.ndarray"),
    (DType, "numpy.dtype"),
    (Version, "torch.torch_version.TorchVersion"),
    (_time, "datetime.datetime"),
    *((_array, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
    *((_scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *(
        (_path, f"{module}.{name}")
        for module in ("pathlib", "pathlib._local")
        for name in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath", "Path", "PurePath")
    ),
]
"""What PyTorch's unpickler takes for each name (see `torch.serialization.safe_globals`)."""


def plain(value: Any) -> Any:
    """`value` with the tensor or list of every `Array` in its place, within containers and namespaces."""
    if isinstance(value, Array):
        return value.values
    if isinstance(value, argparse.Namespace):
        return argparse.Namespace(**{str(key): plain(each) for key, each in vars(value).items()})
    if isinstance(value, Mapping):
        items = {key: plain(each) for key, each in value.items()}
        return OrderedDict(items) if isinstance(value, OrderedDict) else items
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return type(value)(map(plain, value))
    return value
