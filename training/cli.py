"""`fg-train`: make training data and train the generator and the encoder."""

from dataclasses import fields
from pathlib import Path

import click
from fingergen.runtime.errors import BadInput, command_line_errors
from tqdm import tqdm

from .generator_trainer import STATE, GeneratorConfig, GeneratorTrainer, train_generator
from .runs import choose_device, interruption
from .sources import ImageFolder, ImageSource, ProceduralFingers

OPTION_HELP = {
    "resolution": "image side in pixels, a power of two",
    "channels": "1 (grey) or 3 (RGB)",
    "style_dim": "length of z and w",
    "n_mlp": "layers of the mapping network",
    "channel_base": "channels at a resolution are min(channel_max, channel_base / resolution)",
    "channel_max": "most channels of a layer",
    "batch": "images a step",
    "learning_rate": "of Adam",
    "r1_weight": "of the R1 penalty; 0 switches it off",
    "r1_interval": "steps between R1 penalties",
    "path_weight": "of the path-length penalty; 0 switches it off",
    "path_interval": "steps between path-length penalties",
    "path_batch_shrink": "the path-length batch is the batch divided by this",
    "mixing": "probability of style mixing",
    "ema_half_life": "images after which the weight average has forgotten half",
    "ppi": "pixels per inch of the network's images, stored for export",
    "seed": "of the whole run",
}


def config_options(command):
    """A click option for every field of GeneratorConfig."""
    for field in reversed(fields(GeneratorConfig)):
        command = click.option(
            f"--{field.name.replace('_', '-')}", type=field.type, default=field.default, show_default=True,
            help=OPTION_HELP[field.name],
        )(command)  # fmt: skip
    return command


@command_line_errors
@click.group()
@click.version_option(package_name="fingergen")
def main() -> None:
    """Train a generator of synthetic fingerprints."""


@main.command()
@click.option(
    "--data", type=click.Path(path_type=Path), help="folder of images (below DATA/images if that exists)"
)
@click.option(
    "--fingers", type=click.IntRange(min=1), help="instead of --data: train on so many procedural fingers"
)
@click.option("--window", type=click.IntRange(min=64), default=512, show_default=True,
              help="with --fingers: side in pixels at 500 ppi that an image shows")  # fmt: skip
@click.option(
    "--masters",
    type=click.Path(path_type=Path),
    help="with --fingers: folder that keeps them [default: OUT/masters]",
)
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="run folder; continues the run it holds"
)
@click.option("--images", type=click.IntRange(min=1), default=5_000_000, show_default=True,
              help="train until so many images were seen")  # fmt: skip
@click.option("--checkpoint-every", type=click.IntRange(min=1), default=10_000, show_default=True,
              help="images between states")  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, …")
@config_options
def generator(
    data: Path | None,
    fingers: int | None,
    window: int,
    masters: Path | None,
    out: Path,
    images: int,
    checkpoint_every: int,
    device: str,
    **options: int | float,
) -> None:
    """Train the StyleGAN2 generator on a folder of images or on procedural fingers.

    Interrupt it at any time: the same command continues.

    \b
    Examples: full prints; a small sensor, small enough for a CPU
      fg-train generator --data prints --out run
      fg-train generator --fingers 4000 --window 256 --resolution 128 \\
          --channel-base 2048 --channel-max 96 --style-dim 128 --n-mlp 4 --r1-weight 0.3 --out run
    """
    if (data is None) == (fingers is None):
        raise BadInput("give either --data FOLDER or --fingers N")
    config = GeneratorConfig(**options)
    chosen = choose_device(device)
    with tqdm(desc="preparing", unit="image", leave=False) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        source: ImageSource
        if data is not None:
            source = ImageFolder(data, config.resolution, config.channels, progress)
        elif fingers is not None:
            source = ProceduralFingers(
                masters or out / "masters", fingers, window, config.resolution, progress
            )
    trainer = GeneratorTrainer(config, source, chosen)
    if (out / STATE).exists():
        trainer.load(out / STATE)
    start = trainer.images_seen
    with (
        interruption() as interrupted,
        tqdm(total=images, initial=start, unit="image", smoothing=0.05) as bar,
    ):
        for seen, scalars in train_generator(trainer, out, images, checkpoint_every, interrupted):
            bar.update(seen - bar.n)
            bar.set_postfix(
                {k: f"{v:.2f}" for k, v in scalars.items() if k.startswith("loss")}, refresh=False
            )
    if interrupted:
        click.echo(f"interrupted after {trainer.images_seen} images; the same command continues", err=True)
        raise SystemExit(130)
