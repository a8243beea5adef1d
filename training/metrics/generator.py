"""Metrics of the generator during its training: distances to the data, diversity, fingerprint quality.

Images of fixed seeds from the averaged generator are compared with a fixed selection of the data. Both sides
are rounded to the 256 levels of an image file before anything is computed from them. Measuring changes
neither the run's random state nor its weights.
"""

import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from fingergen.runtime import seeds
from fingergen.runtime.errors import BadOption
from fingergen.runtime.files import write_atomically
from fingergen.runtime.images import resize
from fingergen.runtime.minutiae import PPI

from ..data.datasets import EnumerableDataset, to_floats, to_levels
from ..networks import Generator
from ..options import setting
from .distances import Features, Gaussian, diversity, frechet_distance, kernel_distance
from .features import Extractor, weights_digest

BATCH = 32  # images per forward pass
DISTANCES = ("fid", "kid", "diversity")  # computed from features
QUALITY = ("quality", "minutiae")  # computed by `fingerprints`
STATISTICS_VERSION = 3  # of stored statistics: increase it when anything below computes them differently


@dataclass(frozen=True)
class MetricsConfig:
    """Which metrics to compute, how often and from how many images."""

    metrics_every: int = setting(0, "images between measurements; 0: none")
    metrics: str = setting(",".join(DISTANCES + QUALITY), "metrics to compute, separated by commas")
    metrics_images: int = setting(
        5000, "generated images for fid, kid and diversity, and at most as many of the data, none twice"
    )
    quality_images: int = setting(50, "images for quality and minutiae, which take seconds each")
    minutiae_images: int = setting(20_000, "train the minutiae network until it has seen this many images")

    def __post_init__(self) -> None:
        known = DISTANCES + QUALITY
        for name in self.names:
            if name not in known:
                raise BadOption("metrics", self.metrics, f"'{name}' is none of {', '.join(known)}")
        for field, least in (("metrics_every", 0), ("metrics_images", 2), ("quality_images", 1)):
            if getattr(self, field) < least:
                raise BadOption(field.replace("_", "-"), getattr(self, field), f"must be {least} or more")
        both = self.needs_features and set(QUALITY) & set(self.names)
        if both and self.quality_images > self.metrics_images:
            raise BadOption("quality-images", self.quality_images, "must not be more than --metrics-images")

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics, in order and without blanks."""
        return tuple(name.strip() for name in self.metrics.split(",") if name.strip())

    @property
    def needs_features(self) -> bool:
        """Whether any metric is computed from features."""
        return bool(set(DISTANCES) & set(self.names))


class GeneratorMetrics:
    """Computes the metrics of one generator against one dataset; see `training_loop.Metrics`."""

    def __init__(
        self,
        config: MetricsConfig,
        generator: Generator,
        dataset: EnumerableDataset,
        ppi: float,
        extractors: Mapping[str, Extractor],
        folder: Path,
    ) -> None:
        """Check that what the metrics need is installed; nothing is computed yet.

        Args:
            config: which metrics, and from how many images.
            generator: the averaged generator, in evaluation mode.
            dataset: the data that it is trained on.
            ppi: pixels per inch of the generator's images.
            extractors: prefix of the metrics' names → feature extractor.
            folder: keeps the statistics of the data between runs.

        Raises:
            BadInput: if quality or minutiae are asked for and the extra `eval` is not installed.
        """
        self.config, self.generator, self.dataset, self.folder = config, generator, dataset, folder
        self.extractors, self.ppi, self.every = extractors, ppi, config.metrics_every
        self.distances = [name for name in config.names if name in DISTANCES]
        self.quality = [name for name in config.names if name in QUALITY]
        self.names = [prefix + name for prefix in extractors for name in self.distances] + self.quality
        self._real: dict[str, Features] | None = None
        if self.quality:
            try:
                from .fingerprints import NOTHING, Unreadable, measure
            except ImportError as error:
                raise BadOption(
                    "metrics",
                    config.metrics,
                    f"{' and '.join(self.quality)} need the extra 'eval'; "
                    "install it with pip install 'fingergen[eval]'",
                ) from error

            def rate(image: np.ndarray) -> tuple[float, float]:
                """Quality and number of minutiae; none where an early generator shows no print at all."""
                try:
                    seen = measure(image)
                except Unreadable:
                    seen = NOTHING
                return float(seen.quality), float(len(seen.minutiae))

            self._rate = rate

    def compute(self) -> dict[str, float]:
        """All metrics and, under `real/`, those that can be computed from the data alone.

        Raises:
            BadInput: if the dataset has fewer than two images, from which no distance can be computed.
        """
        self._real = real = self._real or self._real_statistics()
        made = self._statistics(self._made_images(), "measuring")
        metrics = {}
        for prefix in self.extractors:
            found, wanted = made[prefix + "features"], real[prefix + "features"]
            if len(wanted) < 2:
                raise BadOption(
                    "metrics",
                    self.config.metrics,
                    f"the dataset has {len(wanted)} image; give 2 or more, or --metrics quality,minutiae",
                )
            if "fid" in self.distances:
                metrics[prefix + "fid"] = frechet_distance(Gaussian.of(found), Gaussian.of(wanted))
            if "kid" in self.distances:
                metrics[prefix + "kid"] = kernel_distance(found, wanted)
            if "diversity" in self.distances:
                metrics[prefix + "diversity"] = diversity(found)
                metrics[f"real/{prefix}diversity"] = diversity(wanted)
        for name in self.quality:
            metrics[name] = float(made[name].mean())
            metrics[f"real/{name}"] = float(real[name].mean())
        return metrics

    # -- images: uint8 (N, C, R, R), in batches ---------------------------------------------------------

    @torch.no_grad()
    def _made_images(self) -> Iterator[Tensor]:
        device = next(self.generator.parameters()).device
        for first, count in self._batches():
            z = [seeds.z(seed, self.generator.style_dim) for seed in range(first, first + count)]
            yield to_levels(self.generator(torch.from_numpy(np.stack(z)).to(device)))

    def _real_images(self) -> Iterator[Tensor]:
        """Images of the data, none twice: an image that is drawn again is no further sample of what the data
        stand for, and the distance of a perfect generator from it would not be 0."""
        for first, count in self._batches():
            images = self.dataset.distinct(first, count)
            if len(images):
                yield images
            if len(images) < count:
                return

    def _batches(self) -> Iterator[tuple[int, int]]:
        """Number of the first image of each batch, and the batch's size."""
        images = self.config.metrics_images if self.extractors else self.config.quality_images
        for first in range(0, images, BATCH):
            yield first, min(BATCH, images - first)

    # -- statistics -------------------------------------------------------------------------------------

    def _statistics(self, images: Iterator[Tensor], title: str) -> dict[str, Features]:
        """Features (N, F) of all images by extractor; quality and number of minutiae (n,) of the first."""
        device = next(self.generator.parameters()).device
        found: dict[str, list[np.ndarray]] = {}
        for batch in tqdm(images, title, unit="batch", leave=False):
            floats = to_floats(batch, device)
            for prefix, extractor in self.extractors.items():
                found.setdefault(prefix + "features", []).append(extractor(floats).double().cpu().numpy())
            if self.quality:
                examined = len(found.get("quality", ()))
                for image in batch[: self.config.quality_images - examined]:
                    quality, minutiae = self._rate(to_print(image, self.ppi))
                    found.setdefault("quality", []).append(np.array([quality]))
                    found.setdefault("minutiae", []).append(np.array([minutiae]))
        return {name: np.concatenate(parts) for name, parts in found.items()}

    def _real_statistics(self) -> dict[str, Features]:
        """Those of the data, read from the run directory if they were computed from the same images with the
        same networks and options."""
        path = self.folder / f"real_{self._real_digest()[:16]}.npz"
        try:
            with np.load(path, allow_pickle=False) as file:
                return dict(file)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            found = self._statistics(self._real_images(), "measuring the data")
            content = io.BytesIO()
            np.savez(content, allow_pickle=False, **found)
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content.getvalue())
            return found

    def _real_digest(self) -> str:
        """SHA-256 of everything that the statistics of the data depend on: every image, the options, the
        feature networks and, where quality is measured, the version of the library and the resolution."""
        options: list[object] = [STATISTICS_VERSION, self.config.metrics_images]
        if self.quality:
            options += [self.config.quality_images, self.ppi, version("nbis-py")]
        digest = hashlib.sha256(repr(options).encode())
        for prefix, extractor in self.extractors.items():
            digest.update(f"{prefix}{type(extractor).__name__}".encode() + weights_digest(extractor.network))
        for images in self._real_images():
            digest.update(repr(images.shape).encode())
            digest.update(images.numpy().tobytes())
        return digest.hexdigest()


def to_print(image: Tensor, ppi: float) -> np.ndarray:
    """An image uint8 (C, H, W) of `ppi` → uint8 (H', W') of 500 ppi, as minutiae extractors expect it."""
    gray = image.float().mean(dim=0).round().to(torch.uint8).cpu().numpy()
    return resize(gray, round(gray.shape[0] * PPI / ppi))
