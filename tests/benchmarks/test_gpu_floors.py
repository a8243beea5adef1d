"""What a GPU must do at least, and what profiles say that it did."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.autograd import DeviceType
from torch.utils.flop_counter import FlopCounterMode

from fingergen.benchmarks.gpu import (
    backends,
    layers,
    profiles,
    speed,
)
from fingergen.benchmarks.gpu.command import DEMO, RELEASE, TINY
from fingergen.benchmarks.gpu.page import Check
from fingergen.training.networks import Generator

# -- floors --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [RELEASE, DEMO, TINY])
def test_flops_are_those_that_pytorch_counts(sizes: dict[str, Any]) -> None:
    with torch.device("meta"):
        network = Generator(**sizes)
    with FlopCounterMode(display=False) as counted:
        network.synthesize(torch.empty(1, network.style_dim, device="meta"))
    assert sum(layer.flops for layer in layers.layers(sizes)) == counted.get_total_flops()


def test_bytes_of_layers() -> None:
    """A convolution of the release: weights once, activations for each image; the image is float32."""
    found = {layer.name: layer for layer in layers.layers(RELEASE)}
    last = found["convs.11.conv"]
    assert last.bytes(3, 2) == 2 * (128 * 128 * 9 + 3 * (128 + 128) * 256 * 256)
    up = found["convs.10.conv"]
    assert (up.read, up.written) == ((256, 128, 128), (128, 257, 257))
    assert found["convs.10.conv.blur"].read == up.written
    assert found["to_rgbs.5.upsample"].bytes(1, 2) == 4 * (128 * 128 + 256 * 256)


def test_floor_of_layers() -> None:
    """One limited by arithmetic, one by memory, one fused into them."""
    heavy = layers.Layer("a", "convolution", 1000, (10,), (10,), 5, full=False)
    light = layers.Layer("b", "fir", 1, (100,), (100,), 0, full=True)
    fused = layers.Layer("c", "activation", 0, (1000,), (1000,), 0, full=False)
    peaks = layers.Peaks(flops=100.0, bandwidth=10.0)
    floor, arithmetic, memory = layers.floor_seconds([heavy, light, fused], 2, peaks)
    assert arithmetic == pytest.approx(20 + 0.02)
    assert memory == pytest.approx(2 * (5 + 2 * 20) / 10 + 4 * 2 * 200 / 10)
    assert floor == pytest.approx(20 + 160)


def test_calls_of_the_ops_are_those_of_the_release() -> None:
    half = layers.op_calls(layers.layers(RELEASE), 64, np.float16)
    relu = [call.shape for call in half if call.op == "FusedLeakyReLU"]
    assert relu[0] == (64, 512, 4, 4) and relu[-1] == (64, 128, 256, 256) and len(relu) == 7
    firs = [call for call in half if call.op == "UpFirDn2d"]
    assert [call.shape for call in firs if call.dtype is np.float16][-1] == (64, 128, 257, 257)
    images = [call for call in firs if call.dtype is np.float32]  # the image stays in float32
    assert len(images) == 6 and images[-1].sizes == (64, 1, 128, 128, 4, 4, 2, 1, 2, 1, 2, 1)


def test_peaks_are_measured() -> None:
    peaks = speed.measure_peaks("cpu")
    assert 0 < peaks.flops < 1e14 and 1e6 < peaks.bandwidth < 1e13


# -- profiles ------------------------------------------------------------------------------------------------


def node(name: str, op: str, provider: str, microseconds: int) -> dict[str, Any]:
    args = {"op_name": op, "provider": provider}
    return {"cat": "Node", "ph": "X", "name": f"{name}_kernel_time", "dur": microseconds, "args": args}


def kernel(name: str, op: str | None, microseconds: int) -> dict[str, Any]:
    args = {"op_name": op} if op else {}
    return {"cat": "Kernel", "ph": "X", "name": name, "dur": microseconds, "args": args}


def test_nodes_of_a_profile_of_onnx_runtime(tmp_path: Path) -> None:
    run = [
        node("conv", "Conv", "CUDAExecutionProvider", 30),
        node("Memcpy_token_7", "MemcpyToHost", "CUDAExecutionProvider", 5),
        node("shape", "Shape", "CPUExecutionProvider", 1),
    ]
    session = {"cat": "Session", "ph": "X", "name": "model_run", "dur": 99, "args": {}}
    path = tmp_path / "profile.json"
    path.write_text(json.dumps([{"ph": "M", "name": "x"}, session, *run, *run]))
    nodes = profiles.read_nodes(path)
    assert nodes.copies == {"Memcpy_token_7"} and not nodes.of_kernels
    assert nodes.providers == {"CUDAExecutionProvider": 2, "CPUExecutionProvider": 1}
    assert nodes.top(1) == [("Conv", pytest.approx(60 / 72))]
    path.write_text(json.dumps([*run, kernel("sm90_gemm", "Conv", 20), kernel("copy", None, 60)]))
    nodes = profiles.read_nodes(path)
    assert nodes.of_kernels and nodes.top(2) == [("copy", 0.75), ("Conv", 0.25)]
    assert profiles.shares(nodes.top(2)) == "75% `copy`, 25% `Conv`"


def test_what_a_gpu_did() -> None:
    """Kernels and copies, not what the host did."""

    def event(name: str, microseconds: float, on: DeviceType = DeviceType.CUDA) -> SimpleNamespace:
        span = SimpleNamespace(elapsed_us=lambda: microseconds)
        return SimpleNamespace(name=name, device_type=on, time_range=span, self_cpu_time_total=microseconds)

    call = [
        event("sm90_gemm", 300),
        event("Memcpy HtoD (Pageable -> Device)", 60),
        event("Memcpy DtoH (Device -> Pageable)", 20),
        event("Memcpy DtoH (Device -> Pageable)", 20),
        event("Memcpy DtoD (Device -> Device)", 0),
        event("cudaLaunchKernel", 1000, DeviceType.CPU),
    ]
    spent = profiles._spent(call * 5, True, 5)
    assert spent.copies == {"to the GPU": 1, "from the GPU": 2}
    assert spent.top(1) == [("sm90_gemm", pytest.approx(0.75))]
    assert not backends.copies_check("x", spent).passed
    within = profiles._spent([call[0], call[4]], True, 1)
    assert backends.copies_check("x", within) == Check("x", "none, with everything bound on the device", True)
    assert backends.copies_check("x", profiles._spent(call[-1:], True, 1)).passed is None  # nothing was seen
