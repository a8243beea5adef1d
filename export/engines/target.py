"""What engines are built with and for: asked and checked before any work."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fingergen import cpp_ops
from fingergen.runtime.backends import Precision, nvidia
from fingergen.runtime.backends.trt.flavors import FLAVORS, Flavor
from fingergen.runtime.errors import BadInput
from fingergen.runtime.files import user_cache

from .process import run_worker

EngineOps = Literal["auto", "plugin", "native"]
AUTO = "auto"
LARGEST_BATCH = 4096
# TensorRT-RTX 1.7 compiles no float32 matrix product for Turing, and our styles are float32 throughout.
UNSUITABLE = ("sm_75",)


@dataclass(frozen=True)
class EngineOptions:
    """What the user asks for.

    Attributes:
        precision: `fp32` or `fp16`.
        flavor: `tensorrt`, `tensorrt-rtx` or `auto`.
        batch: Smallest, best and largest batch, 1 to 4096.
        architectures: Of GPUs, such as `sm_89`; none: all that the flavor builds for.
        ops: `plugin` or `native` (standard operators) for our custom nodes; `auto`: the faster of the two,
            measured if there is a GPU, else standard operators.
        embed_plugins: Whether the plugin library goes into the engine file.
        timing_cache: A file that the builder reads and writes; None: one in the user's cache for TensorRT,
            none for TensorRT-RTX, which times nothing when it builds.
    """

    precision: Precision = "fp16"
    flavor: str = AUTO
    batch: tuple[int, int, int] = (1, 8, 64)
    architectures: tuple[str, ...] = ()
    ops: EngineOps = "auto"
    embed_plugins: bool = False
    timing_cache: Path | None = None


@dataclass(frozen=True)
class Target:
    """What options come to on this machine.

    Attributes:
        options: What was asked for.
        flavor: TensorRT or TensorRT-RTX.
        version: Its release.
        architectures: Of the GPUs that are built for.
        plugins: Our plugin library; None where it is not to be used.
        timing_cache: The file; None: none.
        measures: Whether engines are timed here, to choose.
    """

    options: EngineOptions
    flavor: Flavor
    version: str
    architectures: tuple[str, ...]
    plugins: Path | None
    timing_cache: Path | None
    measures: bool

    @property
    def description(self) -> str:
        """For people: flavor, version, architectures."""
        return f"{self.flavor.title} {self.version} for {', '.join(self.architectures)}"


def resolve(options: EngineOptions) -> Target:
    """What options come to on this machine.

    Args:
        options: What is asked for.

    Returns:
        The target of every engine.

    Raises:
        BadInput: The options cannot be met here; the message says what to do.
    """
    smallest, best, largest = options.batch
    if not 1 <= smallest <= best <= largest <= LARGEST_BATCH:
        raise BadInput(
            f"--batch {smallest},{best},{largest}: give the smallest, best and largest batch, in this order,"
            f" from 1 to {LARGEST_BATCH}"
        )
    flavor = choose_flavor(options.flavor)
    found = run_worker(flavor, {"command": "probe"})
    here = nvidia.architecture()
    architectures = _architectures(flavor, options.architectures, found["architectures"], here)
    timing_cache = options.timing_cache
    if timing_cache is None and flavor.target_by_gpu:
        timing_cache = user_cache() / f"{flavor.name}-{found['version']}-{here}.timing"
    elif timing_cache is not None:
        _make_folder(timing_cache.parent)
    return Target(
        options=options,
        flavor=flavor,
        version=found["version"],
        architectures=architectures,
        plugins=_plugins(options),
        timing_cache=timing_cache,
        measures=options.ops == "auto" and here in architectures,
    )


def choose_flavor(name: str) -> Flavor:
    """The flavor `name`; `auto`: TensorRT where it is installed and there is a GPU, else TensorRT-RTX, which
    needs none to build. `BadInput` says what to install.
    """
    tensorrt, rtx = FLAVORS["tensorrt"], FLAVORS["tensorrt-rtx"]
    has_gpu = nvidia.architecture() is not None
    if name == AUTO:
        candidates = [tensorrt, rtx] if has_gpu else [rtx]
        found = next((each for each in candidates if each.module), None)
        if found is None:
            installs = f"`{rtx.install}`" + (f" or `{tensorrt.install}`" if has_gpu else "")
            raise BadInput(f"--engine: neither flavor of TensorRT can build here: {installs}")
        return found
    flavor = FLAVORS[name]
    if flavor.module is None:
        raise BadInput(f"--flavor {name}: {flavor.title} is not installed: `{flavor.install}`")
    if flavor.target_by_gpu and not has_gpu:
        raise BadInput(
            f"--flavor {name}: {flavor.title} builds on the GPU that the engine is for, and finds none here;"
            f" build there, or with --flavor {rtx.name} (`{rtx.install}`)"
        )
    return flavor


def _architectures(
    flavor: Flavor, asked: tuple[str, ...], offered: list[str], here: str | None
) -> tuple[str, ...]:
    if flavor.target_by_gpu and here:
        offered = [here]
    else:
        offered = [architecture for architecture in offered if architecture not in UNSUITABLE]
    for architecture in asked:
        if architecture not in offered:
            raise BadInput(f"--gpu {architecture}: {flavor.title} builds for {', '.join(offered)} here")
    return asked or tuple(offered)


def _make_folder(folder: Path) -> None:
    """Of the timing cache; `BadInput` where it cannot be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"--timing-cache: {folder}: {error.strerror}") from None
    if not os.access(folder, os.W_OK):
        raise BadInput(f"--timing-cache: {folder}: cannot be written to")


def _plugins(options: EngineOptions) -> Path | None:
    if options.ops == "native":
        if options.embed_plugins:
            raise BadInput("--embed-plugins: there are none with --ops native")
        return None
    try:
        return cpp_ops.library("tensorrt")
    except cpp_ops.LibraryNotBuilt as error:
        if options.ops == "auto":
            return None
        raise BadInput(f"--ops plugin: {error}") from None
