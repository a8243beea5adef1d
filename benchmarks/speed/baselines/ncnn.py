"""ncnn on the CPU. pnnx converts the PyTorch network: of ONNX graphs it knows no six-dimensional reshape.

ncnn's convolutions have constant weights, so this is our form of the modulated one, not the published form.
"""

from __future__ import annotations

import subprocess
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fingergen.runtime.errors import FingerGenError

from ..workload import Floats, Runner, Workload
from .pytorch import PyTorch, load_network

if TYPE_CHECKING:
    from torch import nn


class Ncnn(PyTorch):
    """ncnn on the generator, image by image: it knows no batches."""

    name = "ncnn"
    precisions = ("fp32",)

    def unavailable(self, workload: Workload, precision: str) -> str | None:
        missing = [package for package in ("ncnn", "pnnx") if find_spec(package) is None]
        if missing:
            return f"not installed: pip install {' '.join(missing)}"
        if workload.task != "synthesis":
            return "runs synthesis only"
        return super().unavailable(workload, precision)

    def open_runner(self, workload: Workload, precision: str, threads: int) -> Runner:
        network = load_network(workload).eval().requires_grad_(False)
        with tempfile.TemporaryDirectory() as folder:
            net = _load(_convert(network, workload.inputs(1), Path(folder)), threads)

        def run(z: Floats) -> Floats:
            return np.concatenate([_image(net, each[None]) for each in z])

        weights = "" if workload.checkpoint else ", random weights"
        description = (
            f"ncnn {version('ncnn')}, converted by pnnx {version('pnnx')}, one image at a time{weights}"
        )
        return Runner(run, description, comparable=workload.checkpoint is not None, close=net.clear)


def _convert(network: nn.Module, z: Floats, folder: Path) -> Path:
    """The network as `.ncnn.param`, with `.ncnn.bin` beside it."""
    import pnnx
    import torch

    traced = folder / "generator.pt"
    torch.jit.trace(network, torch.from_numpy(z), check_trace=False).save(str(traced))
    # Its Python function would also import the module that it writes.
    result = subprocess.run([pnnx.EXEC_PATH, traced, "fp16=0"], cwd=folder, capture_output=True, text=True)
    converted = folder / "generator.ncnn.param"
    if result.returncode or not converted.is_file():
        last = (result.stderr or result.stdout).strip().splitlines()[-1:]
        raise FingerGenError(f"ncnn: pnnx does not convert the network: {''.join(last) or result.returncode}")
    return converted


def _load(parameters: Path, threads: int) -> Any:
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_vulkan_compute = False
    for lower in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(net.opt, lower, False)
    if net.load_param(str(parameters)) or net.load_model(str(parameters.with_suffix(".bin"))):
        raise FingerGenError("ncnn: cannot load what pnnx converted")
    return net


def _image(net: Any, z: Floats) -> Floats:
    """z (1, style_dim) → image (1, C, R, R)."""
    import ncnn

    with net.create_extractor() as extractor:
        extractor.input(
            "in0", ncnn.Mat(z, batch_index=0).clone()
        )  # its own memory: the first axis is the batch
        status, image = extractor.extract("out0")
    if status:
        raise FingerGenError(f"ncnn: fails with status {status}")
    return np.array(image.numpy(batch_index=0), np.float32)
