"""`fg-train generator`."""

from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import click
from click.core import ParameterSource
from tqdm import tqdm

from fingergen.runtime.errors import BadInput, BadOption
from fingergen.runtime.minutiae import PPI

from .. import distributed
from ..checkpoints import PUBLISHED_PPI, GeneratorCheckpoint
from ..checkpoints.bundle import load_start
from ..checkpoints.manager import CheckpointsConfig
from ..config import ConfigurableCommand
from ..data.datasets import EnumerableDataset, ImageFolder, ProceduralFingers
from ..data.image_io import refuse_mixed
from ..data.metadata import view_of
from ..data.ridge_maps import ProceduralRidges, RidgeImageDataset, ScannedRidges
from ..data.scans import ScanDataset
from ..data.storage import find_samples
from ..distributed import choose_device
from ..metrics.generator import MetricsConfig
from ..options import config_options, refuse_idle, run_options, take
from ..trainers.adaptation import AdaptationConfig, AdaptationTrainer
from ..trainers.generator import GeneratorConfig, GeneratorTrainer
from ..trainers.generator_config import PAIRED
from ..trainers.training_loop import interruption
from .metrics import pairs_of, prepare_metrics
from .progress import train_with_bar

ADAPTING = {"images": 12_000, "checkpoint_every": 1000}
"""Defaults where a generator is adapted to scans: an hour of two cores."""


@click.command(cls=ConfigurableCommand)
@click.option("--data", type=click.Path(path_type=Path),
              help="folder of images (below DATA/images if that exists)")  # fmt: skip
@click.option("--ppi", type=click.IntRange(min=1),
              help="with --data: pixels per inch of the images at --resolution  "
              "[default: that of a dataset that fg-train wrote, otherwise 250]")  # fmt: skip
@click.option("--fingers", type=click.IntRange(min=1), help="instead of --data: number of procedural fingers")
@click.option("--window", type=click.IntRange(min=64), default=512, show_default=True,
              help="with --fingers: side of the window of an image, in pixels at 500 ppi")  # fmt: skip
@click.option("--masters", type=click.Path(path_type=Path),
              help="with --fingers: folder to keep them in  [default: OUT/masters]")  # fmt: skip
@click.option(
    "--start-from",
    type=click.Path(path_type=Path),
    help="checkpoint, bundle or `demo`, the packaged one, whose networks a new run starts from: "
    "fine-tuning; if of half the resolution or less: growing, the same ridges in a larger "
    "field; with ridge noise and --data, but without --noise: its look is adapted to scans",
)
@run_options(images=5_000_000, checkpoint_every=10_000)
@click.option("--minutiae-net", type=click.Path(path_type=Path),
              help="run directory or checkpoint of the network whose features fid, kid and diversity use"
                   "  [default: OUT/minutiae_net, trained first]")  # fmt: skip
@click.option("--inception", type=click.Path(path_type=Path),
              help="weights of torchvision's inception_v3: also compute fid and kid with it")  # fmt: skip
