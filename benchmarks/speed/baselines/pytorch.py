"""PyTorch, eager, in the published form: grouped convolutions with a weight for every sample."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from fingergen.runtime.errors import BadInput

from ..workload import Floats, Job, Runner

if TYPE_CHECKING:
    from fingergen.training.networks import Generator, Reconstructor

PRECISIONS = ("fp32", "bf16")
THREADED = True


def unavailable(job: Job) -> str | None:
    """None where PyTorch is installed and there are weights, or sizes, to run it with."""
    if find_spec("torch") is None:
        return "PyTorch is not installed: pip install 'fingergen[train]'"
    if job.checkpoint is None and (job.task == "reconstruction" or not _sizes(job)):
        return "give --checkpoint, the file that the bundle was exported from"
    return None


def open_runner(job: Job, precision: str, threads: int, device: str = "cpu") -> Runner:
    """The checkpoint's network; without a checkpoint one of the bundle's sizes with random weights.

    Lower precisions are PyTorch's autocast. `BadInput` where the checkpoint cannot do the job.
    """
    import torch

    from .published import as_published

    network = as_published(_network(job)).to(device).eval().requires_grad_(False)

    def autocast() -> AbstractContextManager[Any]:
        if precision == "fp32":
            return nullcontext()
        return torch.autocast(device, {"bf16": torch.bfloat16, "fp16": torch.float16}[precision])

    def run(x: Floats) -> Floats:
        if device == "cpu" and torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        with torch.inference_mode(), autocast():
            return network(torch.from_numpy(x).to(device)).float().cpu().numpy()

    where = "CPU"
    if device == "cuda":
        where = torch.cuda.get_device_name() + (
            ", TF32 convolutions" if torch.backends.cudnn.allow_tf32 else ""
        )
    weights = "" if job.checkpoint else ", random weights"
    description = f"PyTorch {torch.__version__}, eager, published form, {where}{weights}"
    return Runner(run, description, comparable=job.checkpoint is not None)


def _network(job: Job) -> Generator | Reconstructor:
    from fingergen.training.checkpoints import ReconstructionCheckpoint, load_checkpoint
    from fingergen.training.networks import Generator

    if job.checkpoint is None:
        return Generator(**_sizes(job))
    checkpoint = load_checkpoint(job.checkpoint)
    if isinstance(checkpoint, ReconstructionCheckpoint):
        _check_sizes(job, checkpoint.decoder)
        return checkpoint.reconstructor() if job.task == "reconstruction" else checkpoint.decoder
    if job.task == "reconstruction":
        raise BadInput(f"{job.checkpoint}: a generator checkpoint; reconstruction needs one with an encoder")
    _check_sizes(job, checkpoint.g_ema)
    return checkpoint.g_ema


def _check_sizes(job: Job, generator: Generator) -> None:
    """`BadInput` where the checkpoint's generator cannot be the bundle's."""
    architecture = job.bundle.manifest.architecture
    for size in ("resolution", "channels", "style_dim"):
        found, expected = getattr(generator, size), getattr(architecture, size)
        if found != expected:
            raise BadInput(
                f"{job.checkpoint}: {size} {found}, that of bundle {job.bundle.path} is {expected};"
                " give the checkpoint that the bundle was exported from"
            )


def _sizes(job: Job) -> dict[str, Any]:
    """Arguments of the bundle's `Generator`, which the export notes; empty where another program wrote it."""
    networks = job.bundle.manifest.provenance.get("networks", {})
    return dict(networks.get("generator", {}))
