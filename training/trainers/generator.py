"""StyleGAN2 training of the generator (Karras et al. 2020), resumable to the bit on a CPU.

All randomness of a step (images, latents, noise, mixing) comes from the run's seed and the count of images
seen, so a resumed run needs no stored random state.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from fingergen.runtime import seeds
from fingergen.runtime.errors import BadInput, BadOption

from .. import distributed
from ..augmentation.adaptive_strength import AdaptiveStrength
from ..augmentation.augment import augment, draw_transforms
from ..checkpoints import GeneratorCheckpoint, load_generator, save_generator
from ..checkpoints.bundle import load_start
from ..data.datasets import ImageDataset, to_floats
from ..data.ridge_maps import RidgeImageDataset, RidgeImages
from ..losses.adversarial import discriminator_loss, generator_loss, path_lengths, r1_penalty
from ..networks import Discriminator, Generator
from ..networks.generator import ImagePadding, NoiseInjection, feature_widths
from ..networks.precision import DTYPES, MixedPrecision
from .generator_config import BEFORE, GROUP, SHAPE, GeneratorConfig
from .noise import Loss, NoiseInputs, RandomNoise, RidgeNoise, Tensors
from .run_dir import RunDirectory
from .training_loop import descend, restore, seed_torch, step_rng, update_ema
from .warm_start import grow_discriminator, grow_generator, levels_between, with_mapping_rate

SAMPLES = 24  # on a sheet
EMA_RAMP = 0.05  # half-life of the average, as a part of the images seen so far (StyleGAN2-ADA)
PATH_DECAY = 0.01  # how far the mean path length moves towards that of a batch
NOISE = slice(3, None)  # of drawn latents
ROW = 8  # impressions held out, on a sheet of ridge noise
LOOKS = 3  # rows of them by the generator


class GeneratorTrainer:
    """Generator, discriminator, their optimizers and the moving average, advanced a batch at a time."""

    def __init__(
        self,
        config: GeneratorConfig,
        dataset: ImageDataset | RidgeImageDataset,
        provenance: Mapping[str, Any],
        device: torch.device,
    ):
        """Make the networks and their optimizers.

        Args:
            config: Options of the training.
            dataset: Training images; with ridge noise, a RidgeImageDataset.
            provenance: Plain values that describe the images, stored with the configuration; `ppi` among them
                is the resolution of the network's images, which an exported bundle goes by.
            device: Where to train.

        Raises:
            BadInput: If a batch cannot be divided evenly.
        """
        processes = distributed.count()
        if config.batch % (processes * config.accumulate * min(config.batch, GROUP)):
            raise BadOption(
                "batch",
                config.batch,
                f"must be a multiple of {processes * config.accumulate * GROUP}, so"
                f" that each of the {processes} processes, times --accumulate {config.accumulate}, holds"
                f" whole groups of {GROUP} images (minibatch statistics)",
            )
        self.config, self.dataset, self.device = config, dataset, device
        self.noise: NoiseInputs = RandomNoise()
        if config.noise == "ridges":
            ridges = cast(RidgeImageDataset, dataset)
            self.noise = RidgeNoise(config, ridges.look, provenance["ppi"], ridges.names, ridges.known)
        self.provenance = {**provenance, **self.noise.describe()}
        self.batch_size, self.images_seen = config.batch, 0
        seed_torch(config.seed, 0)
        shape = config.resolution, config.channels
        width = config.channel_base, config.channel_max
        padding = cast(ImagePadding, config.image_padding)
        widths = feature_widths(config.resolution, *width, channel_min=config.channel_min)
        self.generator = Generator(
            *shape,
            config.style_dim,
            config.n_mlp,
            widths=widths,
            lr_mlp=config.lr_mlp,
            image_padding=padding,
            styled_noise=config.styled_noise,
            raw_z=config.raw_z,
        )
        self.noise.prepare(self.generator)
        self.generator.to(device)
        seen = config.resolution, config.channels + self.noise.seen
        self.discriminator = Discriminator(*seen, *width).to(device)
        self.g_ema = deepcopy(self.generator).eval().requires_grad_(False)
        self.g_optim = lazy_adam(self.generator, config, config.path_interval if config.path_weight else None)
        self.d_optim = lazy_adam(self.discriminator, config, config.r1_interval if config.r1_weight else None)
        self.mean_path_length = 0.0
        self.strength = AdaptiveStrength(config.ada_target, config.ada_length, config.ada_interval)
        self.precision = MixedPrecision(DTYPES[config.precision], config.num_fp16_res)
        half = config.precision == "fp16"
        self.g_scaler, self.d_scaler = (torch.amp.GradScaler(device.type) if half else None for _ in "gd")
        # Penalties differentiate twice, which compiled code cannot.
        accelerate = torch.compile if config.compile else lambda function: function
        self._fast_synthesize = accelerate(self.generator.synthesize)
        self._fast_discriminate = accelerate(self.discriminator)

    # -- one step ---------------------------------------------------------------------------------------

    def load_batch(self, images_seen: int) -> Tensor | RidgeImages:
        drawn = self.dataset.batch(step_rng(self.config.seed, images_seen), self.batch_size)
        if isinstance(drawn, Tensor):
            return distributed.shard(drawn)
        images, maps, look, fields = drawn
        images, maps, look = map(distributed.shard, (images, maps, look))
        return RidgeImages(images, maps, look, tuple(map(distributed.shard, fields)))

    def step(self, batch: Tensor | RidgeImages) -> dict[str, float]:
        """Advance by one batch of the dataset: this process's shard of it."""
        config = self.config
        seed_torch(config.seed, self.images_seen)
        reals, condition = self._prepare(batch)
        number = self.images_seen // config.batch
        if self.images_seen < config.paired_images:
            losses = self._step_paired(reals, condition)
            self._update_ema()
            return losses
        losses = self._step_discriminator(reals, condition)
        if config.r1_weight and number % config.r1_interval == 0:
            losses |= self._regularize_discriminator(reals, condition)
        losses |= self._step_generator(reals, condition)
        if config.path_weight and number % config.path_interval == 0:
            losses |= self._regularize_generator(condition)
        self._update_ema()
        return losses

    def _prepare(self, batch: Tensor | RidgeImages) -> tuple[Tensor, Tensors]:
        """Images (N, C, R, R) in [-1, 1] and their condition, on the training's device."""
        images, condition = self.noise.split(batch)
        return to_floats(images, self.device), [each.to(self.device) for each in condition]

    def _step_discriminator(self, reals: Tensor, condition: Tensors) -> dict[str, float]:
        self.generator.requires_grad_(False)
        self.discriminator.requires_grad_(True)
        count = self.config.batch

        def loss(
            real: Tensors, condition: Tensors, latents: Tensors, of_real: Tensors, of_fake: Tensors
        ) -> Loss:
            fakes = self._synthesize(latents, condition)
            real_logits = self._logits(real[0], condition, of_real)
            fake_logits = self._logits(fakes, condition, of_fake)
            loss = discriminator_loss(real_logits, fake_logits)
            figures = {"loss/d": loss, "logit/real": real_logits.mean(), "logit/fake": fake_logits.mean()}
            if self.config.augment:
                figures["ada/sign"] = real_logits.sign().mean()
            return loss, figures

        drawn = self._draw_latents(count), self._draw_transforms(count), self._draw_transforms(count)
        figures = self._descend(self.d_optim, self.d_scaler, loss, [reals], condition, *drawn)
        if self.config.augment:
            figures["ada/p"] = self.transform_p
            if not self.config.augment_p:
                self.strength.observe(figures["ada/sign"], count)
        return figures

    def _regularize_discriminator(self, reals: Tensor, condition: Tensors) -> dict[str, float]:
        def loss(real: Tensors, condition: Tensors, transforms: Tensors) -> Loss:
            images = real[0].detach().requires_grad_(True)
            seen = augment(self.noise.beside(images, condition), transforms)
            penalty = r1_penalty(self.discriminator(seen), images)
            return self.config.r1_weight / 2 * self.config.r1_interval * penalty, {"loss/r1": penalty}

        transforms = self._draw_transforms(self.config.batch)
        return self._descend(self.d_optim, None, loss, [reals], condition, transforms)

    def _step_generator(self, reals: Tensor, condition: Tensors) -> dict[str, float]:
        self.generator.requires_grad_(True)
        self.discriminator.requires_grad_(False)

        def loss(real: Tensors, condition: Tensors, latents: Tensors, transforms: Tensors) -> Loss:
            fakes = self._synthesize(latents, condition)
            loss = generator_loss(self._logits(fakes, condition, transforms))
            figures = {"loss/g": loss}
            if more := self.noise.loss(fakes, real[0], condition, self.images_seen):
                loss, figures = loss + more[0], figures | more[1]
            return loss, figures

        count = self.config.batch
        drawn = self._draw_latents(count), self._draw_transforms(count)
        return self._descend(self.g_optim, self.g_scaler, loss, [reals], condition, *drawn)

    def _step_paired(self, reals: Tensor, condition: Tensors) -> dict[str, float]:
        """Toward the impressions of the same condition alone, without a discriminator.

        The strengths of the noise inputs stay as they are, but for how they depend on w: they would fall to 0
        before the layers that follow have learned what the noise says.
        """
        self.generator.requires_grad_(True)
        for layer in self.generator.modules():
            if isinstance(layer, NoiseInjection):
                layer.weight.requires_grad_(False)

        def loss(real: Tensors, condition: Tensors, latents: Tensors) -> Loss:
            fakes = self._synthesize(latents, condition)
            paired = self.noise.loss(fakes, real[0], condition, self.images_seen)
            assert paired is not None  # GeneratorConfig has refused noise that pairs nothing
            return paired

        latents = self._draw_latents(self.config.batch)
        return self._descend(self.g_optim, self.g_scaler, loss, [reals], condition, latents)

    def _regularize_generator(self, condition: Tensors) -> dict[str, float]:
        def loss(latents: Tensors, condition: Tensors, direction: Tensors) -> Loss:
            ws = self._styles(latents, condition)
            noise = self.noise.noise(latents[NOISE], condition)
            lengths = path_lengths(self.generator.synthesize(ws, noise), ws, direction[0])
            # The mean so far: that of this batch too would need all its parts before the first is finished.
            penalty = (lengths - self.mean_path_length).square().mean()
            weighted = self.config.path_weight * self.config.path_interval * penalty
            return weighted, {"loss/path": penalty, "path_length": lengths.mean()}

        world = distributed.count()
        count = world * max(1, self.config.batch // self.config.path_batch_shrink // world)
        latents = self._draw_latents(count)
        shape = count, self.config.channels, self.config.resolution, self.config.resolution
        direction = distributed.shard(torch.randn(shape, device=self.device))
        part = [each[: len(direction)] for each in condition]
        figures = self._descend(self.g_optim, None, loss, latents, part, [direction])
        mean = distributed.mean_figures({"length": figures["path_length"]})["length"]
        self.mean_path_length += PATH_DECAY * (mean - self.mean_path_length)
        return {**figures, "path_length": self.mean_path_length}

    def _descend(
        self,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler | None,
        loss: Callable[..., Loss],
        *shard: Tensors,
    ) -> dict[str, float]:
        """One step on this process's `shard`, groups of tensors (N, …) that `loss` takes, in
        `config.accumulate` parts; the figures' means."""
        figures: dict[str, float] = {}
        total = len(shard[0][0])

        def losses() -> Iterator[Tensor]:
            for first in range(min(self.config.accumulate, total)):
                # Samples far apart, so that those of one group of minibatch statistics stay together.
                part = [[tensor[first :: self.config.accumulate] for tensor in group] for group in shard]
                weight = len(part[0][0]) / total
                value, found = loss(*part)
                for name, figure in found.items():
                    figures[name] = figures.get(name, 0.0) + weight * figure.item()
                yield weight * value

        descend(optimizer, losses(), scaler)
        return figures

    # -- random numbers: drawn for the whole batch, this process's shard of it kept --------------------------

    def _draw_latents(self, count: int) -> Tensors:
        """What makes `count` images: two z (N, 2, style_dim), from which style on (N, 1, 1) and whether
        (N, 1, 1) an image takes the second, and noise (N, 1, H, W) for every layer."""
        z = torch.randn(2, count, self.config.style_dim, device=self.device).transpose(0, 1)
        crossover = torch.randint(1, self.generator.num_ws, (count, 1, 1), device=self.device)
        mixed = torch.rand(count, 1, 1, device=self.device) < self.config.mixing
        drawn = [z, crossover, mixed, *self.generator.random_noise(count)]
        return [distributed.shard(each) for each in drawn]

    def _draw_transforms(self, count: int) -> Tensors:
        """Of `augmentation` for `count` images; none if there is to be none."""
        p, config = self.transform_p, self.config
        if not p:
            return []
        drawn = draw_transforms(count, config.channels, config.resolution, p, self.device)
        return [distributed.shard(each) for each in drawn]

    @property
    def transform_p(self) -> float:
        """Probability of each transform of what the discriminator sees."""
        return (self.config.augment_p or self.strength.p) if self.config.augment else 0.0

    # -- networks -------------------------------------------------------------------------------------------

    def _styles(self, latents: Tensors, condition: Tensors) -> Tensor:
        """ws (N, num_ws, style_dim) of drawn latents, with style mixing."""
        _, crossover, mixed = latents[:3]
        z = self.noise.z(latents[0], condition)
        first, second = self.generator.map(z.transpose(0, 1).flatten(0, 1)).unflatten(0, (2, -1)).unsqueeze(2)
        layers = torch.arange(self.generator.num_ws, device=self.device).view(1, -1, 1)
        return torch.where(mixed & (layers >= crossover), second, first)

    def _synthesize(self, latents: Tensors, condition: Tensors) -> Tensor:
        noise = self.noise.noise(latents[NOISE], condition)
        return self._fast_synthesize(self._styles(latents, condition), noise, self.precision)

    def _logits(self, images: Tensor, condition: Tensors, transforms: Tensors) -> Tensor:
        seen = augment(self.noise.beside(images, condition), transforms)
        return self._fast_discriminate(seen, self.precision)

    def _update_ema(self) -> None:
        """Of the parameters, not of noise buffers; quick at first, so that the random start is forgotten."""
        half_life = min(self.config.ema_half_life, (self.images_seen + self.config.batch) * EMA_RAMP)
        ema, current = self.g_ema.parameters(), self.generator.parameters()
        update_ema(ema, current, self.config.batch, half_life)

    # -- state ------------------------------------------------------------------------------------------

    @torch.no_grad()
    def samples(self, count: int) -> Tensor:
        """Images (N, C, R, R) of seeds 0, 1, … from the averaged generator."""
        return self.g_ema(self._z(range(count)))

    @torch.no_grad()
    def sample(self, run: RunDirectory) -> None:
        """Write a sheet of samples; show how weights, w and logits are spread."""
        if self.config.noise == "ridges":
            reals, condition = self._prepare(cast(RidgeImageDataset, self.dataset).held_out(ROW))
            rows = self.looks(condition)
            images, sheet = rows[0], torch.cat([reals, *rows])
        else:
            images = sheet = self.samples(SAMPLES)
            batch = self.dataset.batch(step_rng(self.config.seed, self.images_seen), SAMPLES)
            reals, condition = self._prepare(batch)
        run.sheet(self.images_seen, sheet, columns=ROW if self.config.noise == "ridges" else 6)
        run.weights(self.images_seen, generator=self.g_ema, discriminator=self.discriminator)
        spread = {
            "w": self.g_ema.map(torch.randn(1000, self.config.style_dim, device=self.device)),
            "logit/fake": self._logits(images, condition, []),
            "logit/real": self._logits(reals, condition, []),
        }
        run.histograms(self.images_seen, spread)

    @torch.no_grad()
    def looks(self, condition: Tensors) -> list[Tensor]:
        """Images (N, C, R, R) of a condition of N impressions from the averaged generator: with the looks of
        these impressions, then with those of other seeds."""
        count = len(condition[0])
        white = self.g_ema.random_noise(count, torch.Generator(self.device).manual_seed(0))
        noise = self.noise.noise(white, condition)
        seeds_of_rows = [range(row * count, (row + 1) * count) for row in range(LOOKS)]
        latents = [self._z(numbers) for numbers in seeds_of_rows]
        latents[0] = self.noise.z(latents[0][:, None], condition)[:, 0]
        return [self.g_ema.synthesize(self.g_ema.map(z), noise) for z in latents]

    def _z(self, numbers: Iterable[int]) -> Tensor:
        z = np.stack([seeds.z(seed, self.config.style_dim) for seed in numbers])
        return torch.from_numpy(z).to(self.device)

    def save(self, path: Path) -> None:
        """Write everything that `load` needs to go on."""
        save_generator(
            path,
            g_ema=self.g_ema,
            g=self.generator,
            d=self.discriminator,
            g_optim=self.g_optim,
            d_optim=self.d_optim,
            ada_p=self.strength.p,
            images_seen=self.images_seen,
            config={**asdict(self.config), **self.provenance},
            extra={
                "mean_path_length": self.mean_path_length,
                "ada": self.strength.state(),
                "scalers": [scaler.state_dict() for scaler in (self.g_scaler, self.d_scaler) if scaler],
            },
        )

    def start_from(self, path: Path, checkpoint: GeneratorCheckpoint | None = None) -> None:
        """Begin with the networks of a checkpoint of any origin, or of a bundle, to go on with other images.
        Where it has no discriminator, that starts afresh, and where it has the average alone, the generator
        is that.

        A checkpoint of a smaller resolution or of narrower layers is grown (`warm_start`). `checkpoint`: what
        the path holds, where it was loaded already."""
        checkpoint = checkpoint or load_start(path)
        levels = levels_between(path, checkpoint.g_ema, self.generator)
        average = checkpoint.g_ema.state_dict()
        for network, weights in ((self.g_ema, average), (self.generator, checkpoint.g or average)):
            scaled = with_mapping_rate(weights, checkpoint.g_ema.lr_mlp, network.lr_mlp)
            network.load_state_dict(grow_generator(network.state_dict(), scaled, levels))
            if network.raw_z:
                self.noise.heed_look(network)
        if checkpoint.d is not None:
            try:
                grown = grow_discriminator(self.discriminator.state_dict(), checkpoint.d)
                self.discriminator.load_state_dict(grown)
            except RuntimeError as error:
                raise BadOption(
                    "start-from", path, "its discriminator has other sizes, or sees fewer numbers of a look"
                ) from error

    def load(self, path: Path) -> None:
        """Continue from what `save` wrote; all options but the networks' shapes may have changed."""
        checkpoint = load_generator(path)
        g, d, g_optim, d_optim = checkpoint.g, checkpoint.d, checkpoint.g_optim, checkpoint.d_optim
        if g is None or d is None or g_optim is None or d_optim is None:
            raise BadInput(f"{path}: holds no training state (g, d and their optimizers); give another --out")
        config = {**asdict(self.config), **self.provenance}
        for key in (*SHAPE, "look"):
            before, now = checkpoint.config.get(key, BEFORE.get(key)), config.get(key)
            if before != now:
                raise BadInput(
                    f"{path}: was trained with {key} {before}, not {now};"
                    " give the same options or another --out"
                )
        self.generator.load_state_dict(g)
        self.discriminator.load_state_dict(d)
        restore(self.g_optim, g_optim)
        restore(self.d_optim, d_optim)
        self.g_ema.load_state_dict(checkpoint.g_ema.state_dict())
        extra = checkpoint.extra
        self.mean_path_length = float(extra["mean_path_length"])
        if "ada" in extra:  # files of the first version have neither this nor scalers
            self.strength.load(checkpoint.ada_p or 0.0, extra["ada"])
        for scaler, state in zip((self.g_scaler, self.d_scaler), extra.get("scalers", []), strict=False):
            if scaler:
                scaler.load_state_dict(state)
        self.images_seen = checkpoint.images_seen or 0


def lazy_adam(network: nn.Module, config: GeneratorConfig, interval: int | None) -> torch.optim.Adam:
    """Adam, scaled for a regulariser that runs every `interval` steps (StyleGAN2, appendix B)."""
    ratio = 1.0 if interval is None else interval / (interval + 1)
    return torch.optim.Adam(network.parameters(), lr=config.learning_rate * ratio, betas=(0.0, 0.99**ratio))
