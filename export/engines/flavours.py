"""The two flavours of TensorRT that build engines, and what is installed of them."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fingergen.runtime.errors import BadInput

from . import gpu


@dataclass(frozen=True)
class Flavour:
    """`modules`: import names, the first that is installed serves; `libraries`: the package with the shared
    libraries, absent where they come with the system; `target_by_gpu`: it builds on a GPU, for that GPU.
    """

    name: str
    title: str
    modules: tuple[str, ...]
    libraries: str
    install: str
    target_by_gpu: bool

    @property
    def module(self) -> str | None:
        """Import name of the Python bindings; None if they are not installed."""
        return next((name for name in self.modules if importlib.util.find_spec(name)), None)

    @property
    def library_folder(self) -> Path | None:
        spec = importlib.util.find_spec(self.libraries)
        return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


FLAVOURS: Mapping[str, Flavour] = {
    flavour.name: flavour
    for flavour in (
        Flavour(
            name="tensorrt",
            title="TensorRT",
            modules=("tensorrt", "tensorrt_bindings"),
            libraries="tensorrt_libs",
            install="pip install tensorrt",
            target_by_gpu=True,
        ),
        Flavour(
            name="tensorrt-rtx",
            title="TensorRT-RTX",
            modules=("tensorrt_rtx", "tensorrt_rtx_bindings"),
            libraries="tensorrt_rtx_libs",
            install="pip install tensorrt-rtx-cu13",
            target_by_gpu=False,
        ),
    )
}
AUTO = "auto"


def choose(name: str) -> Flavour:
    """The flavour `name`; `auto`: TensorRT where it is installed and there is a GPU, else TensorRT-RTX, which
    needs none to build. `BadInput` says what to install.
    """
    tensorrt, rtx = FLAVOURS["tensorrt"], FLAVOURS["tensorrt-rtx"]
    has_gpu = gpu.architecture() is not None
    if name == AUTO:
        candidates = [tensorrt, rtx] if has_gpu else [rtx]
        found = next((each for each in candidates if each.module), None)
        if found is None:
            installs = f"`{rtx.install}`" + (f" or `{tensorrt.install}`" if has_gpu else "")
            raise BadInput(f"--engine: neither flavour of TensorRT can build here: {installs}")
        return found
    flavour = FLAVOURS[name]
    if flavour.module is None:
        raise BadInput(f"--flavor {name}: {flavour.title} is not installed: `{flavour.install}`")
    if flavour.target_by_gpu and not has_gpu:
        raise BadInput(
            f"--flavor {name}: {flavour.title} builds on the GPU that the engine is for, and finds none here;"
            f" build there, or with --flavor {rtx.name} (`{rtx.install}`)"
        )
    return flavour
