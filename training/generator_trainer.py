"""StyleGAN2 training of the generator (Karras et al. 2020), resumable to the bit on a CPU.

All randomness of a step (images, latents, noise, mixing) comes from the run's seed and the count of images
seen, so a resumed run needs no stored random state.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fingergen.runtime import seeds
from fingergen.runtime.errors import BadInput

from . import processes
from .checkpoints import load_generator, save_generator
from .loop import descend, restore, seed_torch, step_rng
from .losses import discriminator_loss, generator_loss, path_lengths, r1_penalty
from .networks import Discriminator, Generator
from .options import setting
from .runs import Run
from .sources import ImageSource

SAMPLES = 24  # on a sheet
EMA_RAMP = 0.05  # half-life of the average, as a part of the images seen so far (StyleGAN2-ADA)
SHAPE = ("resolution", "channels", "style_dim", "n_mlp", "channel_base", "channel_max")


@dataclass(frozen=True)
class GeneratorConfig:
    """What defines a run, beside its images: on a CPU, the same ones give the same generator."""

    resolution: int = setting(256, "image side in pixels, a power of two")
    channels: int = setting(1, "1 (grey) or 3 (RGB)")
    style_dim: int = setting(512, "length of z and w")
    n_mlp: int = setting(8, "layers of the mapping network")
    channel_base: int = setting(32768, "a layer has min(channel_max, channel_base / resolution) channels")
    channel_max: int = setting(512, "most channels of a layer")
    batch: int = setting(16, "images a step")
    learning_rate: float = setting(0.002, "of Adam")
    r1_weight: float = setting(10.0, "of the R1 penalty; 0 switches it off")
    r1_interval: int = setting(16, "steps between R1 penalties")
    path_weight: float = setting(2.0, "of the path-length penalty; 0 switches it off")
    path_interval: int = setting(4, "steps between path-length penalties")
    path_batch_shrink: int = setting(2, "the path-length batch is the batch divided by this")
    mixing: float = setting(0.9, "probability of style mixing")
    ema_half_life: int = setting(10_000, "images after which the weight average has forgotten half")
    seed: int = setting(0, "of the whole run")

    def __post_init__(self) -> None:
        if self.resolution < 8 or self.resolution & (self.resolution - 1):
            raise BadInput(f"--resolution {self.resolution}: must be a power of two, 8 or more")
        if self.channels not in (1, 3):
            raise BadInput(f"--channels {self.channels}: must be 1 (grey) or 3 (RGB)")
        if self.batch < 1 or (self.batch > 4 and self.batch % 4):
            raise BadInput(f"--batch {self.batch}: must be 1 to 4 or a multiple of 4 (minibatch statistics)")
        for field in ("style_dim", "n_mlp", "channel_base", "channel_max", "r1_interval", "path_interval"):
            if getattr(self, field) < 1:
                raise BadInput(f"--{field.replace('_', '-')} {getattr(self, field)}: must be 1 or more")
        if not 0 <= self.mixing <= 1:
            raise BadInput(f"--mixing {self.mixing}: is a probability, 0 to 1")


class GeneratorTrainer:
    """Generator, discriminator, their optimisers and the moving average, advanced a batch at a time."""

    def __init__(
        self,
        config: GeneratorConfig,
        source: ImageSource,
        provenance: Mapping[str, Any],
        device: torch.device,
    ):
        """`provenance`: plain values that describe the images, stored with the configuration; `ppi` among
        them is the resolution of the network's images, which an exported bundle goes by."""
        self.config, self.source, self.device = config, source, device
        self.provenance = dict(provenance)
        self.batch_size, self.images_seen = config.batch, 0
        seed_torch(config.seed, 0)
        shape = config.resolution, config.channels
        width = config.channel_base, config.channel_max
        self.generator = Generator(*shape, config.style_dim, config.n_mlp, *width).to(device)
        self.discriminator = Discriminator(*shape, *width).to(device)
        self.g_ema = deepcopy(self.generator).eval().requires_grad_(False)
        self.g_optim = lazy_adam(self.generator, config, config.path_interval if config.path_weight else None)
        self.d_optim = lazy_adam(self.discriminator, config, config.r1_interval if config.r1_weight else None)
        self.mean_path_length = torch.zeros((), device=device)

    # -- one step ---------------------------------------------------------------------------------------

    def draw(self, images_seen: int) -> Tensor:
        return processes.shard(self.source.batch(step_rng(self.config.seed, images_seen), self.batch_size))

    def step(self, batch: Tensor) -> dict[str, float]:
        """Advance by one batch of images, uint8 (N, C, R, R): this process's shard of it."""
        config = self.config
        seed_torch(config.seed, self.images_seen)
        reals = batch.to(self.device).float() / 127.5 - 1
        number = self.images_seen // config.batch
        losses = self._step_discriminator(reals)
        if config.r1_weight and number % config.r1_interval == 0:
            losses |= self._regularise_discriminator(reals)
        losses |= self._step_generator()
        if config.path_weight and number % config.path_interval == 0:
            losses |= self._regularise_generator()
        self._average()
        return losses

    def _step_discriminator(self, reals: Tensor) -> dict[str, float]:
        self.generator.requires_grad_(False)
        self.discriminator.requires_grad_(True)
        fakes, _ = self._synthesize(self.config.batch)
        real_logits, fake_logits = self.discriminator(reals), self.discriminator(fakes)
        loss = discriminator_loss(real_logits, fake_logits)
        descend(self.d_optim, loss)
        return {
            "loss/d": loss.item(),
            "logit/real": real_logits.mean().item(),
            "logit/fake": fake_logits.mean().item(),
        }

    def _regularise_discriminator(self, reals: Tensor) -> dict[str, float]:
        reals = reals.detach().requires_grad_(True)
        penalty = r1_penalty(self.discriminator(reals), reals)
        descend(self.d_optim, self.config.r1_weight / 2 * self.config.r1_interval * penalty)
        return {"loss/r1": penalty.item()}

    def _step_generator(self) -> dict[str, float]:
        self.generator.requires_grad_(True)
        self.discriminator.requires_grad_(False)
        fakes, _ = self._synthesize(self.config.batch)
        loss = generator_loss(self.discriminator(fakes))
        descend(self.g_optim, loss)
        return {"loss/g": loss.item()}

    def _regularise_generator(self) -> dict[str, float]:
        share = max(1, self.config.batch // self.config.path_batch_shrink // processes.count())
        fakes, ws = self._synthesize(share * processes.count())
        lengths = path_lengths(fakes, ws)
        mean = processes.average(lengths.detach().mean())
        self.mean_path_length = self.mean_path_length.lerp(mean, 0.01)
        penalty = (lengths - self.mean_path_length).square().mean()
        descend(self.g_optim, self.config.path_weight * self.config.path_interval * penalty)
        return {"loss/path": penalty.item(), "path_length": self.mean_path_length.item()}

    def _synthesize(self, count: int) -> tuple[Tensor, Tensor]:
        """This process's share of `count` random images (N, C, R, R) and their ws (N, num_ws, style_dim),
        with style mixing."""
        num_ws = self.generator.num_ws
        z = torch.randn(2, count, self.config.style_dim, device=self.device)
        z = z[:, processes.rank() :: processes.count()]
        first, second = self.generator.map(z.flatten(0, 1)).unflatten(0, (2, -1)).unsqueeze(2)
        # A mixed image takes its styles from the second latent from a random layer on.
        crossover = processes.shard(torch.randint(1, num_ws, (count, 1, 1), device=self.device))
        mixed = processes.shard(torch.rand(count, 1, 1, device=self.device)) < self.config.mixing
        layers = torch.arange(num_ws, device=self.device).view(1, num_ws, 1)
        ws = torch.where(mixed & (layers >= crossover), second, first)
        noise = [processes.shard(each) for each in self.generator.random_noise(count)]
        return self.generator.synthesize(ws, noise=noise), ws

    @torch.no_grad()
    def _average(self) -> None:
        # Early on the average follows quickly, so that it forgets the random start.
        half_life = min(self.config.ema_half_life, (self.images_seen + self.config.batch) * EMA_RAMP)
        decay = 0.5 ** (self.config.batch / half_life)
        for average, current in zip(self.g_ema.parameters(), self.generator.parameters(), strict=True):
            average.lerp_(current, 1 - decay)

    # -- state ------------------------------------------------------------------------------------------

    @torch.no_grad()
    def samples(self, count: int) -> Tensor:
        """Images (N, C, R, R) of seeds 0, 1, … from the averaged generator."""
        z = torch.from_numpy(np.stack([seeds.z(seed, self.config.style_dim) for seed in range(count)]))
        return self.g_ema(z.to(self.device))

    def sample(self, run: Run) -> None:
        """Write a sheet of samples."""
        run.sheet(self.images_seen, self.samples(SAMPLES), columns=6)

    def save(self, path: Path) -> None:
        """Write everything that `load` needs to go on."""
        save_generator(
            path,
            g_ema=self.g_ema,
            g=self.generator,
            d=self.discriminator,
            g_optim=self.g_optim,
            d_optim=self.d_optim,
            images_seen=self.images_seen,
            config={**asdict(self.config), **self.provenance},
            extra={"mean_path_length": self.mean_path_length.cpu()},
        )

    def load(self, path: Path) -> None:
        """Continue from what `save` wrote; all options but the networks' shapes may have changed."""
        checkpoint = load_generator(path)
        g, d, g_optim, d_optim = checkpoint.g, checkpoint.d, checkpoint.g_optim, checkpoint.d_optim
        if g is None or d is None or g_optim is None or d_optim is None:
            raise BadInput(f"{path}: holds no training state (g, d and their optimisers); give another --out")
        for key in SHAPE:
            if checkpoint.config.get(key) != getattr(self.config, key):
                raise BadInput(
                    f"{path}: was trained with {key} {checkpoint.config.get(key)}, "
                    f"not {getattr(self.config, key)}; give the same option or another --out"
                )
        self.generator.load_state_dict(g)
        self.discriminator.load_state_dict(d)
        restore(self.g_optim, g_optim)
        restore(self.d_optim, d_optim)
        self.g_ema.load_state_dict(checkpoint.g_ema.state_dict())
        self.mean_path_length = checkpoint.extra["mean_path_length"].to(self.device)
        self.images_seen = checkpoint.images_seen or 0


def lazy_adam(network: nn.Module, config: GeneratorConfig, interval: int | None) -> torch.optim.Adam:
    """Adam, scaled for a regulariser that runs every `interval` steps (StyleGAN2, appendix B)."""
    ratio = 1.0 if interval is None else interval / (interval + 1)
    return torch.optim.Adam(network.parameters(), lr=config.learning_rate * ratio, betas=(0.0, 0.99**ratio))
