"""A discriminator that sees an image together with its minutiae map: is this print real, and of this map?

Conditional adversarial loss between an input and an output image: Isola et al., arXiv:1611.07004; the network
and its R1 penalty are StyleGAN2's.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..losses.adversarial import discriminator_loss, generator_loss, r1_penalty
from ..networks import Discriminator, Generator
from ..networks.precision import FULL, Precision
from .training_loop import descend, restore
from .warm_start import grow_discriminator

MAP_CHANNELS = 3
R1_INTERVAL = 16  # steps between R1 penalties
BETAS = (0.0, 0.99)


class Adversary:
    """The discriminator and its optimiser."""

    def __init__(
        self,
        decoder: Generator,
        learning_rate: float,
        r1_weight: float,
        device: torch.device,
        precision: Precision = FULL,
    ) -> None:
        """A discriminator of the size of `decoder`; `precision` of all but its penalty."""
        channels = decoder.channels + MAP_CHANNELS
        self.discriminator = Discriminator(decoder.resolution, channels, widths=decoder.widths).to(device)
        self.optimizer = torch.optim.Adam(self.discriminator.parameters(), lr=learning_rate, betas=BETAS)
        self.r1_weight, self.precision = r1_weight, precision

    def loss(self, images: Tensor, maps: Tensor) -> Tensor:
        """How well images (N, C, R, R) in [-1, 1] are told from real ones of their maps; scalar."""
        self.discriminator.requires_grad_(False)
        return generator_loss(self.judge(images, maps))

    def step(self, real: Tensor, made: Tensor, maps: Tensor, number: int) -> dict[str, float]:
        """Learn from real and made images (N, C, R, R) of the same maps; `number` counts the steps."""
        self.discriminator.requires_grad_(True)
        real_logits, made_logits = self.judge(real, maps), self.judge(made.detach(), maps)
        loss = discriminator_loss(real_logits, made_logits)
        descend(self.optimizer, loss)
        losses = {
            "loss/d": loss.item(),
            "logit/real": real_logits.mean().item(),
            "logit/made": made_logits.mean().item(),
        }
        if self.r1_weight and number % R1_INTERVAL == 0:
            real = real.detach().requires_grad_(True)
            penalty = r1_penalty(self.discriminator(_beside(real, maps)), real)
            descend(self.optimizer, self.r1_weight / 2 * R1_INTERVAL * penalty)
            losses["loss/r1"] = penalty.item()
        return losses

    def judge(self, images: Tensor, maps: Tensor) -> Tensor:
        """Logits (N, 1) of images (N, C, R, R) in [-1, 1] and maps (N, 3, S, S) in [0, 1]."""
        return self.discriminator(_beside(images, maps), self.precision)

    def grow(self, state: dict[str, Any]) -> None:
        """Begin with the discriminator of a `state`, perhaps of a smaller resolution."""
        self.discriminator.load_state_dict(
            grow_discriminator(self.discriminator.state_dict(), state["discriminator"])
        )

    def state(self) -> dict[str, Any]:
        """For `load`."""
        return {"discriminator": self.discriminator.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a `state`; the learning rate stays that of the configuration."""
        self.discriminator.load_state_dict(state["discriminator"])
        restore(self.optimizer, state["optimizer"])


def _beside(images: Tensor, maps: Tensor) -> Tensor:
    """Images (N, C, R, R) and their maps, drawn at their size: (N, C + 3, R, R) in [-1, 1]."""
    size = images.shape[2:]
    drawn = F.interpolate(maps, size=tuple(size), mode="bilinear", antialias=True)
    return torch.cat([images, 2 * drawn - 1], dim=1)
