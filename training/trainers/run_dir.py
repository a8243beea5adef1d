"""A training's run directory: metrics and contact sheets of samples, shared by all trainers."""

import io
import json
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import torch
from PIL import Image
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from fingergen.runtime.errors import BadInput
from fingergen.runtime.files import locked, write_atomically
from fingergen.runtime.images import contact_sheet, to_picture

from ..data.datasets import to_levels


class RunDirectory:
    """Writes into one output folder: `metrics.jsonl`, TensorBoard events and `samples/*.png`.

    `metrics.jsonl` holds what follows from the run's options and data alone, a row a line with its count of
    `images`; rows of one count have different figures. TensorBoard has the same figures, and more.
    """

    def __init__(self, folder: Path, images_seen: int = 0):
        """`images_seen` is where training continues: metrics beyond it, of a killed run, are dropped.

        `BadInput` if another process writes a run there, or nothing can be written.
        """
        self._lock = ExitStack()
        try:
            self._lock.enter_context(locked(folder))
            (folder / "samples").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(
                f"{folder}: cannot write the run here ({error.strerror}); choose another --out"
            ) from error
        self.folder = folder
        self._metrics = folder / "metrics.jsonl"
        if self._metrics.exists():
            kept = [json.dumps(row) for row in self.rows() if row["images"] <= images_seen]
            write_atomically(self._metrics, "".join(f"{line}\n" for line in kept).encode())
        self._tensorboard = SummaryWriter(str(folder / "tensorboard"), purge_step=images_seen + 1)
        self._clock = images_seen, time.monotonic()

    def rows(self) -> list[dict[str, float]]:
        """What was logged so far."""
        return read_rows(self._metrics) if self._metrics.exists() else []

    def figures(self, images_seen: int) -> dict[str, float]:
        """All that was logged at `images_seen`."""
        return {
            name: value
            for row in self.rows()
            if row.pop("images") == images_seen
            for name, value in row.items()
        }

    def log(self, images_seen: int, scalars: Mapping[str, float]) -> None:
        """Append one row of scalars at `images_seen`."""
        with self._metrics.open("a") as file:
            file.write(json.dumps({"images": images_seen, **scalars}) + "\n")
        for name, value in scalars.items():
            self._tensorboard.add_scalar(name, value, images_seen)

    def log_speed(self, images_seen: int) -> None:
        """Show images per second since the last call; TensorBoard alone, for no two runs agree on it."""
        before, then = self._clock
        self._clock = images_seen, time.monotonic()
        speed = (images_seen - before) / max(self._clock[1] - then, 1e-9)
        self._tensorboard.add_scalar("images_per_second", speed, images_seen)

    def histograms(self, images_seen: int, values: Mapping[str, torch.Tensor]) -> None:
        """Show how the numbers in tensors of any shape are spread."""
        for name, tensor in values.items():
            self._tensorboard.add_histogram(name, tensor.detach().float().cpu(), images_seen)

    def weights(self, images_seen: int, **networks: nn.Module) -> None:
        """Show how the weights of networks are spread, a histogram a parameter."""
        for network, module in networks.items():
            named = {f"{network}/{name}": parameter for name, parameter in module.named_parameters()}
            self.histograms(images_seen, named)

    def sheet(self, images_seen: int, images: torch.Tensor, columns: int, name: str = "samples") -> None:
        """Save float images (N, C, H, W) in [-1, 1] as a contact sheet."""
        tiles = [to_picture(levels) for levels in to_levels(images).numpy()]
        pixels = contact_sheet(tiles, columns, padding=0)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        write_atomically(self.folder / "samples" / f"{name}_{images_seen:09d}.png", file.getvalue())
        shown = "HW" if pixels.ndim == 2 else "HWC"
        self._tensorboard.add_image(name, pixels, images_seen, dataformats=shown)

    def close(self) -> None:
        self._tensorboard.close()
        self._lock.close()


def read_rows(path: Path) -> list[dict[str, float]]:
    """The rows of a file of metrics; a line that a killed process left unfinished does not count."""
    rows = []
    for line in path.read_text(errors="replace").splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict) and isinstance(row.get("images"), int):
            rows.append(row)
    return rows
