"""Ways to run a generator's synthesis in float16, all from styles to images on the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fingergen.runtime.backends.graphs import Inputs, graph_files, synthesis_inputs
from fingergen.runtime.backends.ort.gpu import CUDA_PROVIDER, cuda_options, preload_libraries
from fingergen.runtime.backends.ort.library import onnxruntime
from fingergen.runtime.backends.ort.sessions import (
    CPU_PROVIDER,
    Providers,
    Sessions,
    cuda_ops_library,
    ops_library,
)
from fingergen.runtime.bundle.manifest import GraphName
from fingergen.runtime.errors import BadInput
from fingergen.training.checkpoints import load_generator
from fingergen.training.networks import Generator
from fingergen.training.networks.precision import Precision

from ..speed.baselines.published import as_published
from ..speed.workload import Floats, Job

ALL_RESOLUTIONS = 99
HALF = Precision(torch.float16, ALL_RESOLUTIONS)
WARM_UP = 3  # calls before a capture


class CannotRun(Exception):
    """A way is not for this machine; the message says why."""


@dataclass
class Bound:
    """A way, ready for one batch: `run` computes it and waits for it, `images` are those of the last run."""

    run: Callable[[], object]
    images: Callable[[], Floats]


@dataclass
class Task:
    """What is to be computed, and where."""

    job: Job
    device: str
    generator: Generator = field(init=False)

    def __post_init__(self) -> None:
        assert self.job.checkpoint is not None
        self.generator = (
            load_generator(self.job.checkpoint).g_ema.to(self.device).eval().requires_grad_(False)
        )

    @property
    def on_gpu(self) -> bool:
        return self.device == "cuda"

    @torch.inference_mode()
    def styles(self, batch: int) -> Tensor:
        """w (N, num_ws, style_dim) of the job's inputs."""
        w = self.generator.map(torch.from_numpy(self.job.inputs(batch)).to(self.device))
        return w[:, None].repeat(1, self.generator.num_ws, 1)

    def inputs(self, batch: int) -> Inputs:
        """Those of the synthesis graph, on the host."""
        noise = [buffer.cpu().numpy() for buffer in self.generator.stored_noise()]
        return synthesis_inputs(self.styles(batch).cpu().numpy(), noise)

    @torch.inference_mode()
    def reference(self, batch: int) -> Floats:
        """The images in float32."""
        with full_precision():
            return self.generator.synthesize(self.styles(batch)).cpu().numpy()

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.on_gpu:
            torch.cuda.synchronize()


@contextmanager
def full_precision() -> Iterator[None]:
    """float32 means float32 here: no TF32."""
    allowed = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = allowed


def published(task: Task, batch: int) -> Bound:
    """Grouped convolutions with a weight for every sample, PyTorch's autocast."""
    network = as_published(deepcopy(task.generator))
    assert isinstance(network, Generator)

    def synthesize(w: Tensor) -> Tensor:
        with torch.autocast(task.device, torch.float16):
            return network.synthesize(w)

    return _eager(task, batch, synthesize)


def reexpressed(task: Task, batch: int) -> Bound:
    """Scale → convolution → scale, channels last."""
    return _eager(task, batch, partial(task.generator.synthesize, precision=HALF))


def compiled(task: Task, batch: int) -> Bound:
    """The same, by torch.compile for this batch."""
    return _eager(task, batch, _compiled(task))


def captured(task: Task, batch: int) -> Bound:
    """Re-expressed, as one CUDA graph."""
    return _captured(task, batch, partial(task.generator.synthesize, precision=HALF))


def compiled_and_captured(task: Task, batch: int) -> Bound:
    """Compiled, as one CUDA graph."""
    return _captured(task, batch, _compiled(task))


