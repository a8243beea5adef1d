"""Options of the encoder's training."""

from dataclasses import dataclass
from pathlib import Path

import click

from fingergen.runtime.errors import BadOption

from ..networks.encoder import DEPTHS
from ..options import LARGEST_BATCH, check_numbers, check_sizes, setting
from .generator_config import GROUP

# What a run cannot change later.
SHAPE = (
    "depth", "width", "map_size", "w_plus", "start_from_latent_avg", "noise_maps", "train_decoder",
    "optimizer",
)  # fmt: skip
OPTIMIZERS = ("adam", "ranger")
PRECISIONS = ("fp32", "bf16")
LARGEST_MAP = 8192  # that a bundle can have
FEATURE_NETWORKS = ("ours", "leader")


@dataclass(frozen=True)
class EncoderConfig:
    """What defines a run, beside its data and its generator."""

    depth: str = setting("ir_se_50", f"trunk: {', '.join(DEPTHS)}")
    width: int = setting(64, "channels of the trunk's first stage")
    map_size: int = setting(256, "side in pixels of the minutiae map that the encoder reads")
    w_plus: bool = setting(False, "predict one w per style input (W+)")
    start_from_latent_avg: bool = setting(
        True, "predict the difference from the average w, rather than w itself"
    )
    noise_maps: bool = setting(
        False, "also predict the noise images of the generator's layers (a spatial path)"
    )
    train_decoder: bool = setting(False, "also train the generator")
    decoder_rate: float = setting(
        0.1, "with --train-decoder: its learning rate, as a multiple of the encoder's"
    )
    batch: int = setting(8, "images per step, over all processes")
    sampled: float = setting(
        0.5, "fraction of a batch that the generator makes, with known w; at least one image is real"
    )
    optimizer: str = setting("adam", "adam, or ranger: RAdam with Lookahead")
    learning_rate: float = setting(0.001, "learning rate of the optimizer")
    l2_weight: float = setting(0.1, "weight of the squared difference of the images")
    lpips_weight: float = setting(0.0, "weight of the LPIPS distance (extra lpips)")
    lpips_backbone: str | None = setting(
        None,
        "with --lpips-weight: file of torchvision's alexnet or vgg16 weights",
        type=click.Path(),
        show_default=False,
    )
    feature_weight: float = setting(0.3, "weight of the distance between features of --feature-network")
    feature_network: str = setting(
        "ours",
        "ours (the minutiae network), leader (pyfing's, extra leader), or a file of FingerNet's weights as "
        "published for PyTorch; do not evaluate with the network that was used here",
    )
    flow_weight: float = setting(0.0, "weight of the difference of ridge orientations")
    minutiae_weight: float = setting(
        0.0, "weight of the map's minutiae that the minutiae network does not find"
    )
    adversarial_weight: float = setting(0.0, "weight of a discriminator that sees image and map; 0: none")
    r1_weight: float = setting(20.0, "with --adversarial-weight: weight of the discriminator's R1 penalty")
    discriminator_rate: float = setting(
        0.002, "with --adversarial-weight: learning rate of the discriminator"
    )
    precision: str = setting(
        "fp32", "fp32 or bf16, for networks and losses; penalties are always computed in fp32"
    )
    latent_weight: float = setting(
        1.0, "weight of the squared difference of w, for images that the generator made"
    )
    w_weight: float = setting(
        0.0, "weight of the squared distance of w from its average, which keeps images typical"
    )
    ema_half_life: int = setting(2_000, "half-life, in images, of the encoder's EMA")
    seed: int = setting(0, "seed of the whole run")

    def __post_init__(self) -> None:
        if self.depth not in DEPTHS:
            raise BadOption("depth", self.depth, f"must be one of {', '.join(DEPTHS)}")
        if self.optimizer not in OPTIMIZERS:
            raise BadOption("optimizer", self.optimizer, f"must be one of {', '.join(OPTIMIZERS)}")
        if self.precision not in PRECISIONS:
            raise BadOption("precision", self.precision, f"must be one of {', '.join(PRECISIONS)}")
        if self.feature_network not in FEATURE_NETWORKS and not Path(self.feature_network).exists():
            raise BadOption(
                "feature-network",
                self.feature_network,
                f"is neither {' nor '.join(FEATURE_NETWORKS)} nor an existing file",
            )
        if self.lpips_weight and not self.lpips_backbone:
            raise BadOption(
                "lpips-weight",
                self.lpips_weight,
                "needs --lpips-backbone FILE: download"
                " https://download.pytorch.org/models/alexnet-owt-7be5be79.pth or, there too,"
                " vgg16-397923af.pth",
            )
        check_numbers(self)
        check_sizes(self, ["batch"], most=LARGEST_BATCH)
        if self.adversarial_weight and self.batch > GROUP and self.batch % GROUP:
            raise BadOption(
                "batch",
                self.batch,
                f"with --adversarial-weight must be 1 to {GROUP} or a multiple of it (minibatch statistics)",
            )
        check_sizes(self, ["ema_half_life"])
        check_sizes(self, ["width"], most=1024)
        if not 16 <= self.map_size <= LARGEST_MAP:
            raise BadOption("map-size", self.map_size, f"must be 16 to {LARGEST_MAP}")
        if not 0 <= self.sampled <= 1:
            raise BadOption("sampled", self.sampled, "is a fraction, 0 to 1")
        if self.noise_maps and (self.map_size < 128 or self.map_size & (self.map_size - 1)):
            raise BadOption("map-size", self.map_size, "with --noise-maps a power of two, 128 or more")

    def noise_levels(self, resolution: int) -> int:
        """Resolutions of the generator, from a sixteenth of the map's up, whose noise is predicted."""
        sizes = [self.map_size >> halvings for halvings in range(len(DEPTHS[self.depth]) + 1)]
        return sum(size <= resolution for size in sizes) if self.noise_maps else 0
