"""What the generator's noise inputs carry while it is trained, and what that means for the other parts."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fingergen.runtime.bundle.ridge_noise import (
    NoiseLayer,
    map_size,
    noise_images,
    of_white,
    ridge_noise_layers,
)
from fingergen.runtime.errors import BadOption

from ..data.ridge_maps import RidgeImages
from ..losses.grain import grain_loss
from ..losses.ridges import ridge_loss, rim_loss
from ..losses.roughness import roughness_loss
from ..losses.spots import spot_loss
from ..losses.tones import tone_loss
from ..networks import Generator
from ..networks.generator import NoiseInjection
from ..networks.layers import EqualLinear
from .generator_config import GeneratorConfig

Tensors = Sequence[Tensor]
Loss = tuple[Tensor, dict[str, Tensor]]  # what to descend, and figures to report

MAPS = 2  # images that the discriminator sees beside an image: ridge map and mask of contact
RIM_WEIGHT = 50.0  # of the loss on fading ridges, by that of the L1 distance
STRAIGHT = 3.0  # deviations: a unit of the mapping network that bends so far out is nearly linear
FIRST_STRENGTH = 0.3  # of noise inputs before training; StyleGAN2's 0 would let the ridges wait


class NoiseInputs(Protocol):
    """How a training treats the noise inputs of its generator.

    A condition is what a batch says beyond its images: tensors (N, …), perhaps none.
    """

    seen: int  # channels that the discriminator sees beside those of an image

    def prepare(self, generator: Generator) -> None:
        """Change the weights that a new generator begins with."""
        ...

    def heed_look(self, generator: Generator) -> None:
        """Let w depend on those numbers of z alone that make a look, where they are known."""
        ...

    def split(self, batch: Any) -> tuple[Tensor, Tensors]:
        """A batch of the dataset as images, uint8 (N, C, R, R), and their condition."""
        ...

    def z(self, z: Tensor, condition: Tensors) -> Tensor:
        """Drawn latents (N, 2, style_dim) as they are mapped."""
        ...

    def noise(self, white: Tensors, condition: Tensors) -> Tensors:
        """Noise inputs (N, 1, H, W), one per layer; `white`: standard normal numbers of these shapes."""
        ...

    def beside(self, images: Tensor, condition: Tensors) -> Tensor:
        """What the discriminator sees of images (N, C, R, R) in [-1, 1]: (N, C + seen, R, R)."""
        ...

    def loss(self, images: Tensor, reals: Tensor, condition: Tensors, images_seen: int) -> Loss | None:
        """Of the generator beside the adversarial one; `reals`, (N, C, R, R), have the same condition."""
        ...

    def describe(self) -> dict[str, Any]:
        """Plain values that a checkpoint keeps."""
        ...


class RandomNoise:
    """Noise is random, as in StyleGAN2; there is no condition."""

    seen = 0

    def prepare(self, generator: Generator) -> None:
        pass

    def heed_look(self, generator: Generator) -> None:
        pass

    def split(self, batch: Tensor) -> tuple[Tensor, Tensors]:
        return batch, []

    def z(self, z: Tensor, condition: Tensors) -> Tensor:
        return z

    def noise(self, white: Tensors, condition: Tensors) -> Tensors:
        return white

    def beside(self, images: Tensor, condition: Tensors) -> Tensor:
        return images

    def loss(self, images: Tensor, reals: Tensor, condition: Tensors, images_seen: int) -> Loss | None:
        return None

    def describe(self) -> dict[str, Any]:
        return {}


class RidgeNoise:
    """Noise says where ridges run; the first numbers of z are those of the look, where that is known.

    The discriminator sees ridge map and contact beside an image, and each number of the look as a constant
    channel, so that it also learns whether they belong together.
    """

    def __init__(
        self,
        config: GeneratorConfig,
        look: int,
        ppi: float,
        names: Sequence[str] = (),
        known: Sequence[int] = (),
    ) -> None:
        """Decide what each layer takes.

        Args:
            config: Options of the training.
            look: How many numbers a look has.
            ppi: Pixels per inch of the images.
            names: Of the first numbers of a look.
            known: Layers whose white noise the images come with.

        Raises:
            BadInput: If z has no room for a look.
        """
        if config.style_dim < look:
            raise BadOption("style-dim", config.style_dim, f"must be at least {look}, the numbers of a look")
        self.config, self.look, self.ppi, self.names, self.known = config, look, ppi, names, known
        self.seen = MAPS + look
        self.layers: tuple[NoiseLayer, ...] = ridge_noise_layers(config.resolution, ppi)
        self._reduction = config.resolution // map_size(self.layers)

    @torch.no_grad()
    def prepare(self, generator: Generator) -> None:
        injections = [layer for layer in generator.modules() if isinstance(layer, NoiseInjection)]
        for number, injection in enumerate(injections):
            # Where white noise is known, that of other layers could only disturb what pairs teach.
            tells = not self.known or number in self.known or self.layers[number].source != "white"
            nn.init.constant_(injection.weight, FIRST_STRENGTH if tells else 0.0)
        # The mapping network learns a hundred times more slowly than the others. With random weights it would
        # hide the look: of the variance of a number of z, four layers leave 28 % that is linear in w. So it
        # begins with rotations, and with biases that keep activations mostly positive: 93 % of two layers.
        # With several layers, raw z is bent first; at the start the second layer takes what is straight.
        raw, numbers = generator.raw_z and bool(self.names), len(self.names)
        layers = [cast(EqualLinear, layer) for layer in list(generator.style)[1:]]
        x = generator.style[0](torch.randn(4096, generator.style_dim))
        for place, layer in enumerate(layers):
            nn.init.orthogonal_(layer.weight).div_(layer.scale)
            if raw and place < 2:
                layer.weight[:, numbers:] = 0.0
            values = F.linear(x, layer.weight * layer.scale)
            layer.bias.copy_((values.std(dim=0) - values.mean(dim=0)) / layer.lr_mul)
            if raw and place == 0 and len(layers) > 1:
                bend(layer, numbers)
            x = layer(x)

    @torch.no_grad()
    def heed_look(self, generator: Generator) -> None:
        # What the other numbers do to w is noise to every layer: half of the error of grays, in the demo.
        if self.names:
            cast(EqualLinear, generator.style[1]).weight[:, len(self.names) :] = 0.0

    def split(self, batch: RidgeImages) -> tuple[Tensor, Tensors]:
        return batch.images, [batch.maps, batch.look, *batch.fields]

    def z(self, z: Tensor, condition: Tensors) -> Tensor:
        look = condition[1].unsqueeze(1).expand(-1, z.shape[1], -1)
        if self.config.raw_z and self.names:  # weights of the other numbers, which are 0, stay so
            look = look[:, :, : len(self.names)]
            return F.pad(look, (0, z.shape[2] - look.shape[2]))
        return torch.cat([look, z[:, :, self.look :]], dim=2)

    def noise(self, white: Tensors, condition: Tensors) -> Tensors:
        drawn = list(white)
        for number, field in zip(self.known, condition[2:], strict=True):
            drawn[number] = field
        ridges, contact = condition[0].split(1, dim=1)
        return noise_images(self.layers, ridges, contact, of_white(self.layers, drawn))

    def beside(self, images: Tensor, condition: Tensors) -> Tensor:
        look = condition[1][:, :, None, None].expand(-1, -1, *images.shape[2:])
        maps = F.interpolate(condition[0], scale_factor=self._reduction, mode="bilinear")
        ridges, contact = maps.split(1, dim=1)
        return torch.cat([images, ridges, 2 * contact - 1, look], dim=1)

    def loss(self, images: Tensor, reals: Tensor, condition: Tensors, images_seen: int) -> Loss | None:
        ridges, contact = condition[0].split(1, dim=1)
        seen, real = (F.avg_pool2d(each, self._reduction) for each in (images, reals))
        off = ridge_loss(seen, real, ridges, contact, self.ppi / self._reduction)
        figures = {"loss/ridges": off}
        total = self.config.ridge_weight * off
        if self.look and (weight := self._l1_weight(images_seen)):
            figures["loss/l1"] = (images - reals).abs().mean()
            figures["loss/rim"] = rim_loss(seen, real, contact, self.ppi / self._reduction)
            total = total + weight * (figures["loss/l1"] + RIM_WEIGHT * figures["loss/rim"])
            if self.config.grain_weight:
                figures["loss/grain"] = grain_loss(images, reals)
                total = total + self.config.grain_weight * figures["loss/grain"]
            if self.config.roughness_weight:
                figures["loss/roughness"] = roughness_loss(images, reals, contact)
                total = total + self.config.roughness_weight * figures["loss/roughness"]
            if self.config.spot_weight:
                figures["loss/spot"] = spot_loss(images, reals)
                total = total + self.config.spot_weight * figures["loss/spot"]
            if self.config.tone_weight:
                figures["loss/tone"] = tone_loss(images, reals)
                total = total + self.config.tone_weight * figures["loss/tone"]
        return total, figures

    def describe(self) -> dict[str, Any]:
        return {
            "look": self.look,
            "looks": list(self.names),
            "noise_layers": [layer._asdict() for layer in self.layers],
        }

    def _l1_weight(self, images_seen: int) -> float:
        until = self.config.l1_images
        left = max(0.0, 1.0 - images_seen / until) if until else 1.0
        return self.config.l1_weight * left


def bend(layer: EqualLinear, numbers: int) -> None:
    """Let each unit of a layer take one of the first numbers of z and bend at one of its quantiles.

    So the next layer can make any smooth function of each number.

    Args:
        layer: The first of a mapping network, with `numbers` units or more; changed in place. Its first units
            bend so far out that they are straight.
        numbers: How many numbers.
    """
    rounds = -(-layer.weight.shape[0] // numbers)
    layer.weight.zero_()
    for unit in range(len(layer.weight)):
        turn, number = divmod(unit, numbers)
        at = NormalDist().inv_cdf(turn / rounds) if turn else -STRAIGHT
        layer.weight[unit, number] = 1 / layer.scale
        layer.bias[unit] = -at / layer.lr_mul
