"""What all sections go by."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Settings:
    """`source`: FingerGen's source tree. `work`: folder for what sections leave to each other and to later
    runs: networks, bundles, programs. `networks`: name → the arguments of a `Generator` with random weights,
    or its checkpoint. `device` as PyTorch has it.
    """

    source: Path
    work: Path
    networks: Mapping[str, Path | Mapping[str, Any]]
    batches: tuple[int, ...] = (1, 8, 64)
    device: str = "cuda"
    largest_batch: int = 128
    rounds: int = 100

    @property
    def on_gpu(self) -> bool:
        """Whether the sections run on a GPU; False in a rehearsal, which runs on the CPU."""
        return self.device == "cuda"


@dataclass
class Deadline:
    """When a section is to end: what would not end in time is left out, with a line that says so."""

    seconds: float
    began: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds, none if it has passed."""
        return max(0.0, self.began + self.seconds - time.monotonic())


def find_nvcc() -> str | None:
    """Path of CUDA's compiler nvcc; None where there is none."""
    return os.environ.get("CUDACXX") or shutil.which("nvcc")
