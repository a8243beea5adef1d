"""The NVIDIA GPUs of this machine, asked of the driver alone: no package is needed to say what is missing."""

from __future__ import annotations

import ctypes
import functools
import sys
from typing import NamedTuple

# CUdevice_attribute, CUDA driver API
COMPUTE_CAPABILITY_MAJOR, COMPUTE_CAPABILITY_MINOR = 75, 76


class Gpu(NamedTuple):
    """An NVIDIA GPU of this machine; `architecture`: its compute capability, such as `sm_89`."""

    name: str
    architecture: str


def problem(device: int) -> str | None:
    """Why GPU number `device` cannot be used; None where it can."""
    found = gpus()
    if isinstance(found, str):
        return found
    if not 0 <= device < len(found):
        return f"device {device}: this machine has {len(found)} NVIDIA GPUs, counted from 0"
    return None


def gpu(device: int) -> Gpu:
    """GPU number `device`, which has no `problem`."""
    found = gpus()
    assert not isinstance(found, str)
    return found[device]


def architecture() -> str | None:
    """That of the first GPU, such as `sm_89`; None without one."""
    found = gpus()
    return None if isinstance(found, str) else found[0].architecture


@functools.cache
def gpus() -> tuple[Gpu, ...] | str:
    """The GPUs, in the driver's order; or why there are none."""
    try:
        cuda = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return "no NVIDIA driver: install it, on a machine with an NVIDIA GPU"
    count = ctypes.c_int()
    if code := cuda.cuInit(0):
        return f"the NVIDIA driver finds no GPU to use (cuInit: CUDA error {code}); does nvidia-smi list one?"
    cuda.cuDeviceGetCount(ctypes.byref(count))
    if count.value == 0:
        return "the NVIDIA driver finds no GPU; does nvidia-smi list one, and CUDA_VISIBLE_DEVICES name it?"
    return tuple(_describe(cuda, index) for index in range(count.value))


def _describe(cuda: ctypes.CDLL, index: int) -> Gpu:
    device, value, name = ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(256)
    cuda.cuDeviceGet(ctypes.byref(device), index)
    cuda.cuDeviceGetName(name, len(name), device)
    numbers = []
    for attribute in (COMPUTE_CAPABILITY_MAJOR, COMPUTE_CAPABILITY_MINOR):
        cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        numbers.append(value.value)
    return Gpu(name.value.decode(errors="replace"), "sm_{}{}".format(*numbers))
