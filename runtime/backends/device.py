"""What a machine computes on, by name: what was measured on one kind of device holds for that kind."""

from __future__ import annotations

import functools
import platform
from pathlib import Path

from . import nvidia
from .cores import usable_cores


def describe_device(device: int = 0) -> str:
    """What a measurement was taken on.

    Args:
        device: Number of the GPU, from 0.

    Returns:
        The processor's name, the number of cores that this process may use, and the GPU's name if there is
        one.
    """
    cores = usable_cores()
    described = f"{cpu_name()}, {cores} core{'s' if cores > 1 else ''}"
    return described if nvidia.problem(device) else f"{described}, {nvidia.gpu(device).name}"


@functools.cache
def cpu_name() -> str:
    """What the processor is called.

    Returns:
        The name that the kernel knows, or else the machine's kind.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not on Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
