"""Names that a package imports when they are first asked for, so that a start takes no more than it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def imported_when_asked(package: str, places: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """The `__getattr__` of a package (PEP 562).

    Args:
        package: Its `__name__`.
        places: Module of the package → names that it defines.

    Returns:
        A function of a name that imports its module and gives what it stands for.
    """
    place_of = {name: place for place, names in places.items() for name in names}

    def get(name: str) -> Any:
        if name not in place_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{place_of[name]}"), name)

    return get
