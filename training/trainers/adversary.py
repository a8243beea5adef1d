"""A conditional discriminator: sees an image together with its minutiae map.

Conditional adversarial loss between an input and an output image: Isola et al., arXiv:1611.07004; the network
and its R1 penalty are StyleGAN2's.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..losses.adversarial import discriminator_loss, generator_loss, r1_penalty
from ..networks import Discriminator, Generator
from ..networks.precision import FULL, MixedPrecision
from .training_loop import descend, restore
from .warm_start import grow_discriminator

MAP_CHANNELS = 3
R1_INTERVAL = 16  # steps between R1 penalties
BETAS = (0.0, 0.99)


class Adversary:
    """The discriminator and its optimizer."""

    def __init__(
        self,
        decoder: Generator,
        learning_rate: float,
        r1_weight: float,
        device: torch.device,
        precision: MixedPrecision = FULL,
    ) -> None:
        """Make a discriminator for a decoder's images.

        Args:
            decoder: Gives resolution, channels and widths.
            learning_rate: Of Adam.
            r1_weight: Of the R1 penalty; 0: none.
            device: Where to train.
            precision: Of all but the penalty, which is always computed in float32.
        """
        channels = decoder.channels + MAP_CHANNELS
        self.discriminator = Discriminator(decoder.resolution, channels, widths=decoder.widths).to(device)
        self.optimizer = torch.optim.Adam(self.discriminator.parameters(), lr=learning_rate, betas=BETAS)
        self.r1_weight, self.precision = r1_weight, precision

    def loss(self, images: Tensor, maps: Tensor) -> Tensor:
        """The generator's loss.

        Args:
            images: Reconstructions (N, C, R, R), nominally in [-1, 1].
            maps: The maps (N, 3, S, S) in [0, 1] that they were made from.

        Returns:
            Non-saturating logistic loss, scalar.
        """
        self.discriminator.requires_grad_(False)
        return generator_loss(self.logits(images, maps))

    def step(self, real: Tensor, made: Tensor, maps: Tensor, number: int) -> dict[str, float]:
        """Train the discriminator on one batch.

        Args:
            real: Images (N, C, R, R) in [-1, 1] of the data.
            made: Reconstructions (N, C, R, R) from their maps.
            maps: The maps (N, 3, S, S) in [0, 1] of both.
            number: Steps before this one; every `R1_INTERVAL`-th has a penalty.

        Returns:
            `loss/d`, the mean logits and, where it was computed, `loss/r1`.
        """
        self.discriminator.requires_grad_(True)
        real_logits, made_logits = self.logits(real, maps), self.logits(made.detach(), maps)
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

    def logits(self, images: Tensor, maps: Tensor) -> Tensor:
        """Run the discriminator.

        Args:
            images: (N, C, R, R) in [-1, 1].
            maps: (N, 3, S, S) in [0, 1].

        Returns:
            Logits (N, 1), positive for real.
        """
        return self.discriminator(_beside(images, maps), self.precision)

    def grow(self, state: dict[str, Any]) -> None:
        """Begin with the discriminator of a `state`, which may be of a smaller resolution."""
        self.discriminator.load_state_dict(
            grow_discriminator(self.discriminator.state_dict(), state["discriminator"])
        )

    def state(self) -> dict[str, Any]:
        """Plain values and tensors for `load`."""
        return {"discriminator": self.discriminator.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a `state`; the learning rate stays that of the configuration."""
        self.discriminator.load_state_dict(state["discriminator"])
        restore(self.optimizer, state["optimizer"])


def _beside(images: Tensor, maps: Tensor) -> Tensor:
    """Images (N, C, R, R) and their maps, resized to them: (N, C + 3, R, R) in [-1, 1]."""
    resized = F.interpolate(maps, size=tuple(images.shape[2:]), mode="bilinear", antialias=True)
    return torch.cat([images, 2 * resized - 1], dim=1)