@config_options(GeneratorConfig)
@config_options(CheckpointsConfig)
@config_options(MetricsConfig)
def generator(
    data: Path | None,
    ppi: int | None,
    fingers: int | None,
    window: int,
    masters: Path | None,
    start_from: Path | None,
    out: Path,
    workers: int,
    images: int,
    checkpoint_every: int,
    device: str,
    minutiae_net: Path | None,
    inception: Path | None,
    **options: Any,
) -> None:
    """Train the StyleGAN2 generator on a folder of images or on procedural fingers.

    The command can be interrupted at any time; run it again to resume.

    With --start-from demo and --data SCANS, 50 to 200 scans of a sensor with ridge maps, the packaged
    generator learns how that sensor shows fingers; the fingers stay procedural. Of the training's options,
    --batch, --learning-rate, --ridge-weight, --ema-half-life and --seed have an effect then. Defaults are
    other ones then: --images 12000, --checkpoint-every 1000, --batch 4.

    \b
    Examples: the look of a sensor; full prints; a few thousand of them, on a large GPU; a small sensor, small
    enough for a CPU
      fg-train generator --start-from demo --data scans --out run
      fg-train generator --data prints --out run
      fg-train generator --data prints --augment --batch 32 --out run
      fg-train generator --fingers 4000 --window 256 --resolution 128 --style-dim 128 --n-mlp 4 \\
          --channel-base 2048 --channel-max 96 --batch 8 --r1-weight 20 --path-weight 0 --out run
    """
    if (data is None) == (fingers is None):
        raise BadInput("give either --data FOLDER or --fingers N")
    start: GeneratorCheckpoint | None = None
    if data is not None and start_from is not None and options["noise"] == "random":
        start = load_start(start_from)
        if start.config.get("noise") == "ridges":
            _adapt(start, start_from, data, out, ppi, device, workers)
            return
    refuse_idle(*((["window", "masters"], "--fingers") if data else (["ppi"], "--data")))
    config = take(GeneratorConfig, options)
    ridges = config.noise == "ridges"
    if ridges and config.channels != 1:
        raise BadOption("noise", "ridges", "needs --channels 1")
    for field in PAIRED:
        if getattr(config, field) and data:
            needed = "needs images whose looks are known: --fingers, not --data"
            raise BadOption(field.replace("_", "-"), None, needed)
    keeping, measuring = take(CheckpointsConfig, options), take(MetricsConfig, options)
    chosen = choose_device(device)
    provenance: dict[str, Any] = {"data": "images"}
    dataset: EnumerableDataset | RidgeImageDataset
    hidden = not distributed.is_main() or None  # None: shown on a terminal only
    with distributed.main_first(), tqdm(desc="reading", unit="image", leave=False, disable=hidden) as bar:
        if data is not None:
            provenance["ppi"] = _ppi_of(data, ppi, config.resolution)
            if ridges:
                dataset = ScannedRidges(data, config.resolution, provenance["ppi"])
            else:
                dataset = ImageFolder(data, config.resolution, config.channels, bar.update)
        elif fingers is not None:
            provenance = {"data": "procedural fingers", "ppi": PPI * config.resolution / window,
                          "fingers": fingers, "window": window}  # fmt: skip
            kind = ProceduralRidges if ridges else ProceduralFingers
            dataset = kind(masters or out / "masters", fingers, window, config.resolution, bar.update)
    if ridges and measuring.metrics_every:
        raise BadOption("metrics-every", None, "not with --noise ridges so far")
    trainer = GeneratorTrainer(config, dataset, provenance, chosen)
    if start_from:
        trainer.start_from(start_from, start)
    with interruption() as interrupted:
        of_image = config.resolution, config.channels, provenance["ppi"]
        measured = None if ridges else prepare_metrics(
            measuring, trainer.g_ema, cast(EnumerableDataset, dataset), provenance["ppi"], out,
            lambda: pairs_of(data, masters or out / "masters", fingers or 0, *of_image),
            minutiae_net, inception, interrupted,
        )  # fmt: skip
        train_with_bar(
            "generator", trainer, out, images, checkpoint_every, interrupted,
            keep=keeping.keep, best_by=keeping.best_by, metrics=measured, workers=workers,
        )  # fmt: skip


def _ppi_of(data: Path, ppi: int | None, resolution: int) -> float:
    """Pixels per inch of a dataset's images at `resolution`: `ppi`, or else what the dataset states."""
    if ppi is not None:
        return ppi
    view = view_of(data)
    if view is None:
        refuse_mixed(
            data, find_samples(data), "bring them to one: fg-train prepare --resample, or give --ppi"
        )
        return PUBLISHED_PPI
    return view[1] * resolution / view[0]


def _adapt(
    start: GeneratorCheckpoint,
    start_from: Path,
    data: Path,
    out: Path,
    ppi: int | None,
    device: str,
    workers: int,
) -> None:
    """Adapt a generator with ridge noise to scans: the command with the options that this takes."""
    settings = {each.name: each.default for each in fields(AdaptationConfig)}
    context = click.get_current_context()
    others = {each.name for config in (GeneratorConfig, MetricsConfig) for each in fields(config)}
    adversarial = {*others, "minutiae_net", "inception"} - {*settings}
    refuse_idle(adversarial, "--noise ridges, which trains with a discriminator")
    refuse_idle(["window", "masters"], "--fingers")
    chosen: dict[str, Any] = {
        name: context.params[name] if _given(name) else default
        for name, default in {**settings, **ADAPTING}.items()
    }
    images, checkpoint_every = chosen.pop("images"), chosen.pop("checkpoint_every")
    config, keeping = AdaptationConfig(**chosen), take(CheckpointsConfig, dict(context.params))
    resolution, wanted = start.g_ema.resolution, start.config["ppi"]
    found = _ppi_of(data, ppi, resolution)
    if abs(found - wanted) > 0.5:
        side = round(PPI * resolution / wanted)
        raise BadInput(
            f"{data}: its images, as {resolution} x {resolution} pixels, have {found:g} ppi; those of"
            f" {start_from} have {wanted:g}: fg-train prepare --size {side} --ridge-maps"
        )
    dataset = ScanDataset(data, resolution, wanted)
    trainer = AdaptationTrainer(config, start, dataset, images, choose_device(device))
    with interruption() as interrupted:
        train_with_bar(
            "adaptation", trainer, out, images, checkpoint_every, interrupted,
            keep=keeping.keep, best_by=keeping.best_by, workers=workers,
        )  # fmt: skip


def _given(name: str) -> bool:
    """Whether the command line or a file gives an option of the command that runs."""
    source = click.get_current_context().get_parameter_source(name)
    return source not in (ParameterSource.DEFAULT, None)
