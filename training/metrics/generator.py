"""Figures of the generator while it is trained: is what it makes like the data, and are they fingerprints?

The averaged generator's images of fixed seeds are compared with fixed draws of the data, whose statistics are
kept in the run folder. Nothing here touches the run's randomness or weights.
"""

import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from fingergen.runtime import seeds
from fingergen.runtime.errors import BadInput
from fingergen.runtime.files import write_atomically
from fingergen.runtime.images import resize, to_levels

from ..data.datasets import ImageSource
from ..networks import Generator
from ..options import setting
from ..trainers.training_loop import step_rng
from .distances import Features, Gaussian, diversity, frechet_distance, kernel_distance
from .features import Extractor, fingerprint

BATCH = 32  # images made at a time
SEED = 2**63  # of the draws of data, beyond that of any run
DISTANCES = ("fid", "kid", "diversity")  # of features
JUDGED = ("quality", "minutiae")  # by `judges`
PPI = 500  # of the judges


@dataclass(frozen=True)
class MeasuringConfig:
    """How often and what to measure."""

    metrics_every: int = setting(0, "images between measurements; 0: none")
    metrics: str = setting(",".join(DISTANCES + JUDGED), "what to measure, separated by commas")
    metrics_images: int = setting(5000, "images that fid, kid and diversity are taken from")
    judged_images: int = setting(50, "images that quality and minutiae are taken from: seconds each")
    minutiae_images: int = setting(20_000, "train the minutiae network until it has seen so many images")

    def __post_init__(self) -> None:
        known = DISTANCES + JUDGED
        for name in self.names:
            if name not in known:
                raise BadInput(f"--metrics {self.metrics}: '{name}' is none of {', '.join(known)}")
        for field, least in (("metrics_every", 0), ("metrics_images", 2), ("judged_images", 1)):
            if getattr(self, field) < least:
                raise BadInput(f"--{field.replace('_', '-')} {getattr(self, field)}: must be {least} or more")
        both = self.needs_features and set(JUDGED) & set(self.names)
        if both and self.judged_images > self.metrics_images:
            raise BadInput(f"--judged-images {self.judged_images}: must not be more than --metrics-images")

    @property
    def names(self) -> tuple[str, ...]:
        """What to measure, in order and without blanks."""
        return tuple(name.strip() for name in self.metrics.split(",") if name.strip())

    @property
    def needs_features(self) -> bool:
        return bool(set(DISTANCES) & set(self.names))


class GeneratorMeasurement:
    """Measures `generator` against `source`; what `loop.train` takes."""

    def __init__(
        self,
        config: MeasuringConfig,
        generator: Generator,
        source: ImageSource,
        ppi: float,
        extractors: Mapping[str, Extractor],
        folder: Path,
    ) -> None:
        """`generator`: averaged, in evaluation mode; `ppi`: of its images; `extractors`: prefix of the
        figures' names → extractor; `folder`: keeps the statistics of the data.

        BadInput if the judges are asked for and not installed.
        """
        self.config, self.generator, self.source, self.folder = config, generator, source, folder
        self.extractors, self.ppi, self.every = extractors, ppi, config.metrics_every
        self.distances = [name for name in config.names if name in DISTANCES]
        self.judged = [name for name in config.names if name in JUDGED]
        self.names = [prefix + name for prefix in extractors for name in self.distances] + self.judged
        if self.judged:
            try:
                from .fingerprints import look
            except ImportError as error:
                raise BadInput(
                    f"--metrics {config.metrics}: {' and '.join(self.judged)} need the extra 'eval'; install "
                    "it with pip install 'fingergen[eval]'"
                ) from error
            self._look = look

    def take(self) -> dict[str, float]:
        """The figures, and under `real/` those of the data that can be had of it alone."""
        real = self._real_statistics()
        made = self._statistics(self._made_images(), "measuring")
        figures = {}
        for prefix in self.extractors:
            one, other = made[prefix + "features"], real[prefix + "features"]
            if "fid" in self.distances:
                figures[prefix + "fid"] = frechet_distance(Gaussian.of(one), Gaussian.of(other))
            if "kid" in self.distances:
                figures[prefix + "kid"] = kernel_distance(one, other)
            if "diversity" in self.distances:
                figures[prefix + "diversity"] = diversity(one)
                figures[f"real/{prefix}diversity"] = diversity(other)
        for name in self.judged:
            figures[name] = float(made[name].mean())
            figures[f"real/{name}"] = float(real[name].mean())
        return figures

    @torch.no_grad()
    def _made_images(self) -> Iterator[Tensor]:
        device = next(self.generator.parameters()).device
        for count, start in self._batches():
            z = [seeds.z(seed, self.generator.style_dim) for seed in range(start, start + count)]
            yield self.generator(torch.from_numpy(np.stack(z)).to(device)).float()

    def _real_images(self) -> Iterator[Tensor]:
        device = next(self.generator.parameters()).device
        for count, start in self._batches():
            yield self.source.batch(step_rng(SEED, start), count).to(device).float() / 127.5 - 1

    def _batches(self) -> Iterator[tuple[int, int]]:
        """Sizes of batches and the number of the first image of each."""
        images = self.config.metrics_images if self.extractors else self.config.judged_images
        for start in range(0, images, BATCH):
            yield min(BATCH, images - start), start

    def _statistics(self, images: Iterator[Tensor], title: str) -> dict[str, Features]:
        """Features of all images, a matrix an extractor, and what the judges say of the first ones."""
        found: dict[str, list[np.ndarray]] = {}
        for batch in tqdm(images, title, unit="batch", leave=False):
            for prefix, extractor in self.extractors.items():
                found.setdefault(prefix + "features", []).append(extractor(batch).double().cpu().numpy())
            if self.judged:
                looked = len(found.get("quality", ()))
                for image in batch[: self.config.judged_images - looked]:
                    seen = self._look(to_print(image, self.ppi))
                    found.setdefault("quality", []).append(np.array([seen.quality]))
                    found.setdefault("minutiae", []).append(np.array([float(seen.minutiae)]))
        return {name: np.concatenate(parts) for name, parts in found.items()}

    def _real_statistics(self) -> dict[str, Features]:
        """Those of the data: read from the run folder if they are of the same data and extractors."""
        digest = hashlib.sha256(next(self._real_images()).cpu().numpy().tobytes())
        digest.update(repr((self.config.metrics_images, self.judged, self.config.judged_images)).encode())
        for prefix, extractor in self.extractors.items():
            digest.update(prefix.encode() + fingerprint(extractor.network))
        path = self.folder / f"real_{digest.hexdigest()[:16]}.npz"
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


def to_print(image: Tensor, ppi: float) -> np.ndarray:
    """An image (C, H, W) in [-1, 1] of `ppi` → uint8 (H', W') of 500 ppi, as the judges want it."""
    grey = to_levels(image.float().mean(dim=0).cpu().numpy())
    return resize(grey, round(grey.shape[0] * PPI / ppi))
