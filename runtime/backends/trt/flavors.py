"""The two flavors of TensorRT, and what is installed of them."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import NamedTuple


class Flavor(NamedTuple):
    """`modules`: import names of the bindings, the first that is installed serves; `libraries`: the package
    with the shared libraries, absent where they come with the system; `package`: pip's; `target_by_gpu`: it
    builds on a GPU, for that GPU.
    """

    name: str
    title: str
    modules: tuple[str, ...]
    libraries: str
    package: str
    target_by_gpu: bool

    @property
    def module(self) -> str | None:
        """Import name of the bindings; None if they are not installed."""
        return next((name for name in self.modules if importlib.util.find_spec(name)), None)

    @property
    def install(self) -> str:
        """The command that installs it."""
        return f"pip install {self.package}"

    @property
    def library_folder(self) -> Path | None:
        """Where pip put the shared libraries."""
        spec = importlib.util.find_spec(self.libraries)
        return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None

    def version(self) -> str | None:
        """Version of the bindings; None if they are not installed, or do not find their libraries."""
        try:
            return import_module(self.module).__version__ if self.module else None
        except (ImportError, OSError):
            return None


FLAVORS: Mapping[str, Flavor] = {
    flavor.name: flavor
    for flavor in (
        Flavor(
            name="tensorrt",
            title="TensorRT",
            modules=("tensorrt", "tensorrt_bindings"),
            libraries="tensorrt_libs",
            package="tensorrt",
            target_by_gpu=True,
        ),
        Flavor(
            name="tensorrt-rtx",
            title="TensorRT-RTX",
            modules=("tensorrt_rtx", "tensorrt_rtx_bindings"),
            libraries="tensorrt_rtx_libs",
            package="tensorrt-rtx-cu13",
            target_by_gpu=False,
        ),
    )
}
