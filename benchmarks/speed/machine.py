"""The machine that a benchmark ran on: a figure without it means little."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from fingergen.runtime.backends import cpu_name, usable_cores

PACKAGES = (
    "fingergen",
    "numpy",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "torch",
    "tensorrt",
    "tensorrt-rtx",
    "pycuda",
)


@dataclass(frozen=True)
class Gpu:
    """`compute_capability` such as `8.9`; `memory` as the driver says it, with its unit."""

    name: str
    compute_capability: str
    driver: str
    memory: str


@dataclass(frozen=True)
class Machine:
    """`cores`: those that this process may use; `load`: mean number of busy threads in the minute before."""

    cpu: str
    cores: int
    memory_gb: float | None
    system: str
    python: str
    packages: dict[str, str]
    gpus: tuple[Gpu, ...]
    load: float | None

    def lines(self) -> list[str]:
        """The machine in lines of text, one property per line."""
        memory = f", {self.memory_gb:.0f} GB" if self.memory_gb else ""
        load = f", load {self.load:.1f} before the run" if self.load is not None else ""
        packages = ", ".join(f"{name} {number}" for name, number in self.packages.items())
        gpus = [
            f"GPU: {gpu.name}, compute capability {gpu.compute_capability}, {gpu.memory}, driver {gpu.driver}"
            for gpu in self.gpus
        ]
        return [
            f"CPU: {self.cpu}, {self.cores} cores{memory}{load}",
            *(gpus or ["GPU: none"]),
            f"{self.system}, Python {self.python}, {packages}",
        ]


def describe_machine() -> Machine:
    """Describe this machine: CPU, memory, GPU and versions of the libraries, without its name."""
    return Machine(
        cpu=cpu_name(),
        cores=usable_cores(),
        memory_gb=_memory_gb(),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        packages=_packages(),
        gpus=find_gpus(),
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    )


def find_gpus() -> tuple[Gpu, ...]:
    """NVIDIA GPUs, as the driver's `nvidia-smi` lists them; none where there is no driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    fields = "name,compute_cap,driver_version,memory.total"
    listed = subprocess.run(
        [program, f"--query-gpu={fields}", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    if listed.returncode:
        return ()
    return tuple(Gpu(*(field.strip() for field in line.split(","))) for line in listed.stdout.splitlines())


def _packages() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _memory_gb() -> float | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    except (AttributeError, ValueError, OSError):  # not on this system
        return None
