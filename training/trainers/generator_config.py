"""Options of the generator's training."""

from dataclasses import dataclass
from typing import get_args

from fingergen.runtime.errors import BadOption

from ..losses import grain, roughness, spots
from ..networks.generator import ImagePadding
from ..networks.precision import DTYPES
from ..options import LARGEST_BATCH, check_numbers, check_sizes, setting

# What a run cannot change later.
SHAPE = (
    "resolution",
    "channels",
    "style_dim",
    "n_mlp",
    "channel_base",
    "channel_max",
    "channel_min",
    "noise",
    "styled_noise",
    "raw_z",
    "lr_mlp",
)
BEFORE = {  # of files from before there was a choice
    "noise": "random",
    "channel_min": 1,
    "styled_noise": False,
    "raw_z": False,
    "lr_mlp": 0.01,
}
NOISE_MODES = ("random", "ridges")
DETAIL = ("grain_weight", "roughness_weight", "spot_weight", "tone_weight")
# Losses over squares of fixed size: pixels per side that an image needs for one of them.
SQUARES = {"grain_weight": grain.WINDOW, "roughness_weight": roughness.WINDOW, "spot_weight": spots.LEAST}
# What compares images with impressions of the same look, so that looks must be known.
PAIRED = ("paired_images", *DETAIL)
LARGEST = 4096  # resolution, and width of a layer
DEEPEST = 64  # layers of the mapping network
GROUP = 4  # images of the discriminator's minibatch statistics


