"""Where the time goes: PyTorch's profiler for what runs on a GPU, ONNX Runtime's for the nodes of a graph."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

LONGEST_NAME = 60
COPIES = {"HtoD": "to the GPU", "DtoH": "from the GPU"}


@dataclass(frozen=True)
class Spent:
    """Kernel, or on a CPU operator, → its seconds in one call; copies between host and device, by direction,
    in one call."""

    seconds: Mapping[str, float]
    copies: Mapping[str, int]

    def top(self, count: int) -> list[tuple[str, float]]:
        """The largest, with their shares of the whole."""
        return _top(self.seconds, count)


def profile_calls(call: Callable[[], object], device: str, calls: int = 5) -> Spent:
    """What one of `calls` did on `device`, on average. All CUDA kernels are seen, not PyTorch's alone."""
    on_gpu = device == "cuda"
    call()
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as watched:
        for _ in range(calls):
            call()
        if on_gpu:
            torch.cuda.synchronize()
    return _spent(watched.events(), on_gpu, calls)


def _spent(events: Sequence[Any], on_gpu: bool, calls: int) -> Spent:
    wanted = DeviceType.CUDA if on_gpu else DeviceType.CPU
    seconds: Counter[str] = Counter()
    copies: Counter[str] = Counter()
    for event in events:
        if event.device_type != wanted:
            continue
        microseconds = event.time_range.elapsed_us() if on_gpu else event.self_cpu_time_total
        seconds[event.name] += microseconds / 1e6 / calls  # type: ignore[assignment]
        for sign, direction in COPIES.items():
            copies[direction] += event.name.startswith(f"Memcpy {sign}")
    return Spent(seconds, {direction: count // calls for direction, count in copies.items()})


@dataclass(frozen=True)
class Nodes:
    """What a profile of ONNX Runtime says of one graph.

    `copies`: names of nodes that copy between host and device. `providers`: execution provider → nodes on it.
    `seconds`: op → time of all its nodes in the whole profile, of a GPU where the profile has that, else of
    the host, which for a GPU is that of queueing alone (`of_kernels` False).
    """

    copies: frozenset[str]
    providers: Mapping[str, int]
    seconds: Mapping[str, float]
    of_kernels: bool

    def top(self, count: int) -> list[tuple[str, float]]:
        """The largest, with their shares of the whole."""
        return _top(self.seconds, count)


def read_nodes(path: Path) -> Nodes:
    """Of the JSON file that ONNX Runtime wrote."""
    events = [event for event in json.loads(path.read_text(encoding="utf-8")) if event.get("ph") == "X"]
    runs = [event for event in events if event["cat"] == "Node" and event["name"].endswith("_kernel_time")]
    kernels = [event for event in events if event["cat"] == "Kernel"]
    ops = {event["name"]: event["args"].get("op_name", "?") for event in runs}
    providers = {event["name"]: event["args"].get("provider", "?") for event in runs}
    seconds: Counter[str] = Counter()
    for event in kernels or runs:
        name = event["args"].get("op_name") or event["name"]
        seconds[name] += event["dur"] / 1e6  # type: ignore[assignment]
    copies = frozenset(
        name.removesuffix("_kernel_time") for name, op in ops.items() if op.startswith("Memcpy")
    )
    return Nodes(copies, Counter(providers.values()), seconds, bool(kernels))


def _top(seconds: Mapping[str, float], count: int) -> list[tuple[str, float]]:
    total = sum(seconds.values()) or 1.0
    ordered = sorted(seconds.items(), key=lambda each: -each[1])
    return [(name, spent / total) for name, spent in ordered[:count]]


def shares(top: Sequence[tuple[str, float]]) -> str:
    """Shares of the whole, largest first, as text for a cell of a table."""
    return ", ".join(f"{share:.0%} `{name[:LONGEST_NAME]}`" for name, share in top)
