"""What is timed: float32 arrays in, float32 images out, alike for us and for every baseline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, get_args

import numpy as np

from fingergen.runtime import seeds
from fingergen.runtime.backends import Backend, Floats, Options
from fingergen.runtime.bundle import Bundle
from fingergen.runtime.bundle.manifest import GraphName
from fingergen.runtime.errors import BadInput
from fingergen.runtime.model import Model

Task = Literal["synthesis", "reconstruction"]
TASKS: tuple[Task, ...] = get_args(Task)


@dataclass(frozen=True)
class Workload:
    """What is timed, with the stored noise: networks alone, also of a bundle whose noise carries fingers.

    Attributes:
        bundle: to run.
        task: `synthesis`, z → image by mapping and synthesis; or `reconstruction`, minutiae map → image by
            encoder and decoder.
        checkpoint: the file that the bundle was exported from, for baselines that cannot run a bundle.
    """

    bundle: Bundle
    task: Task = "synthesis"
    checkpoint: Path | None = None

    def __post_init__(self) -> None:
        if self.task == "reconstruction" and self.bundle.manifest.encoder is None:
            raise BadInput(f"{self.bundle.path}: no encoder of minutiae maps, which is what is timed")

    def inputs(self, batch: int) -> Floats:
        """The first `batch` inputs, always the same: z (N, style_dim), or maps (N, 3, S, S) in [0, 1]."""
        manifest = self.bundle.manifest
        if manifest.encoder is None or self.task == "synthesis":
            return np.stack([seeds.z(seed, manifest.architecture.style_dim) for seed in range(batch)])
        shape = (3, manifest.encoder.input_size, manifest.encoder.input_size)
        (maps,) = zip(*(seeds.noise(seed, [shape]) for seed in range(batch)), strict=True)
        return np.stack(maps).clip(0, 1)

    def graphs(self) -> dict[GraphName, Path]:
        """The ONNX files of the two graphs that do it: what gives w, and what gives images."""
        graphs = self.bundle.manifest.graphs
        names: tuple[GraphName, GraphName] = ("mapping", "synthesis")
        if self.task == "reconstruction":
            names = ("encoder", "decoder" if graphs.decoder else "synthesis")
        return {name: self.bundle.file(getattr(graphs, name)) for name in names}


class BaselineBackend(Backend):
    """Other software that runs the bundle's graphs: opened by its baseline, not by name."""

    batch = 1

    @classmethod
    def unavailable(cls, bundle: Bundle, options: Options) -> None:
        """Returns None: the baseline has been asked."""

    @classmethod
    def open(cls, bundle: Bundle, options: Options) -> Self:
        raise NotImplementedError(f"{cls.name}: opened by its baseline")


@dataclass(frozen=True)
class Runner:
    """An executor, ready to run.

    Attributes:
        run: `Workload.inputs` → images (N, C, R, R), float32, nominally in [-1, 1], on the host.
        description: one line for the report.
        comparable: False if the weights are not the bundle's.
        close: releases what it holds.
    """

    run: Callable[[Floats], Floats]
    description: str
    comparable: bool = True
    close: Callable[[], None] = lambda: None

    @staticmethod
    def of_backend(workload: Workload, backend: Backend) -> Runner:
        """With what runs the bundle's graphs."""
        model = Model(workload.bundle, backend)
        if workload.task == "synthesis":
            return Runner(
                lambda z: model.generate(model.map(z), noise="const"), backend.description, close=model.close
            )
        return Runner(
            lambda maps: model.generate(backend.encode(maps)), backend.description, close=model.close
        )
