"""Training of the minutiae-to-vec encoder: minutiae map → w whose image shows these minutiae.

A reconstruction from a real pair's map is compared with the pair's image: by L2, by the features of a
minutiae network, by the map's minutiae themselves and, if a discriminator is trained too, by its logits for
image and map. Some pairs of each batch are generated (z → w → image → minutiae found in it → map): their
true w is known, and the encoder's w is compared with it as well.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fingergen.runtime.errors import BadInput, BadOption

from .. import distributed
from ..checkpoints import load_reconstruction, save_reconstruction
from ..checkpoints.trunk import load_trunk
from ..data.minutiae_maps import MapReader, draw_maps
from ..data.pairs import PairDataset, Pairs
from ..losses.reconstruction import ImageLosses, Terms
from ..metrics.minutiae_matching import agreement_figures
from ..networks import Encoded, Encoder, Generator, Reconstructor
from ..networks.minutiae_net import MinutiaeNet
from ..networks.precision import DTYPES, MixedPrecision
from .adversary import BETAS, Adversary
from .encoder_config import SHAPE, EncoderConfig
from .generator_config import GROUP
from .minutiae import EVALUATED, pairs_to_floats, resize_maps, side_by_side
from .ranger import Ranger
from .run_dir import RunDirectory
from .training_loop import descend, restore, seed_torch, step_rng, update_ema
from .warm_start import grow_generator, levels_between, with_mapping_rate

MEAN_LATENTS = 10_000  # that the average w is computed from
EMA_RAMP = 0.5  # half-life of the average, as a part of the images seen so far
RANGER_BETAS = (0.95, 0.999)  # that it is commonly used with


class EncoderTrainer:
    """Encoder, its moving average, decoder and optimizer; takes one step per batch."""

    def __init__(
        self,
        config: EncoderConfig,
        generator: Generator,
        network: MinutiaeNet,
        dataset: PairDataset,
        window: int,
        provenance: Mapping[str, Any],
        device: torch.device,
    ):
        """Make encoder, optimizers and losses.

        Args:
            config: Options of the training.
            generator: The decoder; trained too if `config` says so, else frozen.
            network: The minutiae network; must be trained and frozen before the first step.
            dataset: Real pairs of images and maps.
            window: Side of the images' view in pixels at 500 ppi.
            provenance: Plain values that identify the generator, stored with the configuration.
            device: Where to train.

        Raises:
            BadInput: If the processes cannot share the batch, or a loss needs what is not installed.
        """
        self.config, self.dataset, self.device = config, dataset, device
        self.provenance = dict(provenance)
        self.batch_size, self.images_seen = config.batch, 0
        processes = distributed.count()
        if config.adversarial_weight and config.batch % (processes * min(config.batch, GROUP)):
            raise BadOption(
                "batch",
                config.batch,
                f"must be a multiple of {processes * GROUP}, so that each of the"
                f" {processes} processes holds whole groups of {GROUP} images (minibatch statistics)",
            )
        self.sampled = min(round(config.sampled * config.batch), config.batch - 1)
        if self.sampled % processes:
            raise BadOption(
                "sampled",
                config.sampled,
                f"gives {self.sampled} of {config.batch} images per step;"
                f" must be a multiple of the {processes} processes",
            )
        self.network, self.reader, self.window = network, MapReader(window).to(device), window
        seed_torch(config.seed, 0)
        encoder = Encoder(
            config.depth,
            config.width,
            style_dim=generator.style_dim,
            num_ws=generator.num_ws if config.w_plus else None,
            noise_levels=config.noise_levels(generator.resolution),
        )
        if config.start_from_latent_avg:
            torch.nn.init.zeros_(encoder.linear.weight)  # the first images are those of the average latent
        decoder = generator.requires_grad_(config.train_decoder)
        self.current = Reconstructor(encoder, decoder).to(device)
        self.w_avg = decoder.mean_w(MEAN_LATENTS)
        self.reconstructor = deepcopy(self.current).eval().requires_grad_(False)  # the moving average
        if config.start_from_latent_avg:
            self.current.latent_avg = self.reconstructor.latent_avg = self.w_avg
        groups: list[dict[str, Any]] = [{"params": encoder.parameters(), "lr": config.learning_rate}]
        if config.train_decoder:
            groups.append({"params": decoder.parameters(), "lr": config.decoder_rate * config.learning_rate})
        # Half precision for all resolutions: what autocast takes for the other networks too.
        self.precision = MixedPrecision(DTYPES[config.precision], len(decoder.noise_shapes()))
        self.adversary = None
        if config.adversarial_weight:
            rates = config.discriminator_rate, config.r1_weight
            self.adversary = Adversary(decoder, *rates, device, self.precision)
        betas = BETAS if self.adversary else None
        self.optimizer: torch.optim.Optimizer
        if config.optimizer == "ranger":
            self.optimizer = Ranger(groups, betas=betas or RANGER_BETAS)
        else:
            self.optimizer = torch.optim.Adam(groups, betas=betas or (0.9, 0.999))
        self.image_losses = ImageLosses(config, network, window, device)

    def start_from_trunk(self, path: Path) -> None:
        """Begin with a pretrained trunk.

        Args:
            path: IR-SE weights.

        Raises:
            BadInput: If they do not fit the encoder.
        """
        for each in (self.current, self.reconstructor):
            load_trunk(path, each.encoder)

    def start_from(self, path: Path) -> None:
        """Begin with the networks of a reconstruction checkpoint.

        Where its images and maps are smaller at the same pixels per inch, the networks grow (`warm_start`):
        the encoder, which is convolutional throughout, is taken as it is, and so are those blocks of the
        decoder that have a match.

        Args:
            path: The checkpoint.

        Raises:
            BadInput: If its networks do not fit.
        """
        checkpoint = load_reconstruction(path)
        found, wanted = checkpoint.encoder.architecture(), self.current.encoder.architecture()
        for key, value in wanted.items():
            if found[key] != value:
                raise BadOption("start-from", path, f"its encoder has {key} {found[key]}, not {value}")
        if (checkpoint.latent_avg is not None) != self.config.start_from_latent_avg:
            raise BadOption(
                "start-from",
                path,
                f"was trained with start_from_latent_avg {not self.config.start_from_latent_avg}",
            )
        levels = levels_between(path, checkpoint.decoder, self.current.decoder)
        rates = checkpoint.decoder.lr_mlp, self.current.decoder.lr_mlp
        decoder = with_mapping_rate(checkpoint.decoder.state_dict(), *rates)
        for each in (self.current, self.reconstructor):
            each.encoder.load_state_dict(checkpoint.encoder.state_dict())
            each.decoder.load_state_dict(grow_generator(each.decoder.state_dict(), decoder, levels))
        if checkpoint.latent_avg is not None:
            self.w_avg.copy_(checkpoint.latent_avg)
        if self.adversary and (state := checkpoint.extra.get("adversary")):
            self.adversary.grow(state)

    # -- one step ---------------------------------------------------------------------------------------

    def load_batch(self, images_seen: int) -> Pairs:
        """Load this process's shard of the real pairs of a batch; see `training_loop.Trainer`."""
        pairs = self.dataset.batch(step_rng(self.config.seed, images_seen), self.batch_size - self.sampled)
        return Pairs(distributed.shard(pairs.images), distributed.shard(pairs.maps))

    def step(self, batch: Pairs) -> dict[str, float]:
        """Take one step on a batch.

        Args:
            batch: This process's shard of the real pairs; generated pairs are added to it.

        Returns:
            `loss`, and each of its terms before its weight as `loss/NAME`.
        """
        config = self.config
        seed_torch(config.seed, self.images_seen)
        self.current.train()
        images, maps = pairs_to_floats(batch, self.device)
        images = images.expand(-1, self.current.decoder.channels, -1, -1)
        if self.sampled:
            sampled_images, sampled_maps, sampled_w = self.sample_pairs(
                distributed.shard(self._draw_z(self.sampled))
            )
            images, maps = torch.cat([images, sampled_images]), torch.cat([maps, sampled_maps])
        encoded = self._encode(maps)
        found = self.current.decode(encoded, self.precision)
        with self._autocast():
            losses: Terms = self.image_losses(found, images, maps)
        losses["w"] = (config.w_weight, (encoded.w - self.w_avg).square().mean())
        if self.adversary:
            losses["adversarial"] = (config.adversarial_weight, self.adversary.loss(found, maps))
        if self.sampled:
            difference = encoded.w[-len(sampled_w) :] - (sampled_w[:, None] if config.w_plus else sampled_w)
            losses["latent"] = (config.latent_weight, difference.square().mean())
        loss = torch.stack([weight * value for weight, value in losses.values()]).sum()
        descend(self.optimizer, loss)
        self._update_ema()
        figures = {"loss": loss.item(), **{f"loss/{name}": each.item() for name, (_, each) in losses.items()}}
        if self.adversary:
            number = self.images_seen // self.batch_size
            figures |= self.adversary.step(images, found, maps, number)
        return figures

    def _autocast(self) -> torch.autocast:
        dtype = self.precision.dtype
        return torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32)

    def _encode(self, maps: Tensor) -> Encoded:
        with self._autocast():
            w, noise = self.current.encode(maps)
        return Encoded(w.float(), [each.float() for each in noise])

    def _draw_z(self, count: int) -> Tensor:
        return torch.randn(count, self.current.decoder.style_dim, device=self.device)

    def _update_ema(self) -> None:
        """Batch statistics included; quickly at first, so that the random start is forgotten."""
        half_life = min(self.config.ema_half_life, (self.images_seen + self.batch_size) * EMA_RAMP)
        ema, current = self.reconstructor.state_dict(), self.current.state_dict()
        update_ema(ema.values(), current.values(), self.batch_size, half_life)

    @torch.no_grad()
    def sample_pairs(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Generate pairs.

        Args:
            z: Latents (N, style_dim).

        Returns:
            Images (N, C, R, R), maps (N, 3, S, S) in [0, 1] of the minutiae found in them, and their w
            (N, style_dim).
        """
        decoder = self.reconstructor.decoder
        w = decoder.map(z)
        images = decoder.synthesize(w)
        templates = self.reader(torch.sigmoid(self.network(images)))
        maps = draw_maps(templates, self.window, self.config.map_size).to(self.device).float() / 255
        return images, maps, w

    # -- samples and state --------------------------------------------------------------------------------

    @torch.no_grad()
    def sample(self, run: RunDirectory) -> None:
        """Write sheets of map, image and reconstruction for held-out and for generated pairs, and how many
        of the map's minutiae the minutiae network finds in the reconstruction."""
        seed_torch(self.config.seed, 2**62)  # the same latents every time
        kinds = {"held_out": pairs_to_floats(self.dataset.held_out(EVALUATED), self.device)}
        if self.sampled:
            kinds["sampled"] = self.sample_pairs(self._draw_z(EVALUATED))[:2]
        for kind, (images, maps) in kinds.items():
            found = self.reconstructor(maps)
            images = images.expand(found.shape)
            seen = torch.sigmoid(self.network(found))
            figures = agreement_figures(self.reader(seen), self.reader(maps))
            figures["l2"] = F.mse_loss(found, images).item()
            run.log(self.images_seen, {f"{kind}/{name}": value for name, value in figures.items()})
            shown = 2 * resize_maps(maps, images.shape[-1]) - 1
            run.sheet(self.images_seen, side_by_side(shown, images, found), columns=6, name=kind)

    def save(self, path: Path) -> None:
        """Write a checkpoint with everything that `load` needs to continue."""
        save_reconstruction(
            path,
            encoder=self.reconstructor.encoder,
            decoder=self.reconstructor.decoder,
            latent_avg=self.current.latent_avg,
            optimizer=self.optimizer,
            images_seen=self.images_seen,
            config={**asdict(self.config), **self.provenance},
            extra={
                "current": self.current.state_dict(),
                "adversary": self.adversary.state() if self.adversary else None,
            },
        )

    def load(self, path: Path) -> None:
        """Continue from what `save` wrote; all options but the networks' shapes may have changed."""
        checkpoint = load_reconstruction(path)
        wanted = {key: getattr(self.config, key) for key in SHAPE} | self.provenance
        trained = asdict(EncoderConfig()) | checkpoint.config  # a state may be older than an option
        for key, value in wanted.items():
            if (found := trained.get(key)) != value:
                raise BadInput(
                    f"{path}: was trained with {key} {found}, not {value}; give it or another --out"
                )
        optimizer, current = checkpoint.optimizer, checkpoint.extra.get("current")
        adversary = checkpoint.extra.get("adversary")
        average = checkpoint.latent_avg
        if optimizer is None or current is None or (average is None) == self.config.start_from_latent_avg:
            raise BadInput(f"{path}: holds no training state (optimizer, current); give another --out")
        if self.adversary:
            if adversary is None:
                raise BadInput(f"{path}: was trained without a discriminator; give another --out")
            self.adversary.load(adversary)
        self.current.load_state_dict(current)
        self.reconstructor.load_state_dict(checkpoint.reconstructor().state_dict())
        if average is not None:
            self.w_avg.copy_(average)
        restore(self.optimizer, optimizer)
        self.images_seen = checkpoint.images_seen or 0
