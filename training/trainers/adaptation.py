"""Adapting a generator with ridge noise to the look of a sensor, of which there are a few scans.

Where ridges run is given by the ridge maps of the scans, so what is left to learn is small: how this sensor
shows them. Every scan has a look of its own, which is learned with the network ("Optimizing the latent space
of generative networks", Bojanowski et al., arXiv:1707.05776): a point before the mapping network, whose first
layer then takes the mean and covariance of these points, so that seeds have looks like those of the scans.
What nobody can foresee of a scan, its grain and stains, the energy score and a loss on texture teach without
a discriminator, which would know 50 scans by heart.
"""

from copy import deepcopy
from dataclasses import asdict, dataclass
from hashlib import blake2b
from math import cos, pi
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fingergen.runtime import seeds
from fingergen.runtime.bundle.ridge_noise import NoiseLayer, map_size, noise_images, of_white
from fingergen.runtime.errors import BadInput

from .. import distributed
from ..checkpoints import GeneratorCheckpoint, load_generator, save_generator
from ..data.datasets import to_floats
from ..data.scans import ScanDataset, Scans
from ..losses.energy import energy_score
from ..losses.ridges import ridge_loss
from ..losses.texture import texture_loss
from ..networks import Generator
from ..networks.layers import EqualLinear
from ..options import LARGEST_BATCH, check_numbers, check_sizes, setting
from .generator_config import SHAPE
from .run_dir import RunDirectory
from .training_loop import descend, restore, seed_torch, step_rng, update_ema

EMA_RAMP = 0.05  # half-life of the average, as a part of the images seen so far
LOOK_RATE = 20.0  # learning rate of looks, by that of the networks: they see one scan of a batch's many
LAST_RATE = 0.02  # learning rate at the end, by that at the start
TEXTURE_WEIGHT = 0.1  # of the loss on texture; the energy score has 1
ROW = 6  # scans held out, on a sheet
LOOKS = 2  # rows of them by the generator


@dataclass(frozen=True)
class AdaptationConfig:
    """What defines a run, beside its scans and the generator that it starts from."""

    batch: int = setting(4, "scans per step; for each, two images are made")
    learning_rate: float = setting(0.002, "learning rate of Adam; falls along a cosine until --images")
    ridge_weight: float = setting(
        2.0, "weight of the loss on ridges that show less of the ridge map than the scans do"
    )
    ema_half_life: int = setting(10_000, "half-life, in images, of the generator's EMA")
    seed: int = setting(0, "seed of the whole run")

    def __post_init__(self) -> None:
        check_numbers(self)
        check_sizes(self, ["batch"], most=LARGEST_BATCH)
        check_sizes(self, ["ema_half_life"])


