"""`fg-train encoder`."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from fingergen.runtime.errors import BadInput, BadOption
from fingergen.runtime.minutiae import PPI

from .. import distributed
from ..checkpoints import load_generator, published_ppi
from ..checkpoints.manager import CheckpointsConfig
from ..config import ConfigurableCommand
from ..data.fields import FieldExamples
from ..data.image_io import refuse_mixed
from ..data.metadata import view_of
from ..data.pairs import PairDataset, PairFolder, ProceduralPairs
from ..data.storage import find_samples
from ..distributed import choose_device
from ..options import config_options, refuse_idle, run_options, take
from ..trainers.encoder import EncoderTrainer
from ..trainers.encoder_config import EncoderConfig
from ..trainers.fields import FieldTrainer
from ..trainers.minutiae import MinutiaeTrainer
from ..trainers.training_loop import interruption
from .progress import train_with_bar

_OPTIONS_OF_FIELDS = {"batch", "learning_rate", "seed"}  # of the encoder's, those that the field network has


@click.command(cls=ConfigurableCommand)
@click.option("--generator", "generator_path", type=click.Path(path_type=Path),
              help="checkpoint of the generator that makes the images; without it: train the encoder for "
                   "generators with ridge noise")  # fmt: skip
@click.option("--data", type=click.Path(path_type=Path), help="folder of images with maps or templates")
@click.option("--fingers", type=click.IntRange(min=1), help="instead of --data: number of procedural fingers")
@click.option("--masters", type=click.Path(path_type=Path),
              help="with --fingers: folder to keep them in  [default: OUT/masters]")  # fmt: skip
@click.option("--minutiae-net", type=click.Path(path_type=Path),
              help="run directory of the minutiae network  [default: OUT/minutiae_net]")  # fmt: skip
@click.option("--minutiae-images", type=click.IntRange(min=1), default=20_000, show_default=True,
              help="train the minutiae network until it has seen this many images")  # fmt: skip
@click.option("--start-from", type=click.Path(path_type=Path),
              help="encoder checkpoint whose networks a new run starts from; if of half the resolution or "
                   "less: growing, the same ridges in a larger field")  # fmt: skip
@click.option("--trunk", type=click.Path(path_type=Path),
              help="IR-SE weights, such as ArcFace's, from which the trunk of a new run starts")  # fmt: skip
@run_options(images=500_000, checkpoint_every=5_000)
@config_options(EncoderConfig)
@config_options(CheckpointsConfig)
def encoder(
    generator_path: Path | None,
    data: Path | None,
    fingers: int | None,
    masters: Path | None,
    minutiae_net: Path | None,
    minutiae_images: int,
    start_from: Path | None,
    trunk: Path | None,
    out: Path,
    workers: int,
    images: int,
    checkpoint_every: int,
    device: str,
    **options: Any,
) -> None:
    """Train the encoder that reconstructs a fingerprint from its minutiae.

    Without --generator, a network learns to predict orientation, ridge period and contact from a template, on
    procedural fingers. These and the minutiae give the ridge map that any generator with ridge noise takes.
    Of the encoder's options, it uses --batch, --learning-rate and --seed.

    With --generator, the published form: first a small network learns to find minutiae in images. With its
    help, the encoder then learns to make the generator show them.

    The command can be interrupted at any time; run it again to resume.

    \b
    Examples: for ridge noise; full prints of a dataset; a small sensor, small enough for a CPU
      fg-train encoder --fingers 3000 --batch 16 --learning-rate 0.002 --images 60000 --out fields
      fg-train encoder --generator run/state.pt --data prints --out encoder
      fg-train encoder --generator run/state.pt --fingers 4000 --depth ir_se_18 --width 16 \\
          --map-size 128 --batch 16 --out encoder
    """
    if (data is None) == (fingers is None):
        raise BadInput("give either --data FOLDER or --fingers N")
    if data:
        refuse_idle(["masters"], "--fingers")
    if generator_path is None:
        _train_fields(
            data, fingers, masters or out / "masters", out, workers, images, checkpoint_every, device, options
        )
        return
    config, keeping = take(EncoderConfig, options), take(CheckpointsConfig, options)
    chosen = choose_device(device)
    checkpoint = load_generator(generator_path)
    generator, ppi = checkpoint.g_ema, checkpoint.config.get("ppi")
    ppi = published_ppi(generator.resolution) if ppi is None else ppi
    window = round(generator.resolution * PPI / ppi)
    with generator_path.open("rb") as file:
        provenance = {"ppi": ppi, "generator_sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    dataset: PairDataset
    if data is not None:
        if view_of(data) is None:
            refuse_mixed(data, find_samples(data), "bring them to one: fg-train prepare --resample")
        dataset = PairFolder(data, generator.resolution, generator.channels, config.map_size)
    elif fingers is not None:
        hidden = not distributed.is_main() or None  # None: shown on a terminal only
        with (
            distributed.main_first(),
            tqdm(desc="fingers", unit="finger", leave=False, disable=hidden) as bar,
        ):
            dataset = ProceduralPairs(
                masters or out / "masters", fingers, window, generator.resolution, config.map_size, bar.update
            )
    minutiae_trainer = MinutiaeTrainer(
        dataset, generator.resolution, window, config.batch, config.seed, chosen
    )
    # Before the hours of the minutiae network's training: what does not fit shows here.
    trainer = EncoderTrainer(config, generator, minutiae_trainer.network, dataset, window, provenance, chosen)
    if start_from:
        trainer.start_from(start_from)
    if trunk:
        trainer.start_from_trunk(trunk)
    with interruption() as interrupted:
        folder = minutiae_net or out / "minutiae_net"
        train_with_bar(
            *("minutiae network", minutiae_trainer, folder, minutiae_images, checkpoint_every, interrupted),
            workers=workers,
        )
        minutiae_trainer.network.eval().requires_grad_(False)
        train_with_bar(
            *("encoder", trainer, out, images, checkpoint_every, interrupted),
            keep=keeping.keep,
            best_by=keeping.best_by,
            workers=workers,
        )


def _train_fields(
    data: Path | None,
    fingers: int | None,
    masters: Path,
    out: Path,
    workers: int,
    images: int,
    checkpoint_every: int,
    device: str,
    options: dict[str, Any],
) -> None:
    """Train the field network, the encoder of generators with ridge noise."""
    if data is not None or fingers is None:
        raise BadOption(
            "data", None, "without --generator give --fingers N, procedural fingers, whose fields are known"
        )
    published = {each.name for each in dataclasses.fields(EncoderConfig)} - _OPTIONS_OF_FIELDS
    refuse_idle([*published, "minutiae_net", "minutiae_images", "start_from", "trunk"], "--generator")
    config, keeping = take(EncoderConfig, options), take(CheckpointsConfig, options)
    chosen = choose_device(device)
    hidden = not distributed.is_main() or None
    with distributed.main_first(), tqdm(desc="fingers", unit="finger", leave=False, disable=hidden) as bar:
        dataset = FieldExamples(masters, fingers, bar.update)
    trainer = FieldTrainer(dataset, config.batch, config.learning_rate, images, config.seed, chosen)
    with interruption() as interrupted:
        train_with_bar(
            *("encoder", trainer, out, images, checkpoint_every, interrupted),
            keep=keeping.keep,
            best_by=keeping.best_by,
            workers=workers,
        )
