"""PyTorch, eager or compiled, in the published form: grouped convolutions with a weight for every sample."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from fingergen.runtime.errors import BadInput

from ..workload import Floats, Runner, Workload

if TYPE_CHECKING:
    from fingergen.training.networks import Generator, Reconstructor


class PyTorch:
    """PyTorch on the CPU; lower precisions are its autocast."""

    name = "pytorch"
    precisions: Sequence[str] = ("fp32", "bf16")
    threaded = True

    def unavailable(self, workload: Workload, precision: str) -> str | None:
        if find_spec("torch") is None:
            return "PyTorch is not installed: pip install 'fingergen[train]'"
        if workload.checkpoint is None and (workload.task == "reconstruction" or not _sizes(workload)):
            return "give --checkpoint, the file that the bundle was exported from"
        return None

    def open_runner(self, workload: Workload, precision: str, threads: int) -> Runner:
        return _open(workload, precision, threads, "cpu")


class PyTorchCompiled(PyTorch):
    """The same through `torch.compile`, which needs a C++ compiler and minutes before the first call."""

    name = "pytorch-compiled"

    def unavailable(self, workload: Workload, precision: str) -> str | None:
        if shutil.which("c++") is None:
            return "torch.compile needs a C++ compiler: none is on PATH"
        return super().unavailable(workload, precision)

    def open_runner(self, workload: Workload, precision: str, threads: int) -> Runner:
        return _open(workload, precision, threads, "cpu", compiled=True)


class PyTorchCuda(PyTorch):
    """PyTorch on the first GPU."""

    name = "pytorch-cuda"
    precisions = ("fp32", "fp16", "bf16")
    threaded = False

    def unavailable(self, workload: Workload, precision: str) -> str | None:
        reason = super().unavailable(workload, precision)
        if reason is None:
            import torch

            if not torch.cuda.is_available():
                return "PyTorch finds no GPU that it can use"
        return reason

    def open_runner(self, workload: Workload, precision: str, threads: int) -> Runner:
        return _open(workload, precision, threads, "cuda")


def _open(workload: Workload, precision: str, threads: int, device: str, compiled: bool = False) -> Runner:
    import torch

    from .published import as_published

    network = as_published(load_network(workload)).to(device).eval().requires_grad_(False)
    forward = torch.compile(network, dynamic=False) if compiled else network

    def autocast() -> AbstractContextManager[Any]:
        if precision == "fp32":
            return nullcontext()
        return torch.autocast(device, {"bf16": torch.bfloat16, "fp16": torch.float16}[precision])

    def run(x: Floats) -> Floats:
        if device == "cpu" and torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        with torch.inference_mode(), autocast():
            return forward(torch.from_numpy(x).to(device)).float().cpu().numpy()

    where = "CPU"
    if device == "cuda":
        where = torch.cuda.get_device_name() + (
            ", TF32 convolutions" if torch.backends.cudnn.allow_tf32 else ""
        )
    mode = "compiled" if compiled else "eager"
    weights = "" if workload.checkpoint else ", random weights"
    description = f"PyTorch {torch.__version__}, {mode}, published form, {where}{weights}"
    return Runner(run, description, comparable=workload.checkpoint is not None)


def load_network(workload: Workload) -> Generator | Reconstructor:
    """The network of a workload's checkpoint or, without one, of its bundle's sizes and random weights."""
    from fingergen.training.checkpoints import FieldCheckpoint, ReconstructionCheckpoint, load_checkpoint
    from fingergen.training.networks import Generator

    if workload.checkpoint is None:
        return Generator(**_sizes(workload))
    checkpoint = load_checkpoint(workload.checkpoint)
    if isinstance(checkpoint, FieldCheckpoint):
        raise BadInput(f"{workload.checkpoint}: a field network; give a generator or a reconstruction")
    if isinstance(checkpoint, ReconstructionCheckpoint):
        _check_sizes(workload, checkpoint.decoder)
        return checkpoint.reconstructor() if workload.task == "reconstruction" else checkpoint.decoder
    if workload.task == "reconstruction":
        raise BadInput(
            f"{workload.checkpoint}: a generator checkpoint; reconstruction needs one with an encoder"
        )
    _check_sizes(workload, checkpoint.g_ema)
    return checkpoint.g_ema


def _check_sizes(workload: Workload, generator: Generator) -> None:
    """`BadInput` where the checkpoint's generator cannot be the bundle's."""
    architecture = workload.bundle.manifest.architecture
    for size in ("resolution", "channels", "style_dim"):
        found, expected = getattr(generator, size), getattr(architecture, size)
        if found != expected:
            raise BadInput(
                f"{workload.checkpoint}: {size} {found}, that of bundle {workload.bundle.path} is {expected};"
                " give the checkpoint that the bundle was exported from"
            )


def _sizes(workload: Workload) -> dict[str, Any]:
    """Arguments of the bundle's `Generator`, which the export notes; empty where another program wrote it."""
    networks = workload.bundle.manifest.provenance.get("networks", {})
    return dict(networks.get("generator", {}))
