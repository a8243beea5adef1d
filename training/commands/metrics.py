"""The feature networks of the generator's metrics: read from files, or trained before the generator."""

from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from fingergen.runtime.errors import BadInput, BadOption
from fingergen.runtime.minutiae import PPI

from .. import distributed
from ..checkpoints.manager import STATE
from ..data.datasets import EnumerableDataset
from ..data.pairs import PairDataset, PairFolder, ProceduralPairs
from ..metrics.features import Extractor, FingerprintFeatures, InceptionFeatures
from ..metrics.generator import GeneratorMetrics, MetricsConfig
from ..networks import Generator
from ..networks.minutiae_net import MinutiaeNet
from ..trainers.minutiae import MinutiaeTrainer, load_minutiae_net
from ..trainers.training_loop import Interruption
from .progress import train_with_bar

MINUTIAE_NET = "minutiae_net"  # run directory of its training
STATISTICS = "measured"  # directory of the data's statistics
BATCH = 16  # of the minutiae network's training
CHECKPOINT_EVERY = 5000


def prepare_metrics(
    config: MetricsConfig,
    generator: Generator,
    dataset: EnumerableDataset,
    ppi: float,
    out: Path,
    pairs: Callable[[], PairDataset],
    minutiae_net: Path | None,
    inception: Path | None,
    interrupted: Interruption,
) -> GeneratorMetrics | None:
    """Prepare the metrics of a generator's training, the feature networks included.

    Args:
        config: Which metrics, and how often.
        generator: The averaged generator.
        dataset: The data that it is trained on.
        ppi: Pixels per inch of its images.
        out: Run directory of its training.
        pairs: Makes the pairs that a minutiae network is trained on, unless one is given.
        minutiae_net: Run directory or checkpoint of a minutiae network; None: train one in `out`.
        inception: Weights of torchvision's `inception_v3`, for a second set of distances.
        interrupted: Ends the training of the minutiae network; the program is left then.

    Returns:
        The metrics, or None if `config` asks for none.

    Raises:
        BadInput: If a file is not such a network, or the network was trained for another resolution.
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
    return GeneratorMetrics(config, generator, dataset, ppi, extractors, out / STATISTICS)


def read_minutiae_net(path: Path, ppi: float) -> MinutiaeNet:
    """Read a minutiae network.

    Args:
        path: Its run directory or checkpoint.
        ppi: Pixels per inch of the images that it is to examine.

    Returns:
        The network, frozen.

    Raises:
        BadInput: If it was trained for images of another resolution.
    """
    network, config = load_minutiae_net(path / STATE if path.is_dir() else path)
    trained = config["resolution"] * PPI / config["window"]
    if abs(trained - ppi) > 0.02 * ppi:
        raise BadOption(
            "minutiae-net", path, f"sees images of {trained:g} ppi, these have {ppi:g}; give another or none"
        )
    return network


def pairs_of(
    data: Path | None, masters: Path, fingers: int, resolution: int, channels: int, ppi: float
) -> PairDataset:
    """The pairs that a minutiae network is trained on.

    Args:
        data: A dataset with templates or maps; None: procedural fingers.
        masters: Directory of their masters.
        fingers: Number of procedural fingers.
        resolution: Of the images, in pixels.
        channels: Of the images of a dataset.
        ppi: Pixels per inch of the images.

    Returns:
        The pairs.

    Raises:
        BadInput: If the dataset has neither templates nor maps.
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
