"""Training of the minutiae network that the encoder's loss looks through."""

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
from ..data.pairs import Pairs, PairSource
from ..metrics.minutiae_matching import agreement_figures
from ..networks.minutiae_net import MinutiaeNet, map_distance
from .run_dir import Run
from .training_loop import descend, seed_torch, step_rng

LEARNING_RATE = 5e-3
SHOWN = 12  # pairs of a sheet
JUDGED = 32  # pairs that figures are taken from


class MinutiaeTrainer:
    """Trains a MinutiaeNet to draw the minutiae map of an image."""

    def __init__(
        self, source: PairSource, resolution: int, window: int, batch: int, seed: int, device: torch.device
    ):
        """`window`: side of the view in pixels at 500 ppi; `resolution`: of the images, in pixels."""
        self.source, self.batch_size, self.seed, self.device = source, batch, seed, device
        seed_torch(seed, 0)
        self.network = MinutiaeNet().to(device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=LEARNING_RATE)
        self.reader = MapReader(window).to(device)
        self.config = {"resolution": resolution, "window": window, **self.network.architecture()}
        self.images_seen = 0

    def draw(self, images_seen: int) -> Pairs:
        pairs = self.source.batch(step_rng(self.seed, images_seen), self.batch_size)
        return Pairs(distributed.shard(pairs.images), distributed.shard(pairs.maps))

    def step(self, batch: Pairs) -> dict[str, float]:
        """Advance by one batch."""
        self.network.train()
        images, maps = pairs_to_floats(batch, self.device)
        loss = map_distance(self.network, images, maps)
        descend(self.optimizer, loss)
        return {"loss/map": loss.item()}

    @torch.no_grad()
    def sample(self, run: Run) -> None:
        """A sheet of image, map and predicted map, and how many of the minutiae are seen."""
        self.network.eval()
        images, maps = pairs_to_floats(self.source.held_out(JUDGED), self.device)
        seen = torch.sigmoid(self.network(images))
        run.log(self.images_seen, agreement_figures(self.reader(seen), self.reader(maps)))
        run.sheet(
            self.images_seen,
            side_by_side(images, 2 * resize_maps(maps, images.shape[-1]) - 1, 2 * seen - 1),
            columns=6,
        )

    def save(self, path: Path) -> None:
        content = {"minutiae_net": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}
        write(path, {**content, "images_seen": self.images_seen, "config": self.config})

    def load(self, path: Path) -> None:
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
                f"{path}: is no whole state of a minutiae network; delete it to train it anew"
            ) from error


def _sees(config: Any) -> Any:
    """What a network, which is convolutional throughout, has to have been trained for: images of the same
    pixels per inch, whatever their field."""
    try:
        return {**config, "resolution": None, "window": config["window"] / config["resolution"]}
    except (KeyError, TypeError, ZeroDivisionError):
        return config


def load_minutiae_net(path: Path) -> tuple[MinutiaeNet, dict[str, Any]]:
    """The network in a state that `MinutiaeTrainer` wrote, frozen, and the configuration: `resolution` and
    `window` tell the images it is for. BadInput for any other file."""
    content = read(path)
    try:
        config = content["config"]
        network = MinutiaeNet(width=config["width"])
        network.load_state_dict(content["minutiae_net"])
        if not all(isinstance(config[key], int) and config[key] > 0 for key in ("resolution", "window")):
            raise ValueError("no size of the images")
    except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise BadInput(f"{path}: is no state of a minutiae network; give that of fg-train encoder") from error
    return network.eval().requires_grad_(False), config


def pairs_to_floats(pairs: Pairs, device: torch.device) -> tuple[Tensor, Tensor]:
    """Images in [-1, 1] and maps in [0, 1]."""
    return to_floats(pairs.images, device), pairs.maps.to(device).float() / 255


def resize_maps(maps: Tensor, size: int) -> Tensor:
    """Maps (N, 3, S, S) at another size."""
    return F.interpolate(maps, size=(size, size), mode="bilinear", antialias=True)


def side_by_side(*columns: Tensor) -> Tensor:
    """Sheets of images in [-1, 1], each (N, C or 3, R, R), as rows of tiles (`SHOWN` rows, 3, R, R)."""
    coloured = [column[:SHOWN].expand(-1, 3, -1, -1) for column in columns]
    return torch.stack(coloured, dim=1).flatten(0, 1)