class AdaptationTrainer:
    """Synthesis network and the looks of scans, advanced a batch at a time."""

    def __init__(
        self,
        config: AdaptationConfig,
        start: GeneratorCheckpoint,
        dataset: ScanDataset,
        images: int,
        device: torch.device,
    ) -> None:
        """Begin with the averaged weights of a generator.

        Args:
            config: Options of the training.
            start: A generator with ridge noise, with the configuration of its training.
            dataset: Scans of the sensor, at the generator's resolution.
            images: After so many, the learning rate has fallen.
            device: Where to train.
        """
        self.config, self.dataset, self.images, self.device = config, dataset, images, device
        self.batch_size, self.images_seen = config.batch, 0
        self.layers = tuple(NoiseLayer(**each) for each in start.config["noise_layers"])
        self.ppi = float(start.config["ppi"])
        self.origin = start.config
        self.generator = deepcopy(start.g_ema).to(device).train().requires_grad_(True)
        # What z means is left as it is, so that looks stay near those that the network knows.
        self.generator.style.requires_grad_(False)
        self.g_ema = deepcopy(self.generator).eval().requires_grad_(False)
        self.looks = nn.Parameter(torch.zeros(len(dataset.scans), start.g_ema.style_dim, device=device))
        trained = [each for each in self.generator.parameters() if each.requires_grad]
        rate = config.learning_rate
        self._rates = rate, LOOK_RATE * rate
        parameters = trained, [self.looks]
        groups = [{"params": each, "lr": rate} for each, rate in zip(parameters, self._rates, strict=True)]
        self.optimizer = torch.optim.Adam(groups, betas=(0.0, 0.99))
        self._reduction = self.generator.resolution // map_size(self.layers)

    # -- one step ---------------------------------------------------------------------------------------

    def load_batch(self, images_seen: int) -> Scans:
        """The scans to train on once `images_seen` images have been seen: this process's shard."""
        drawn = self.dataset.draw(step_rng(self.config.seed, images_seen), self.batch_size)
        return Scans(*map(distributed.shard, drawn))

    def step(self, batch: Scans) -> dict[str, float]:
        """Advance by one batch; the losses."""
        seed_torch(self.config.seed, self.images_seen)
        done = min(1.0, self.images_seen / self.images)
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * (LAST_RATE + (1 - LAST_RATE) * (1 + cos(pi * done)) / 2)
        reals = to_floats(batch.images, self.device)
        ridges, contact = batch.maps.to(self.device).split(1, dim=1)
        # Two images of each scan, of one look and different noise.
        w = self._map(self.generator, self.looks[batch.numbers.to(self.device)])
        white = of_white(self.layers, self._draw_noise())
        noise = noise_images(self.layers, ridges.repeat(2, 1, 1, 1), contact.repeat(2, 1, 1, 1), white)
        fakes = self.generator.synthesize(w.repeat(2, 1), noise)
        first, second = fakes.chunk(2)
        shown = batch.shown.to(self.device).float()
        score = energy_score(first, second, reals, shown)
        texture = texture_loss(first, reals, contact, shown)
        small, real = (F.avg_pool2d(each, self._reduction) for each in (first, reals))
        off = ridge_loss(small, real, ridges, contact, self.ppi / self._reduction)
        descend(self.optimizer, score + TEXTURE_WEIGHT * texture + self.config.ridge_weight * off)
        seen = self.images_seen + self.config.batch
        half_life = min(self.config.ema_half_life, seen * EMA_RAMP)
        update_ema(self.g_ema.parameters(), self.generator.parameters(), self.config.batch, half_life)
        return {"loss/score": score.item(), "loss/texture": texture.item(), "loss/ridges": off.item()}

    def _draw_noise(self) -> list[Tensor]:
        """White noise of two images of each scan, first those of one kind, then those of the other: drawn for
        the whole batch, this process's shard of it kept."""
        count = min(self.config.batch, len(self.looks))
        both = (each.split(count) for each in self.generator.random_noise(2 * count))
        return [torch.cat([distributed.shard(drawn) for drawn in pair]) for pair in both]

    @staticmethod
    def _map(generator: Generator, looks: Tensor) -> Tensor:
        """w of looks (N, style_dim): z whose length counts."""
        for layer in list(generator.style)[1:]:  # the first sets the length
            looks = layer(looks)
        return looks

    # -- the generator that comes of it -----------------------------------------------------------------

    @torch.no_grad()
    def adapted(self) -> Generator:
        """The averaged generator, whose seeds have looks like those of the scans."""
        generator = deepcopy(self.g_ema)
        first = cast(EqualLinear, generator.style[1])
        looks = self.looks.double()
        mean = looks.mean(dim=0)
        values, vectors = torch.linalg.eigh(torch.cov(looks.T))
        root = vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T  # of the covariance
        weight = first.weight.double()
        first.bias.add_((weight @ mean * first.scale / first.lr_mul).float())
        first.weight.copy_((weight @ root).float())
        return generator

    @torch.no_grad()
    def sample(self, run: RunDirectory) -> None:
        """Write a sheet: scans held out, and the same fingers with looks of seeds; log how far gray levels
        are apart."""
        generator, scans = self.adapted(), self.dataset.spare(ROW)
        reals = to_floats(scans.images, self.device)
        ridges, contact = scans.maps.to(self.device).split(1, dim=1)
        rows = [reals]
        for row in range(LOOKS):
            numbers = range(row * ROW, (row + 1) * ROW)
            z = np.stack([seeds.z(seed, generator.style_dim) for seed in numbers])
            white = generator.random_noise(ROW, torch.Generator(self.device).manual_seed(row))
            noise = noise_images(self.layers, ridges, contact, of_white(self.layers, white))
            rows.append(generator.synthesize(generator.map(torch.from_numpy(z).to(self.device)), noise))
        run.sheet(self.images_seen, torch.cat(rows), columns=ROW)
        shown = scans.shown.to(self.device)
        real, made = (levels(rows[0], shown), levels(torch.cat(rows[1:]), shown.repeat(LOOKS, 1, 1, 1)))
        run.log(self.images_seen, {"held_out/gray": (real - made).abs().mean().item() * 127.5})

    # -- state ------------------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Write the adapted generator and everything that `load` needs to go on."""
        kept = {key: self.origin[key] for key in (*SHAPE, "noise_layers") if key in self.origin}
        save_generator(
            path,
            g_ema=self.adapted(),
            g_optim=self.optimizer,
            images_seen=self.images_seen,
            config={**kept, **asdict(self.config), "data": "scans", "ppi": self.ppi, "looks": [],
                    "scans": len(self.dataset.scans)},
            extra={"looks": self.looks.detach(), "current": self.generator.state_dict(),
                   "average": self.g_ema.state_dict(), "scans": self._names()},
        )  # fmt: skip

    def load(self, path: Path) -> None:
        """Continue from what `save` wrote."""
        checkpoint = load_generator(path)
        extra = checkpoint.extra
        current = extra.get("current", checkpoint.g)  # of files from before it was kept apart
        if current is None or checkpoint.g_optim is None or "looks" not in extra:
            raise BadInput(f"{path}: is no state of an adaptation to scans; give another --out")
        if checkpoint.g_ema.architecture() != self.generator.architecture():
            raise BadInput(
                f"{path}: was adapted from a generator of another architecture; give the same --start-from or"
                " another --out"
            )
        if extra.get("scans") != self._names():
            raise BadInput(f"{path}: was adapted to other scans; give the same --data or another --out")
        self.generator.load_state_dict(current)
        self.g_ema.load_state_dict(extra["average"])
        self.looks.data.copy_(extra["looks"])
        restore(self.optimizer, checkpoint.g_optim)
        self.images_seen = checkpoint.images_seen or 0

    def _names(self) -> str:
        return blake2b("\n".join(self.dataset.scans).encode(), digest_size=16).hexdigest()


def levels(images: Tensor, shown: Tensor) -> Tensor:
    """256 quantiles of the pixels of images (N, 1, R, R) where `shown`, (N, 1, R, R), is true."""
    values = images.clamp(-1, 1)[shown].sort().values
    return values[torch.linspace(0, len(values) - 1, 256, device=values.device).long()]
