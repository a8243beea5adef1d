"""Backends run a bundle's graphs; everything else of the runtime is the same NumPy for all of them."""

from .base import CALLS_IN_FLIGHT, PRECISIONS, Backend, Options, Precision
from .cores import usable_cores
from .device import cpu_name, describe_device
from .graphs import Floats
from .interruption import Interruption
from .registry import AUTO, BACKENDS, open_backend, unavailable

__all__ = [
    "AUTO",
    "BACKENDS",
    "CALLS_IN_FLIGHT",
    "PRECISIONS",
    "Backend",
    "Floats",
    "Interruption",
    "Options",
    "Precision",
    "cpu_name",
    "describe_device",
    "open_backend",
    "unavailable",
    "usable_cores",
]
