"""What the generator's measurement looks through: the networks are read, or trained first."""

from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from fingergen.runtime.errors import BadInput

from .. import distributed
from ..checkpoints.manager import STATE
from ..commands.progress import train_with_bar
from ..data.datasets import Dataset
from ..data.minutiae_maps import PPI
from ..data.pairs import PairFolder, PairSource, ProceduralPairs
from ..networks import Generator
from ..networks.minutiae_net import MinutiaeNet
from ..trainers.minutiae import MinutiaeTrainer, load_minutiae_net
from ..trainers.run_dir import Interruption
from .features import Extractor, FingerprintFeatures, InceptionFeatures
from .generator import GeneratorMetrics, MetricsConfig

MINUTIAE_NET = "minutiae_net"  # folder of its run
MEASURED = "measured"  # folder of the data's statistics
BATCH = 16  # of the minutiae network's training
CHECKPOINT_EVERY = 5000


def measurement(
    config: MetricsConfig,
    generator: Generator,
    source: Dataset,
    ppi: float,
    out: Path,
    pairs: Callable[[], PairSource],
    minutiae_net: Path | None,
    inception: Path | None,
    interrupted: Interruption,
) -> GeneratorMetrics | None:
    """The measurement of an averaged `generator` in the run folder `out`; None if none is wanted.

    `ppi`: of its images; `pairs`: makes what a minutiae network is trained with, unless one is given;
    `inception`: weights. Leaves the program if training that network is interrupted.
    """
    if not config.metrics_every:
        return None
    device = next(generator.parameters()).device
    extractors: dict[str, Extractor] = {}
    if config.needs_features:
        if inception:
            extractors["inception/"] = InceptionFeatures(inception, device)
        if minutiae_net:
            network = read_minutiae_net(minutiae_net, ppi)
        else:
            window = round(generator.resolution * PPI / ppi)
            trainer = MinutiaeTrainer(pairs(), generator.resolution, window, BATCH, 0, device)
            until, folder = config.minutiae_images, out / MINUTIAE_NET
            train_with_bar("minutiae network", trainer, folder, until, CHECKPOINT_EVERY, interrupted)
            network = trainer.network.eval().requires_grad_(False)
        extractors[""] = FingerprintFeatures(network.to(device))
    return GeneratorMetrics(config, generator, source, ppi, extractors, out / MEASURED)


def read_minutiae_net(path: Path, ppi: float) -> MinutiaeNet:
    """The network in a run folder or state; BadInput if it was trained for images of another resolution."""
    network, config = load_minutiae_net(path / STATE if path.is_dir() else path)
    trained = config["resolution"] * PPI / config["window"]
    if abs(trained - ppi) > 0.02 * ppi:
        raise BadInput(
            f"--minutiae-net {path}: sees images of {trained:g} ppi, these have {ppi:g}; give another or none"
        )
    return network


def pairs_of(
    data: Path | None, masters: Path, fingers: int, resolution: int, channels: int, ppi: float
) -> PairSource:
    """What a minutiae network is trained with: the pairs of the data set, or procedural fingers.

    BadInput if the data set has neither templates nor maps.
    """
    if data is None:
        window = round(resolution * PPI / ppi)
        hidden = not distributed.is_main() or None  # None: shown on a terminal only
        with (
            distributed.main_first(),
            tqdm(desc="fingers", unit="finger", leave=False, disable=hidden) as bar,
        ):
            return ProceduralPairs(masters, fingers, window, resolution, resolution, bar.update)
    if not any((data / kind).is_dir() for kind in ("templates", "maps")):
        raise BadInput(
            f"{data}: has no templates or maps to train a minutiae network with; give --minutiae-net, or "
            "--metrics quality,minutiae"
        )
    return PairFolder(data, resolution, channels, resolution)
