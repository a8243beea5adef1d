"""StyleGAN2 training of the generator (Karras et al. 2020), resumable to the bit on a CPU.

All randomness of a step (images, latents, noise, mixing) comes from the run's seed and the count of images
seen, so a resumed run needs no stored random state.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from fingergen.runtime import seeds
from fingergen.runtime.errors import BadInput, FingerGenError
from torch import Tensor, nn

from .checkpoints import load_generator, save_generator
from .losses import discriminator_loss, generator_loss, path_lengths, r1_penalty
from .networks import Discriminator, Generator
from .runs import Interruption, Run
from .sources import ImageSource

STATE = "state.pt"
LOG_STEPS = 16  # a logged row is the mean over so many steps
EMA_RAMP = 0.05  # half-life of the average, as a part of the images seen so far (StyleGAN2-ADA)
SHAPE = ("resolution", "channels", "style_dim", "n_mlp", "channel_base", "channel_max")


@dataclass(frozen=True)
class GeneratorConfig:
    """What defines a run: on a CPU, the same configuration and data give the same generator."""

    resolution: int = 256
    channels: int = 1
    style_dim: int = 512
    n_mlp: int = 8
    channel_base: int = 32768
    channel_max: int = 512
    batch: int = 16
    learning_rate: float = 0.002
    r1_weight: float = 10.0
    r1_interval: int = 16  # steps
    path_weight: float = 2.0  # 0: no path-length regularisation
    path_interval: int = 4  # steps
    path_batch_shrink: int = 2
    mixing: float = 0.9  # probability of two latents in one image
    ema_half_life: int = 10_000  # images
    ppi: int = 250  # of the network's images, handed on to the exported bundle
    seed: int = 0

    def __post_init__(self) -> None:
        if self.resolution < 8 or self.resolution & (self.resolution - 1):
            raise BadInput(f"--resolution {self.resolution}: must be a power of two, 8 or more")
        if self.channels not in (1, 3):
            raise BadInput(f"--channels {self.channels}: must be 1 (grey) or 3 (RGB)")
        if self.batch < 1 or (self.batch > 4 and self.batch % 4):
            raise BadInput(f"--batch {self.batch}: must be 1 to 4 or a multiple of 4 (minibatch statistics)")
        for field in (
            "style_dim",
            "n_mlp",
            "channel_base",
            "channel_max",
            "r1_interval",
            "path_interval",
            "ppi",
        ):
            if getattr(self, field) < 1:
                raise BadInput(f"--{field.replace('_', '-')} {getattr(self, field)}: must be 1 or more")
        if not 0 <= self.mixing <= 1:
            raise BadInput(f"--mixing {self.mixing}: is a probability, 0 to 1")


class GeneratorTrainer:
    """Generator, discriminator, their optimisers and the moving average, advanced a batch at a time."""

    def __init__(self, config: GeneratorConfig, source: ImageSource, device: torch.device):
        self.config, self.source, self.device = config, source, device
        torch.manual_seed(config.seed)
        shape = config.resolution, config.channels
        width = config.channel_base, config.channel_max
        self.generator = Generator(*shape, config.style_dim, config.n_mlp, *width).to(device)
        self.discriminator = Discriminator(*shape, *width).to(device)
        self.g_ema = deepcopy(self.generator).eval().requires_grad_(False)
        self.g_optim = lazy_adam(self.generator, config, config.path_interval if config.path_weight else None)
        self.d_optim = lazy_adam(self.discriminator, config, config.r1_interval if config.r1_weight else None)
        self.mean_path_length = torch.zeros((), device=device)
        self.images_seen = 0

    # -- one step ---------------------------------------------------------------------------------------

    def run(self, images: int, interruption: Interruption) -> Iterator[dict[str, float]]:
        """Train until `images` have been seen or interruption is requested; yields each step's scalars."""
        with ThreadPoolExecutor(max_workers=1) as pool:  # draws the next batch while this one trains
            ahead = pool.submit(self._draw, self.images_seen)
            while self.images_seen < images and not interruption:
                reals = ahead.result().to(self.device).float() / 127.5 - 1
                ahead = pool.submit(self._draw, self.images_seen + self.config.batch)
                yield self.step(reals)

    def _draw(self, images_seen: int) -> Tensor:
        rng = np.random.Generator(np.random.Philox(key=[self.config.seed, images_seen]))
        return self.source.batch(rng, self.config.batch)

    def step(self, reals: Tensor) -> dict[str, float]:
        """Advance by one batch of images (N, C, R, R) in [-1, 1]."""
        config = self.config
        number = self.images_seen // config.batch
        stream = np.random.SeedSequence([config.seed, self.images_seen])
        torch.manual_seed(int(stream.generate_state(1, np.uint64)[0] >> 1))
        scalars = self._step_discriminator(reals)
        if config.r1_weight and number % config.r1_interval == 0:
            scalars |= self._regularise_discriminator(reals)
        scalars |= self._step_generator()
        if config.path_weight and number % config.path_interval == 0:
            scalars |= self._regularise_generator()
        self.images_seen += config.batch
        self._average()
        if not np.isfinite(list(scalars.values())).all():
            raise FingerGenError(
                f"training diverged after {self.images_seen} images (a loss is not finite): resume from the "
                "last state with a lower --learning-rate or a larger --r1-weight"
            )
        return scalars

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
        fakes, ws = self._synthesize(max(1, self.config.batch // self.config.path_batch_shrink))
        lengths = path_lengths(fakes, ws)
        self.mean_path_length = self.mean_path_length.lerp(lengths.detach().mean(), 0.01)
        penalty = (lengths - self.mean_path_length).square().mean()
        descend(self.g_optim, self.config.path_weight * self.config.path_interval * penalty)
        return {"loss/path": penalty.item(), "path_length": self.mean_path_length.item()}

    def _synthesize(self, count: int) -> tuple[Tensor, Tensor]:
        """Random images (N, C, R, R) and their ws (N, num_ws, style_dim), with style mixing."""
        num_ws = self.generator.num_ws
        z = torch.randn(2, count, self.config.style_dim, device=self.device)
        first, second = self.generator.map(z.flatten(0, 1)).unflatten(0, (2, count)).unsqueeze(2)
        # A mixed image takes its styles from the second latent from a random layer on.
        crossover = torch.randint(1, num_ws, (count, 1, 1), device=self.device)
        mixed = torch.rand(count, 1, 1, device=self.device) < self.config.mixing
        layers = torch.arange(num_ws, device=self.device).view(1, num_ws, 1)
        ws = torch.where(mixed & (layers >= crossover), second, first)
        return self.generator.synthesize(ws, noise=self.generator.random_noise(count)), ws

    @torch.no_grad()
    def _average(self) -> None:
        # Early on the average follows quickly, so that it forgets the random start.
        half_life = min(self.config.ema_half_life, self.images_seen * EMA_RAMP)
        decay = 0.5 ** (self.config.batch / half_life)
        for average, current in zip(self.g_ema.parameters(), self.generator.parameters(), strict=True):
            average.lerp_(current, 1 - decay)

    # -- state ------------------------------------------------------------------------------------------

    @torch.no_grad()
    def samples(self, count: int, psi: float = 1.0) -> Tensor:
        """Images (N, C, R, R) of seeds 0, 1, … from the averaged generator."""
        z = torch.from_numpy(np.stack([seeds.z(seed, self.config.style_dim) for seed in range(count)]))
        w = self.g_ema.map(z.to(self.device))
        return self.g_ema.synthesize(w if psi == 1 else self.g_ema.truncate(w, self.g_ema.mean_w(), psi))

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
            config=asdict(self.config),
            extra={"mean_path_length": self.mean_path_length.cpu()},
        )

    def load(self, path: Path) -> None:
        """Continue from what `save` wrote; all options but the networks' shapes may have changed."""
        checkpoint = load_generator(path)
        if (
            checkpoint.g is None
            or checkpoint.d is None
            or checkpoint.g_optim is None
            or checkpoint.d_optim is None
        ):
            raise BadInput(
                f"{path}: holds no training state (g, d and their optimisers); start with another --out"
            )
        for key in SHAPE:
            if checkpoint.config.get(key) != getattr(self.config, key):
                raise BadInput(
                    f"{path}: was trained with {key} {checkpoint.config.get(key)}, "
                    f"not {getattr(self.config, key)}; give the same option or another --out"
                )
        self.generator.load_state_dict(checkpoint.g)
        self.discriminator.load_state_dict(checkpoint.d)
        self.g_ema.load_state_dict(checkpoint.g_ema.state_dict())
        self.g_optim.load_state_dict(checkpoint.g_optim)
        self.d_optim.load_state_dict(checkpoint.d_optim)
        self.mean_path_length = checkpoint.extra["mean_path_length"].to(self.device)
        self.images_seen = checkpoint.images_seen or 0


def lazy_adam(network: nn.Module, config: GeneratorConfig, interval: int | None) -> torch.optim.Adam:
    """Adam, scaled for a regulariser that runs every `interval` steps (StyleGAN2, appendix B)."""
    ratio = 1.0 if interval is None else interval / (interval + 1)
    return torch.optim.Adam(network.parameters(), lr=config.learning_rate * ratio, betas=(0.0, 0.99**ratio))


def descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """One optimiser step down the gradient of `loss`."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def train_generator(
    trainer: GeneratorTrainer, out: Path, images: int, checkpoint_every: int, interruption: Interruption
) -> Iterator[tuple[int, dict[str, float]]]:
    """Train in the folder `out` until `images` have been seen; yields (images seen, scalars) after each step.

    Every `checkpoint_every` images, and at the end or when interrupted, it writes `out/state.pt` and a sheet
    of samples.
    """
    run = Run(out, trainer.images_seen)
    saved = trainer.images_seen
    recent: dict[str, list[float]] = {}

    def save() -> None:
        run.sheet(trainer.images_seen, trainer.samples(24), columns=6)
        trainer.save(out / STATE)

    try:
        for scalars in trainer.run(images, interruption):
            for name, value in scalars.items():
                recent.setdefault(name, []).append(value)
            if len(recent["loss/d"]) == LOG_STEPS:
                run.log(
                    trainer.images_seen, {name: float(np.mean(values)) for name, values in recent.items()}
                )
                recent.clear()
            if trainer.images_seen // checkpoint_every > saved // checkpoint_every:
                save()
                saved = trainer.images_seen
            yield trainer.images_seen, scalars
        if trainer.images_seen != saved:
            save()
    finally:
        run.close()
