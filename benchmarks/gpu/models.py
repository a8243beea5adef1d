"""The networks that other sections run: checkpoints with random weights, and their bundles."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from fingergen import export, training
from fingergen.export.exporter import Options, export_bundle
from fingergen.runtime.bundle import read_bundle
from fingergen.runtime.errors import FingerGenError
from fingergen.training.checkpoints import save_generator
from fingergen.training.networks import Generator

from ..speed.workload import Workload
from .page import Check, Item, guarded
from .settings import Deadline, Settings

CHECK_SEEDS = 2  # few: float16 is checked by what the GPU makes of it
NOISE_STRENGTH = 0.1  # of random weights; training begins with 0, and then noise would not be checked


def run(settings: Settings, deadline: Deadline) -> Iterator[Item]:
    """Export every network that is not exported yet, with float16 graphs."""
    for name in settings.networks:
        yield from guarded(f"{name} model", _export, settings, name)


def checkpoint(settings: Settings, name: str) -> Path:
    """The file of a network; one with random weights is made where it is not there."""
    given = settings.networks[name]
    if isinstance(given, Path):
        return given
    path = settings.work / f"{name}.pt"
    if not path.exists():
        torch.manual_seed(0)
        network = Generator(**given)
        for parameter_name, parameter in network.named_parameters():
            if parameter_name.endswith("noise.weight"):
                parameter.data.fill_(NOISE_STRENGTH)
        save_generator(path, g_ema=network)
    return path


def workload(settings: Settings, name: str) -> Workload:
    """The bundle of a network, which `run` has exported."""
    path = _folder(settings, name)
    if not path.exists():
        raise FingerGenError(f"the {name} model was not exported: see the section models")
    return Workload(read_bundle(path), checkpoint=checkpoint(settings, name))


def _export(settings: Settings, name: str) -> Iterator[Item]:
    out = _folder(settings, name)
    if out.exists():
        yield Check(f"{name} model", f"exported before: {out.name}", True)
        return
    began = time.perf_counter()
    options = Options(name=name, precision="fp16", check_seeds=CHECK_SEEDS)
    manifest = export_bundle([checkpoint(settings, name)], out, options)
    seconds = time.perf_counter() - began
    size = manifest.architecture.resolution
    yield Check(f"{name} model", f"{size} pixels, exported in {seconds:.0f} s: {out.name}", True)


def _folder(settings: Settings, name: str) -> Path:
    """Another one for other weights, and for other code that exports them."""
    digest = hashlib.sha256(checkpoint(settings, name).read_bytes())
    for package in (export, training):
        for folder in package.__path__:
            for source in sorted(Path(folder).rglob("*.py")):
                digest.update(source.read_bytes())
    return settings.work / f"{name}-{digest.hexdigest()[:12]}"
