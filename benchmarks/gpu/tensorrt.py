"""What each flavor of TensorRT that is installed says of this GPU, and how its engines do."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from fingergen.export.engines import EngineOptions, add_engines
from fingergen.export.engines.process import run_worker
from fingergen.runtime.backends import nvidia
from fingergen.runtime.backends.trt.flavors import FLAVORS, Flavor
from fingergen.runtime.bundle import read_bundle
from fingergen.runtime.errors import BadInput, FingerGenError

from ..speed.executors import CPU
from ..speed.workload import Workload
from . import models
from .backends import backend_checks
from .page import Check, Item, guarded
from .settings import Deadline, Settings

BATCH = (1, 8, 64)
TRIALS: dict[str, dict[str, tuple[str, ...]]] = {
    "tensorrt": {"an engine for this GPU": ()},
    # It compiles for the GPU that is there, or leaves that to the machine that runs.
    "tensorrt-rtx": {"an engine for the current GPU": ("CURRENT",), "an engine for no GPU in particular": ()},
}


def run(settings: Settings, deadline: Deadline) -> Iterator[Item]:
    """TensorRT, TensorRT-RTX, and TensorRT within ONNX Runtime; with the first of the networks."""
    name = next(iter(settings.networks))
    workload = models.workload(settings, name)
    for flavor in FLAVORS.values():
        yield from guarded(flavor.title, flavor_checks, flavor, workload, settings, deadline)
    if deadline.left:
        names = (CPU, "onnxruntime-tensorrt")
        yield from guarded(names[1], backend_checks, workload, names, settings, deadline.left / 2)


def flavor_checks(
    flavor: Flavor, workload: Workload, settings: Settings, deadline: Deadline
) -> Iterator[Item]:
    """Its own words on building for this GPU; then engines of all graphs, run and compared."""
    if flavor.module is None:
        yield Check(flavor.title, f"not installed: {flavor.install}", None)
        return
    here = nvidia.architecture()
    version = flavor.version() or "version unknown"
    for trial, answer in answers(flavor, workload).items():
        what = f"{flavor.title} {version}, {trial}, {here or 'no GPU'}"
        yield Check(what, answer or "built and loaded", None if answer else True)
    what = f"{flavor.title} {version}, engines, {here or 'no GPU'}"
    out = settings.work / f"{workload.bundle.path.name}-{flavor.name}"
    options = EngineOptions(
        precision="fp16", flavor=flavor.name, batch=BATCH, architectures=(here,) if here else ()
    )
    try:
        add_engines(workload.bundle.path, out, options, overwrite=True)
    except FingerGenError as error:
        yield Check(what, str(error), None if isinstance(error, BadInput) else False)
        return
    yield Check(what, f"built: {out.name}", True)
    with_engines = Workload(read_bundle(out), checkpoint=workload.checkpoint)
    yield from backend_checks(with_engines, (CPU, "tensorrt"), settings, deadline.left / 3)


def answers(flavor: Flavor, workload: Workload) -> dict[str, str]:
    """Trial → what the flavor says against it, in its own words; empty where it builds and loads an engine.

    Of the mapping network, which is small, and what has to be said of a GPU is said of any graph.
    """
    said = {}
    architecture = workload.bundle.manifest.architecture
    with tempfile.TemporaryDirectory() as folder:
        asked = {
            "command": "attempt",
            "model": str(workload.bundle.file(workload.bundle.manifest.graphs.mapping)),
            "engine": str(Path(folder) / "engine"),
            "profile": {"z": [[batch, architecture.style_dim] for batch in BATCH]},
            "plugins": None,
            "embed": False,
            "timing_cache": None,
            "measure": False,
        }
        for trial, architectures in TRIALS[flavor.name].items():
            try:
                said[trial] = run_worker(flavor, asked | {"architectures": architectures})["said"]
            except FingerGenError as error:
                said[trial] = str(error)
    return said