def onnxruntime_way(ops: bool, graph: bool, task: Task, batch: int) -> Bound:
    """ONNX Runtime on the bundle's float16 graph, with our kernels or the functions that stand for them; all
    inputs and outputs stay on the device."""
    if graph and not task.on_gpu:
        raise CannotRun("CUDA graphs need a GPU")
    try:
        session = open_session(task, ops, {"enable_cuda_graph": "1"} if graph else {})
    except BadInput as error:
        if graph:  # which ONNX Runtime refuses where a node is not on the GPU
            raise CannotRun(str(error)) from None
        raise
    binding = session.io_binding()
    values = [  # kept: the binding holds addresses
        (name, onnxruntime.OrtValue.ortvalue_from_numpy(value, task.device, 0))
        for name, value in task.inputs(batch).items()
    ]
    for name, value in values:
        binding.bind_ortvalue_input(name, value)
    size = [batch, task.generator.channels, task.generator.resolution, task.generator.resolution]
    images = onnxruntime.OrtValue.ortvalue_from_shape_and_type(size, np.float32, task.device, 0)
    binding.bind_ortvalue_output("image", images)

    def run(kept: Any = values) -> None:
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()

    return Bound(run, images.numpy)


def open_session(
    task: Task,
    ops: bool,
    more: Mapping[str, str],
    configure: Callable[[onnxruntime.SessionOptions], object] = lambda options: None,
) -> onnxruntime.InferenceSession:
    """Of the float16 synthesis graph on the task's device, with `ops` by our kernels; `more` options of the
    CUDA provider. `CannotRun` where one of them is not there."""
    if task.on_gpu and CUDA_PROVIDER not in onnxruntime.get_available_providers():
        raise CannotRun(f"this ONNX Runtime has no {CUDA_PROVIDER}")
    library = (cuda_ops_library() if task.on_gpu else ops_library()) if ops else None
    if ops and library is None:
        raise CannotRun("our ops library was not built for this device")

    def providers(graph: GraphName) -> Providers:
        return [(CUDA_PROVIDER, {**cuda_options(0), **more}), CPU_PROVIDER] if task.on_gpu else [CPU_PROVIDER]

    if task.on_gpu:
        preload_libraries()
    files = graph_files(task.job.bundle.manifest, "fp16")
    return Sessions(task.job.bundle, files, providers, library, configure)["synthesis"]


QUICK: dict[str, Callable[[Task, int], Bound]] = {
    "ONNX Runtime, our ops": partial(onnxruntime_way, True, False),
    "ONNX Runtime, standard ops": partial(onnxruntime_way, False, False),
    "ONNX Runtime, our ops, CUDA graph": partial(onnxruntime_way, True, True),
    "PyTorch, published form": published,
    "PyTorch, re-expressed": reexpressed,
    "PyTorch, re-expressed, CUDA graph": captured,
}
"""Ready in seconds."""

COMPILED: dict[str, Callable[[Task, int], Bound]] = {
    "torch.compile": compiled,
    "torch.compile, CUDA graph": compiled_and_captured,
}
"""Compiled for each batch, which takes longer."""


def _compiled(task: Task) -> Callable[[Tensor], Tensor]:
    synthesize = torch.compile(task.generator.synthesize, dynamic=False)
    return lambda w: synthesize(w, precision=HALF)


def _eager(task: Task, batch: int, synthesize: Callable[[Tensor], Tensor]) -> Bound:
    w, last = task.styles(batch), {}

    def run() -> None:
        with torch.inference_mode():
            last["images"] = synthesize(w)
        task.synchronize()

    return Bound(run, lambda: last["images"].float().cpu().numpy())


def _captured(task: Task, batch: int, synthesize: Callable[[Tensor], Tensor]) -> Bound:
    if not task.on_gpu:
        raise CannotRun("CUDA graphs need a GPU")
    w = task.styles(batch)
    with torch.inference_mode():
        side = torch.cuda.Stream()  # what a capture asks for: a warm-up on a stream of its own
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                synthesize(w)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            images = synthesize(w)

    def run() -> None:
        graph.replay()
        torch.cuda.synchronize()

    return Bound(run, lambda: images.float().cpu().numpy())
