"""Training of the network that reads orientation, ridge period and contact off a template."""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from fingergen.runtime.errors import BadInput
from fingergen.runtime.minutiae.raster import LOG_SCALE

from .. import distributed
from ..checkpoints.files import read, write
from ..data.fields import FieldExamples, Fields
from ..networks.field_net import FieldNet
from .run_dir import RunDirectory
from .training_loop import descend, restore, seed_torch, step_rng

_SHOWN = 64  # examples that figures are taken from
_OUTSIDE = 0.05  # weight of the fields where there is no contact: to be smooth there


class FieldTrainer:
    """Trains a FieldNet on procedural fingers."""

    def __init__(
        self,
        dataset: FieldExamples,
        batch: int,
        learning_rate: float,
        images: int,
        seed: int,
        device: torch.device,
    ) -> None:
        """See the options of `fg-train encoder`; the learning rate falls to 0 after `images` examples, along
        a cosine."""
        self.dataset, self.batch_size, self.seed, self.device = dataset, batch, seed, device
        self.learning_rate, self.images = learning_rate, images
        seed_torch(seed, 0)
        self.network = FieldNet().to(device)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=learning_rate)
        self.images_seen = 0

    def load_batch(self, images_seen: int) -> Fields:
        """The batch to train on once `images_seen` examples have been seen."""
        batch = self.dataset.batch(step_rng(self.seed, images_seen), self.batch_size)
        return Fields(distributed.shard(batch.rasters), distributed.shard(batch.targets))

    def step(self, batch: Fields) -> dict[str, float]:
        """Advance by one batch; the losses."""
        self.network.train()
        fraction = min(1.0, self.images_seen / self.images)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate * (0.01 + 0.99 * (1 + math.cos(math.pi * fraction)) / 2)
        orientation, period, contact = field_losses(
            self.network(batch.rasters.to(self.device)), batch.targets.to(self.device)
        )
        descend(self.optimizer, 2.0 * orientation + 0.3 * period + 0.3 * contact)
        return {
            "loss/orientation": orientation.item(),
            "loss/period": period.item(),
            "loss/contact": contact.item(),
        }

    @torch.no_grad()
    def sample(self, run: RunDirectory) -> None:
        """Log the errors on fingers held out."""
        self.network.eval()
        batch = self.dataset.held_out(_SHOWN)
        figures = field_errors(self.network(batch.rasters.to(self.device)).cpu(), batch.targets)
        run.log(self.images_seen, {f"held_out/{name}": value for name, value in figures.items()})

    def save(self, path: Path) -> None:
        """Write the network, the optimizer and the images seen, atomically, to `path`."""
        content = {"field_net": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}
        config = {"form": "fields", "widths": list(self.network.widths)}
        write(path, {**content, "images_seen": self.images_seen, "config": config})

    def load(self, path: Path) -> None:
        """Read a state; BadInput if it is not one of `save`."""
        content = read(path)
        try:
            self.network.load_state_dict(content["field_net"])
            restore(self.optimizer, content["optimizer"])
            self.images_seen = int(content["images_seen"])
        except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise BadInput(f"{path}: not a state of the field network; give another --out") from error


def field_losses(predicted: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Losses of orientation and log period (mean squares weighted by contact), and of contact (entropy)."""
    contact = target[:, 3:]
    weight = contact + _OUTSIDE
    orientation = ((predicted[:, :2] - target[:, :2]).square() * weight).mean()
    period = ((predicted[:, 2:3] - target[:, 2:3]).square() * weight).mean()
    return orientation, period, F.binary_cross_entropy_with_logits(predicted[:, 3:], contact)


def field_errors(predicted: Tensor, target: Tensor) -> dict[str, float]:
    """Where there is contact: median and 95th percentile of the orientation's error in degrees, mean relative
    error of the period; and the intersection over union of contact."""
    touched = target[:, 3] > 0.5
    found = torch.atan2(predicted[:, 1], predicted[:, 0]) - torch.atan2(target[:, 1], target[:, 0])
    degrees = torch.atan2(found.sin(), found.cos()).abs()[touched].rad2deg() / 2
    period = torch.expm1((predicted[:, 2] - target[:, 2]).abs()[touched] / LOG_SCALE)
    said = predicted[:, 3] > 0
    return {
        "orientation_median": degrees.median().item(),
        "orientation_95": degrees.sort().values[int(0.95 * (len(degrees) - 1))].item(),
        "period": period.mean().item(),
        "contact": ((said & touched).sum() / (said | touched).sum()).item(),
    }