@dataclass(frozen=True)
class GeneratorConfig:
    """What defines a run, beside its images: on a CPU, the same ones give the same generator."""

    resolution: int = setting(256, "image side in pixels, a power of two")
    channels: int = setting(1, "1 (grayscale) or 3 (RGB)")
    style_dim: int = setting(512, "length of z and w")
    n_mlp: int = setting(8, "layers of the mapping network")
    raw_z: bool = setting(
        False,
        "give z to the mapping network as it is; StyleGAN2 divides it by its root mean square, so that the "
        "numbers of a look mean less the larger the others are",
    )
    lr_mlp: float = setting(0.01, "learning rate of the mapping network, by that of the other layers")
    channel_base: int = setting(
        32768, "a layer has channel_base / resolution channels, within the limits that follow"
    )
    channel_max: int = setting(512, "largest number of channels of a layer")
    channel_min: int = setting(1, "smallest number of channels of a layer of the generator")
    image_padding: str = setting(
        "zeros",
        "what the image of a resolution has beyond its border where it is upsampled: zeros, as in StyleGAN2, "
        "which leave a line along the border, or replicate, its own border",
    )
    styled_noise: bool = setting(
        False, "let the strength of every noise input depend on w, so that looks differ in it"
    )
    noise: str = setting(
        "random",
        "content of the noise inputs: random numbers (random), or a ridge map (ridges); then the "
        "noise says where ridges run, and w how they look",
    )
    ridge_weight: float = setting(
        2.0,
        "with --noise ridges: weight of the loss on ridges that show less of the ridge map than real ones do",
    )
    l1_weight: float = setting(5.0, "with --noise ridges: weight of the L1 distance to the paired impression")
    l1_images: int = setting(
        10_000, "images over which --l1-weight falls linearly to 0; 0: it stays constant"
    )
    grain_weight: float = setting(
        0.0,
        "with --noise ridges: weight of the loss on detail of another strength than the paired impression's, "
        "while --l1-weight is above 0",
    )
    roughness_weight: float = setting(
        0.0,
        "with --noise ridges: weight of the loss on edges of ridges that are rougher or smoother than the "
        "paired impression's, while --l1-weight is above 0",
    )
    spot_weight: float = setting(
        0.0,
        "with --noise ridges: weight of the loss on spots larger than a ridge that are stronger or fainter "
        "than the paired impression's, while --l1-weight is above 0",
    )
    tone_weight: float = setting(
        0.0,
        "with --noise ridges: weight of the loss on grays of small squares that differ from the paired "
        "impression's, while --l1-weight is above 0",
    )
    paired_images: int = setting(
        0,
        "with --noise ridges: images at the start with --ridge-weight and --l1-weight alone, without a "
        "discriminator",
    )
    batch: int = setting(16, "images per step, over all processes")
    accumulate: int = setting(
        1, "number of parts in which a batch is computed, one after the other, to save memory"
    )
    learning_rate: float = setting(0.002, "learning rate of Adam")
    r1_weight: float = setting(10.0, "weight of the R1 penalty; 0: none")
    r1_interval: int = setting(16, "steps between R1 penalties")
    path_weight: float = setting(2.0, "weight of the path-length penalty; 0: none")
    path_interval: int = setting(4, "steps between path-length penalties")
    path_batch_shrink: int = setting(2, "the path-length batch is the batch divided by this")
    mixing: float = setting(0.9, "probability of style mixing")
    ema_half_life: int = setting(10_000, "half-life, in images, of the generator's EMA")
    augment: bool = setting(
        False,
        "transform what the discriminator sees (ADA), so that it does not memorize a small dataset",
    )
    augment_p: float = setting(0.0, "with --augment: fixed probability of each transform; 0: adaptive")
    ada_target: float = setting(
        0.6, "adaptive probability: target for the mean sign of the discriminator on real images"
    )
    ada_length: int = setting(500_000, "adaptive probability: images in which it can rise from 0 to 1")
    ada_interval: int = setting(256, "adaptive probability: images between adaptations")
    precision: str = setting(
        "fp32", "fp32, bf16 or fp16, for the highest resolutions; penalties are always computed in fp32"
    )
    num_fp16_res: int = setting(
        4, "with --precision bf16 or fp16: number of the highest resolutions that use it"
    )
    compile: bool = setting(
        False,
        "apply torch.compile to all but the penalties: a minute at the start; pays off on a CPU with bf16",
    )
    seed: int = setting(0, "seed of the whole run")

    def __post_init__(self) -> None:
        check_numbers(self, signed=["ada_target"])
        if not 8 <= self.resolution <= LARGEST or self.resolution & (self.resolution - 1):
            raise BadOption("resolution", self.resolution, f"must be a power of two, 8 to {LARGEST}")
        if self.channels not in (1, 3):
            raise BadOption("channels", self.channels, "must be 1 (grayscale) or 3 (RGB)")
        if self.batch < 1 or (self.batch > GROUP and self.batch % GROUP):
            raise BadOption("batch", self.batch, "must be 1 to 4 or a multiple of 4 (minibatch statistics)")
        check_sizes(self, ["batch"], most=LARGEST_BATCH)
        check_sizes(self, ("style_dim", "channel_max", "channel_min"), most=LARGEST)
        check_sizes(self, ["n_mlp"], most=DEEPEST)
        check_sizes(self, (
            "accumulate", "r1_interval", "path_interval", "path_batch_shrink", "ema_half_life", "ada_length",
            "ada_interval", "num_fp16_res",
        ))  # fmt: skip
        if not self.lr_mlp:
            raise BadOption("lr-mlp", self.lr_mlp, "must be more than 0")
        if self.channel_base < self.resolution:
            raise BadOption(
                "channel-base",
                self.channel_base,
                f"must not be less than --resolution {self.resolution}, whose layers would have no channel",
            )
        if self.channel_min > self.channel_max:
            raise BadOption(
                "channel-min", self.channel_min, f"must not be more than --channel-max {self.channel_max}"
            )
        for field in ("mixing", "augment_p"):
            if not 0 <= getattr(self, field) <= 1:
                raise BadOption(field.replace("_", "-"), getattr(self, field), "is a probability, 0 to 1")
        if self.augment_p and not self.augment:
            raise BadOption("augment-p", self.augment_p, "has no effect without --augment; give both")
        if not -1 <= self.ada_target <= 1:
            raise BadOption("ada-target", self.ada_target, "is a mean of signs, -1 to 1")
        paddings = get_args(ImagePadding)
        if self.image_padding not in paddings:
            raise BadOption("image-padding", self.image_padding, f"must be one of {', '.join(paddings)}")
        if self.noise not in NOISE_MODES:
            raise BadOption("noise", self.noise, f"must be one of {', '.join(NOISE_MODES)}")
        for field in ("l1_images", "paired_images"):
            if getattr(self, field) < 0:
                raise BadOption(field.replace("_", "-"), getattr(self, field), "must be 0 or more")
        for field in PAIRED:
            if getattr(self, field) and self.noise != "ridges":
                raise BadOption(field.replace("_", "-"), getattr(self, field), "needs --noise ridges")
        for field in DETAIL:
            if getattr(self, field) and not self.l1_weight:
                raise BadOption(
                    field.replace("_", "-"), getattr(self, field), "has no effect without --l1-weight"
                )
        for field, least in SQUARES.items():
            if getattr(self, field) and self.resolution < least:
                raise BadOption(
                    field.replace("_", "-"), getattr(self, field), f"needs --resolution {least} or more"
                )
        if self.precision not in DTYPES:
            raise BadOption("precision", self.precision, f"must be one of {', '.join(DTYPES)}")
        group = min(self.batch, GROUP)
        if self.batch % (group * self.accumulate):
            raise BadOption(
                "accumulate",
                self.accumulate,
                f"a part must hold a multiple of {group} images "
                f"(minibatch statistics), which --batch {self.batch} does not give",
            )
