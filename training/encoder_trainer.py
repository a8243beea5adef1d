"""Training of the minutiae-to-vec encoder: minutiae map → w whose image shows these minutiae.

Real pairs ask for the image (L2) and for what a minutiae network sees in it. Pairs sampled from the generator
itself (z → w → image → minutiae read in it → map) ask for their w too: for these the right answer is known.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fingergen.runtime.errors import BadInput

from .checkpoints import load_reconstruction, save_reconstruction
from .loop import descend, restore, seed_torch, step_rng
from .map_reading import MapReader, agreement_figures, draw_maps
from .minutiae_features import MinutiaeNet, feature_distance
from .minutiae_trainer import JUDGED, resize_maps, side_by_side, to_floats
from .networks import Encoder, Generator, Reconstructor
from .networks.encoder import DEPTHS
from .options import setting
from .pairs import Pairs, PairSource
from .runs import Run

SHAPE = ("depth", "width", "map_size", "w_plus", "train_decoder")  # what a run cannot change later
MEAN_LATENTS = 10_000
DECODER_RATE = 0.1  # the decoder's learning rate over the encoder's


@dataclass(frozen=True)
class EncoderConfig:
    """What defines a run, beside its data and its generator."""

    depth: str = setting("ir_se_50", f"trunk: {', '.join(DEPTHS)}")
    width: int = setting(64, "channels of the trunk's first stage")
    map_size: int = setting(256, "side in pixels of the map that the encoder reads")
    w_plus: bool = setting(False, "give every style input a w of its own (W+)")
    train_decoder: bool = setting(False, "train the generator too, at a tenth of the learning rate")
    batch: int = setting(8, "images a step")
    sampled: float = setting(
        0.5, "fraction of a batch that the generator makes, its w known; one image at least is real"
    )
    learning_rate: float = setting(0.001, "of Adam")
    l2_weight: float = setting(0.1, "of the squared difference of the images")
    feature_weight: float = setting(0.3, "of the difference that the minutiae network sees")
    latent_weight: float = setting(1.0, "of the squared difference of the w, for sampled images")
    w_weight: float = setting(0.0, "of the squared distance of w from the average: keeps images ordinary")
    ema_half_life: int = setting(2_000, "images after which the average of the encoder has forgotten half")
    seed: int = setting(0, "of the whole run")

    def __post_init__(self) -> None:
        if self.depth not in DEPTHS:
            raise BadInput(f"--depth {self.depth}: must be one of {', '.join(DEPTHS)}")
        for name in ("width", "batch", "ema_half_life"):
            if getattr(self, name) < 1:
                raise BadInput(f"--{name.replace('_', '-')} {getattr(self, name)}: must be 1 or more")
        if self.map_size < 16:
            raise BadInput(f"--map-size {self.map_size}: must be 16 or more")
        if not 0 <= self.sampled <= 1:
            raise BadInput(f"--sampled {self.sampled}: is a fraction, 0 to 1")


class EncoderTrainer:
    """Encoder, its moving average, decoder and optimiser, advanced a batch at a time."""

    def __init__(
        self,
        config: EncoderConfig,
        generator: Generator,
        network: MinutiaeNet,
        source: PairSource,
        window: int,
        provenance: Mapping[str, Any],
        device: torch.device,
    ):
        """`network` must be frozen; `window`: side of the view in pixels at 500 ppi; `provenance`: plain
        values that identify the generator, stored with the configuration."""
        self.config, self.source, self.device = config, source, device
        self.provenance = dict(provenance)
        self.batch_size, self.images_seen = config.batch, 0
        self.sampled = min(round(config.sampled * config.batch), config.batch - 1)
        self.network, self.reader, self.window = network, MapReader(window).to(device), window
        seed_torch(config.seed, 0)
        num_ws = generator.num_ws if config.w_plus else None
        self.encoder = Encoder(config.depth, config.width, style_dim=generator.style_dim, num_ws=num_ws)
        torch.nn.init.zeros_(self.encoder.linear.weight)  # the first images are those of the average latent
        self.encoder.to(device)
        decoder = generator.to(device).eval().requires_grad_(config.train_decoder)
        self.average = decoder.mean_w(MEAN_LATENTS)
        averaged = deepcopy(self.encoder).eval().requires_grad_(False)
        self.reconstructor = Reconstructor(averaged, decoder, self.average)
        groups: list[dict[str, Any]] = [{"params": self.encoder.parameters(), "lr": config.learning_rate}]
        if config.train_decoder:
            groups.append({"params": decoder.parameters(), "lr": DECODER_RATE * config.learning_rate})
        self.optimizer = torch.optim.Adam(groups)

    # -- one step ---------------------------------------------------------------------------------------

    def draw(self, images_seen: int) -> Pairs:
        return self.source.batch(step_rng(self.config.seed, images_seen), self.batch_size - self.sampled)

    def step(self, batch: Pairs) -> dict[str, float]:
        """Advance by one batch of real pairs, filled up with sampled ones."""
        config = self.config
        seed_torch(config.seed, self.images_seen)
        self.encoder.train()
        images, maps = to_floats(batch, self.device)
        images = images.expand(-1, self.reconstructor.decoder.channels, -1, -1)
        if self.sampled:
            sampled_images, sampled_maps, sampled_w = self.sample_pairs(self.sampled)
            images, maps = torch.cat([images, sampled_images]), torch.cat([maps, sampled_maps])
        w = self.average + self.encoder(maps)
        found = self.reconstructor.decoder.synthesize(w)
        losses = {
            "l2": (config.l2_weight, F.mse_loss(found, images)),
            "features": (config.feature_weight, feature_distance(self.network, found, images)),
            "w": (config.w_weight, (w - self.average).square().mean()),
        }
        if self.sampled:
            difference = w[-self.sampled :] - (sampled_w[:, None] if config.w_plus else sampled_w)
            losses["latent"] = (config.latent_weight, difference.square().mean())
        loss = torch.stack([weight * value for weight, value in losses.values()]).sum()
        descend(self.optimizer, loss)
        self._follow()
        return {"loss": loss.item(), **{f"loss/{name}": value.item() for name, (_, value) in losses.items()}}

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the averaged encoder, batch statistics included; quickly at first, to forget its start."""
        half_life = min(self.config.ema_half_life, (self.images_seen + self.batch_size) / 2)
        decay = 0.5 ** (self.batch_size / half_life)
        current = self.encoder.state_dict()
        for name, average in self.reconstructor.encoder.state_dict().items():
            if average.is_floating_point():
                average.lerp_(current[name], 1 - decay)
            else:
                average.copy_(current[name])

    @torch.no_grad()
    def sample_pairs(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Images (N, C, R, R) of random latents, the maps (N, 3, S, S) of what is seen in them, their w."""
        decoder = self.reconstructor.decoder
        w = decoder.map(torch.randn(count, decoder.style_dim, device=self.device))
        images = decoder.synthesize(w)
        templates = self.reader(torch.sigmoid(self.network(images)))
        maps = draw_maps(templates, self.window, self.config.map_size).to(self.device).float() / 255
        return images, maps, w

    # -- samples and state --------------------------------------------------------------------------------

    @torch.no_grad()
    def sample(self, run: Run) -> None:
        """Sheets of map, image and reconstruction for pairs held out and for sampled ones; how many of the
        map's minutiae the network sees in the reconstruction."""
        seed_torch(self.config.seed, 2**62)  # the same latents every time
        kinds = {"held_out": to_floats(self.source.held_out(JUDGED), self.device)}
        kinds["sampled"] = self.sample_pairs(JUDGED)[:2]
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
        save_reconstruction(
            path,
            encoder=self.reconstructor.encoder,
            decoder=self.reconstructor.decoder,
            latent_avg=self.average,
            optimizer=self.optimizer,
            images_seen=self.images_seen,
            config={**asdict(self.config), **self.provenance},
            extra={"encoder": self.encoder.state_dict()},
        )

    def load(self, path: Path) -> None:
        """Continue from what `save` wrote; all options but the networks' shapes may have changed."""
        checkpoint = load_reconstruction(path)
        wanted = {key: getattr(self.config, key) for key in SHAPE} | self.provenance
        for key, value in wanted.items():
            if (found := checkpoint.config.get(key)) != value:
                raise BadInput(
                    f"{path}: was trained with {key} {found}, not {value}; give it or another --out"
                )
        optimizer, encoder = checkpoint.optimizer, checkpoint.extra.get("encoder")
        if optimizer is None or encoder is None or checkpoint.latent_avg is None:
            raise BadInput(f"{path}: holds no training state (optimizer, encoder); give another --out")
        self.encoder.load_state_dict(encoder)
        self.reconstructor.encoder.load_state_dict(checkpoint.encoder.state_dict())
        self.reconstructor.decoder.load_state_dict(checkpoint.decoder.state_dict())
        self.average.copy_(checkpoint.latent_avg)
        restore(self.optimizer, optimizer)
        self.images_seen = checkpoint.images_seen or 0
