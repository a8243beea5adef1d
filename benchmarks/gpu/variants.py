"""Variants of running a generator's synthesis in float16, all from styles to images on the device."""

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
from fingergen.training.networks.precision import MixedPrecision

from ..speed.baselines.published import as_published
from ..speed.workload import Floats, Workload

ALL_RESOLUTIONS = 99
HALF = MixedPrecision(torch.float16, ALL_RESOLUTIONS)
WARM_UP = 3  # calls before a capture


class CannotRun(Exception):
    """A variant is not for this machine; the message says why."""


@dataclass
class Bound:
    """A variant, ready for one batch: `run` computes and waits, `images` are those of the last run."""

    run: Callable[[], object]
    images: Callable[[], Floats]


@dataclass
class DeviceWorkload:
    """What is to be computed, and where."""

    workload: Workload
    device: str
    generator: Generator = field(init=False)

    def __post_init__(self) -> None:
        assert self.workload.checkpoint is not None
        self.generator = (
            load_generator(self.workload.checkpoint).g_ema.to(self.device).eval().requires_grad_(False)
        )

    @property
    def on_gpu(self) -> bool:
        return self.device == "cuda"

    @torch.inference_mode()
    def styles(self, batch: int) -> Tensor:
        """w (N, num_ws, style_dim) of the workload's inputs."""
        w = self.generator.map(torch.from_numpy(self.workload.inputs(batch)).to(self.device))
        return w[:, None].repeat(1, self.generator.num_ws, 1)

    def inputs(self, batch: int) -> Inputs:
        """Those of the synthesis graph, on the host."""
        noise = [buffer.cpu().numpy() for buffer in self.generator.stored_noise()]
        return synthesis_inputs(self.styles(batch).cpu().numpy(), noise)

    @torch.inference_mode()
    def reference(self, batch: int) -> Floats:
        """Images of the workload in float32, which every variant is compared with."""
        with full_precision():
            return self.generator.synthesize(self.styles(batch)).cpu().numpy()

    def synchronize(self) -> None:
        """Wait until the device has finished what was queued."""
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


def published(target: DeviceWorkload, batch: int) -> Bound:
    """Grouped convolutions with a weight for every sample, PyTorch's autocast."""
    network = as_published(deepcopy(target.generator))
    assert isinstance(network, Generator)

    def synthesize(w: Tensor) -> Tensor:
        with torch.autocast(target.device, torch.float16):
            return network.synthesize(w)

    return _eager(target, batch, synthesize)


def reexpressed(target: DeviceWorkload, batch: int) -> Bound:
    """Scale → convolution → scale, channels last."""
    return _eager(target, batch, partial(target.generator.synthesize, precision=HALF))


def compiled(target: DeviceWorkload, batch: int) -> Bound:
    """The same, by torch.compile for this batch."""
    return _eager(target, batch, _compiled(target))


def captured(target: DeviceWorkload, batch: int) -> Bound:
    """Re-expressed, as one CUDA graph."""
    return _captured(target, batch, partial(target.generator.synthesize, precision=HALF))


def compiled_and_captured(target: DeviceWorkload, batch: int) -> Bound:
    """Compiled, as one CUDA graph."""
    return _captured(target, batch, _compiled(target))


def onnxruntime_variant(ops: bool, graph: bool, target: DeviceWorkload, batch: int) -> Bound:
    """ONNX Runtime on the bundle's float16 graph, with our kernels or the functions that stand for them; all
    inputs and outputs stay on the device."""
    if graph and not target.on_gpu:
        raise CannotRun("CUDA graphs need a GPU")
    try:
        session = open_session(target, ops, {"enable_cuda_graph": "1"} if graph else {})
    except BadInput as error:
        if graph:  # which ONNX Runtime refuses where a node is not on the GPU
            raise CannotRun(str(error)) from None
        raise
    binding = session.io_binding()
    values = [  # kept: the binding holds addresses
        (name, onnxruntime.OrtValue.ortvalue_from_numpy(value, target.device, 0))
        for name, value in target.inputs(batch).items()
    ]
    for name, value in values:
        binding.bind_ortvalue_input(name, value)
    size = [batch, target.generator.channels, target.generator.resolution, target.generator.resolution]
    images = onnxruntime.OrtValue.ortvalue_from_shape_and_type(size, np.float32, target.device, 0)
    binding.bind_ortvalue_output("image", images)

    def run(kept: Any = values) -> None:
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()

    return Bound(run, images.numpy)


def open_session(
    target: DeviceWorkload,
    ops: bool,
    more: Mapping[str, str],
    configure: Callable[[onnxruntime.SessionOptions], object] = lambda options: None,
) -> onnxruntime.InferenceSession:
    """Of the float16 synthesis graph on the target's device, with `ops` by our kernels; `more` options of the
    CUDA provider. `CannotRun` where one of them is not there."""
    if target.on_gpu and CUDA_PROVIDER not in onnxruntime.get_available_providers():
        raise CannotRun(f"this ONNX Runtime has no {CUDA_PROVIDER}")
    library = (cuda_ops_library() if target.on_gpu else ops_library()) if ops else None
    if ops and library is None:
        raise CannotRun("our ops library was not built for this device")

    def providers(graph: GraphName) -> Providers:
        return (
            [(CUDA_PROVIDER, {**cuda_options(0), **more}), CPU_PROVIDER] if target.on_gpu else [CPU_PROVIDER]
        )

    if target.on_gpu:
        preload_libraries()
    files = graph_files(target.workload.bundle.manifest, "fp16")
    return Sessions(target.workload.bundle, files, providers, library, configure)["synthesis"]


QUICK: dict[str, Callable[[DeviceWorkload, int], Bound]] = {
    "ONNX Runtime, our ops": partial(onnxruntime_variant, True, False),
    "ONNX Runtime, standard ops": partial(onnxruntime_variant, False, False),
    "ONNX Runtime, our ops, CUDA graph": partial(onnxruntime_variant, True, True),
    "PyTorch, published form": published,
    "PyTorch, re-expressed": reexpressed,
    "PyTorch, re-expressed, CUDA graph": captured,
}
"""Ready in seconds."""

COMPILED: dict[str, Callable[[DeviceWorkload, int], Bound]] = {
    "torch.compile": compiled,
    "torch.compile, CUDA graph": compiled_and_captured,
}
"""Compiled for each batch, which takes longer."""


def _compiled(target: DeviceWorkload) -> Callable[[Tensor], Tensor]:
    synthesize = torch.compile(target.generator.synthesize, dynamic=False)
    return lambda w: synthesize(w, precision=HALF)


def _eager(target: DeviceWorkload, batch: int, synthesize: Callable[[Tensor], Tensor]) -> Bound:
    w, last = target.styles(batch), {}

    def run() -> None:
        with torch.inference_mode():
            last["images"] = synthesize(w)
        target.synchronize()

    return Bound(run, lambda: last["images"].float().cpu().numpy())


def _captured(target: DeviceWorkload, batch: int, synthesize: Callable[[Tensor], Tensor]) -> Bound:
    if not target.on_gpu:
        raise CannotRun("CUDA graphs need a GPU")
    w = target.styles(batch)
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
