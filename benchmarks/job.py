"""What is timed: float32 arrays in, float32 images out, alike for us and for every peer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fingergen.runtime import seeds
from fingergen.runtime.bundle import Bundle
from fingergen.runtime.errors import BadInput
from fingergen.runtime.latents import per_layer
from fingergen.runtime.manifest import GraphName

Floats = NDArray[np.float32]
Task = Literal["synthesis", "reconstruction"]
TASKS: tuple[Task, ...] = get_args(Task)


@dataclass(frozen=True)
class Job:
    """`synthesis`: z → image, by mapping and synthesis. `reconstruction`: minutiae map → image, by encoder
    and decoder. Both with the stored noise.

    `checkpoint`: the file that the bundle was exported from, for peers that cannot run a bundle.
    """

    bundle: Bundle
    task: Task = "synthesis"
    checkpoint: Path | None = None

    def __post_init__(self) -> None:
        if self.task == "reconstruction" and self.bundle.manifest.encoder is None:
            raise BadInput(f"{self.bundle.path}: this bundle has no encoder; it cannot reconstruct")

    def inputs(self, batch: int) -> Floats:
        """The first `batch` inputs, always the same: z (N, style_dim), or maps (N, 3, S, S) in [0, 1]."""
        manifest = self.bundle.manifest
        if manifest.encoder is None or self.task == "synthesis":
            return np.stack([seeds.z(seed, manifest.architecture.style_dim) for seed in range(batch)])
        shape = (3, manifest.encoder.input_size, manifest.encoder.input_size)
        (maps,) = zip(*(seeds.noise(seed, [shape]) for seed in range(batch)), strict=True)
        return np.stack(maps).clip(0, 1)

    def graphs(self) -> tuple[GraphName, GraphName]:
        """The graph that gives w, and the one that gives the image."""
        if self.task == "synthesis":
            return "mapping", "synthesis"
        return "encoder", "decoder" if self.bundle.manifest.graphs.decoder else "synthesis"


@dataclass(frozen=True)
class Runner:
    """One way to do a job: `run` takes `Job.inputs` and gives images (N, C, R, R), float32, on the host.

    `description`: one line for people. `comparable`: False where the weights are not the bundle's.
    """

    run: Callable[[Floats], Floats]
    description: str
    comparable: bool = True
    close: Callable[[], None] = lambda: None


def run_graphs(job: Job, run: Callable[[GraphName, dict[str, Floats]], Floats]) -> Callable[[Floats], Floats]:
    """`Runner.run` of an engine that runs the bundle's graphs: `run` takes a graph's inputs by name."""
    first, second = job.graphs()
    architecture, latents = job.bundle.manifest.architecture, job.bundle.latents
    own = latents.decoder_noise if second == "decoder" else None
    noise: Sequence[Floats] = own or latents.noise
    buffers = {f"noise_{i}": buffer for i, buffer in enumerate(noise)}
    input_name = "z" if first == "mapping" else "map"

    def run_both(x: Floats) -> Floats:
        w = run(first, {input_name: x})
        return run(second, {"w": per_layer(w, architecture.num_ws, architecture.style_dim), **buffers})

    return run_both


def graph_file(job: Job, graph: GraphName) -> Path:
    """The ONNX file of a graph that the bundle has."""
    return job.bundle.file(getattr(job.bundle.manifest.graphs, graph))
