"""Training of the minutiae network, whose features the encoder's losses and the metrics compare."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fingergen.runtime.errors import BadInput

from .. import distributed
from ..checkpoints.files import read, write
from ..data.datasets import to_floats
from ..data.minutiae_maps import MapReader
from ..data.pairs import PairDataset, Pairs
from ..metrics.minutiae_matching import agreement_figures
from ..networks.minutiae_net import MinutiaeNet, map_distance
from .run_dir import RunDirectory
from .training_loop import descend, seed_torch, step_rng

LEARNING_RATE = 5e-3
SHOWN = 12  # pairs on a sheet
EVALUATED = 32  # held-out pairs that figures are computed from


class MinutiaeTrainer:
    """Trains a MinutiaeNet to predict the minutiae map of an image."""

    def __init__(
        self, dataset: PairDataset, resolution: int, window: int, batch: int, seed: int, device: torch.device
    ):
        """Make network and optimizer.

        Args:
            dataset: Pairs of images and maps.
            resolution: Of the images, in pixels.
            window: Side of the images' view in pixels at 500 ppi.
            batch: Images per step, over all processes.
            seed: Of the run, in [0, 2**64).
            device: Where to train.
        """
        self.dataset, self.batch_size, self.seed, self.device = dataset, batch, seed, device
        seed_torch(seed, 0)
        self.network = MinutiaeNet().to(device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=LEARNING_RATE)
        self.reader = MapReader(window).to(device)
        self.config = {"resolution": resolution, "window": window, **self.network.architecture()}
        self.images_seen = 0

    def load_batch(self, images_seen: int) -> Pairs:
        """Load this process's shard of a batch; see `training_loop.Trainer`."""
        pairs = self.dataset.batch(step_rng(self.seed, images_seen), self.batch_size)
        return Pairs(distributed.shard(pairs.images), distributed.shard(pairs.maps))

    def step(self, batch: Pairs) -> dict[str, float]:
        """Take one step on a batch; returns `loss/map`."""
        self.network.train()
        images, maps = pairs_to_floats(batch, self.device)
        loss = map_distance(self.network, images, maps)
        descend(self.optimizer, loss)
        return {"loss/map": loss.item()}

    @torch.no_grad()
    def sample(self, run: RunDirectory) -> None:
        """Write a sheet of image, map and predicted map, and how many of the minutiae are found."""
        self.network.eval()
        images, maps = pairs_to_floats(self.dataset.held_out(EVALUATED), self.device)
        seen = torch.sigmoid(self.network(images))
        run.log(self.images_seen, agreement_figures(self.reader(seen), self.reader(maps)))
        run.sheet(
            self.images_seen,
            side_by_side(images, 2 * resize_maps(maps, images.shape[-1]) - 1, 2 * seen - 1),
            columns=6,
        )

    def save(self, path: Path) -> None:
        """Write a checkpoint with everything that `load` needs to continue."""
        content = {"minutiae_net": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}
        write(path, {**content, "images_seen": self.images_seen, "config": self.config})

    def load(self, path: Path) -> None:
        """Continue from what `save` wrote.

        Args:
            path: The checkpoint.

        Raises:
            BadInput: If it is damaged, or of a network for images of another resolution.
        """
        content = read(path)
        found = content.get("config")
        if _sees(found) != _sees(self.config):
            raise BadInput(
                f"{path}: is of a minutiae network for {found}, not {self.config}; give another folder"
            )
        try:
            self.network.load_state_dict(content["minutiae_net"])
            self.optimizer.load_state_dict(content["optimizer"])
            self.images_seen = int(content["images_seen"])
        except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise BadInput(
                f"{path}: is not a whole state of a minutiae network; delete it to train it anew"
            ) from error


def _sees(config: Any) -> Any:
    """What must be equal for a network to be used: the pixels per inch of its images, and its shape. As it is
    convolutional throughout, the images' size does not matter."""
    try:
        return {**config, "resolution": None, "window": config["window"] / config["resolution"]}
    except (KeyError, TypeError, ZeroDivisionError):
        return config


def load_minutiae_net(path: Path) -> tuple[MinutiaeNet, dict[str, Any]]:
    """Read a checkpoint that `MinutiaeTrainer` wrote.

    Args:
        path: The checkpoint.

    Returns:
        The network, frozen, and its configuration: `resolution` and `window` of the images that it is for.

    Raises:
        BadInput: If it is any other file.
    """
    content = read(path)
    try:
        config = content["config"]
        network = MinutiaeNet(width=config["width"])
        network.load_state_dict(content["minutiae_net"])
        if not all(isinstance(config[key], int) and config[key] > 0 for key in ("resolution", "window")):
            raise ValueError("no size of the images")
    except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise BadInput(
            f"{path}: is not a state of a minutiae network; give that of fg-train encoder"
        ) from error
    return network.eval().requires_grad_(False), config


def pairs_to_floats(pairs: Pairs, device: torch.device) -> tuple[Tensor, Tensor]:
    """Images in [-1, 1] and maps in [0, 1], both float32 on `device`."""
    return to_floats(pairs.images, device), pairs.maps.to(device).float() / 255


def resize_maps(maps: Tensor, size: int) -> Tensor:
    """Maps (N, 3, S, S) resized bilinearly, with antialiasing, to (N, 3, size, size)."""
    return F.interpolate(maps, size=(size, size), mode="bilinear", antialias=True)


def side_by_side(*columns: Tensor) -> Tensor:
    """Columns of images in [-1, 1], each (N, 1 or 3, R, R) → tiles of a sheet, row by row, for the first
    `SHOWN` of N: (rows · columns, 3, R, R)."""
    colored = [column[:SHOWN].expand(-1, 3, -1, -1) for column in columns]
    return torch.stack(colored, dim=1).flatten(0, 1)
