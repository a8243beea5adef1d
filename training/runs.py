"""A training run's folder: metrics, sample sheets, interruption and atomic files, shared by all trainers."""

import json
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from fingergen.runtime.errors import BadInput
from fingergen.runtime.files import write_atomically

from . import processes


class Run:
    """Writes into one output folder: `metrics.jsonl`, TensorBoard events and `samples/*.png`."""

    def __init__(self, folder: Path, images_seen: int = 0):
        """`images_seen` is where training continues: metrics beyond it, of a killed run, are dropped."""
        try:
            (folder / "samples").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(
                f"{folder}: cannot write the run here ({error.strerror}); choose another --out"
            ) from error
        self.folder = folder
        self._metrics = folder / "metrics.jsonl"
        if self._metrics.exists():
            kept = [
                line
                for line in self._metrics.read_text().splitlines()
                if json.loads(line)["images"] <= images_seen
            ]
            write_atomically(self._metrics, "".join(f"{line}\n" for line in kept).encode())
        self._tensorboard = SummaryWriter(str(folder / "tensorboard"), purge_step=images_seen)

    def log(self, images_seen: int, scalars: Mapping[str, float]) -> None:
        """Append one row of scalars at `images_seen`."""
        with self._metrics.open("a") as file:
            file.write(json.dumps({"images": images_seen, **scalars}) + "\n")
        for name, value in scalars.items():
            self._tensorboard.add_scalar(name, value, images_seen)

    def sheet(self, images_seen: int, images: torch.Tensor, columns: int, name: str = "samples") -> None:
        """Save float images (N, C, H, W) in [-1, 1] as a contact sheet."""
        pixels = contact_sheet(images, columns)
        Image.fromarray(pixels.squeeze()).save(self.folder / "samples" / f"{name}_{images_seen:09d}.png")
        self._tensorboard.add_image(name, pixels, images_seen, dataformats="HWC")

    def close(self) -> None:
        self._tensorboard.close()


def contact_sheet(images: torch.Tensor, columns: int) -> np.ndarray:
    """Float images (N, C, H, W) in [-1, 1] → uint8 (rows·H, columns·W, C); N must fill the rows."""
    n, channels, height, width = images.shape
    pixels = ((images.detach().float().cpu().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    tiles = pixels.reshape(n // columns, columns, channels, height, width).permute(0, 3, 1, 4, 2)
    return tiles.reshape(n // columns * height, columns * width, channels).numpy()


def choose_device(name: str) -> torch.device:
    """`auto` takes a GPU when PyTorch sees one; any other name is PyTorch's own. With several processes,
    this one's device, once it has joined the others."""
    if processes.launched():
        return processes.join(name)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise BadInput(
            f"--device {name}: not usable here ({str(error).splitlines()[0]}); try --device cpu"
        ) from error
    return device


class Interruption:
    """Becomes true on SIGINT or SIGTERM, so that a loop can stop at a step's end and save its state."""

    def __init__(self) -> None:
        self.requested = False

    def __bool__(self) -> bool:
        return self.requested


@contextmanager
def interruption() -> Iterator[Interruption]:
    """Catch the first SIGINT or SIGTERM; the second one ends the process at once."""
    state = Interruption()
    previous: dict[int, Any] = {}

    def request(number: int, _frame: FrameType | None) -> None:
        state.requested = True
        signal.signal(number, previous[number])

    for number in (signal.SIGINT, signal.SIGTERM):
        previous[int(number)] = signal.signal(number, request)
    try:
        yield state
    finally:
        for code, handler in previous.items():
            signal.signal(code, handler)
