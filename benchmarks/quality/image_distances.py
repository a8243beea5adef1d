"""How far the images of two sets are apart: FID, KID, and a classifier that tries to tell them apart.

Both sides are treated alike: decoded by the same code, cropped to the same size, as many of each. What the
figure is for no difference at all is reported beside it: that of the reference's two halves.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.stats import binomtest
from torch import Tensor, nn

from fingergen.training.metrics.distances import Features, Gaussian, frechet_distance, kernel_distance
from fingergen.training.metrics.features import Extractor, InceptionFeatures

Images = Sequence[NDArray[np.uint8]]  # (H, W) each

LEAST_IMAGES = 8  # of each set
CHANNELS = (8, 16, 32)
CROP, CROPS = 96, 6  # pixels per side, and number per image when it is classified
STEPS, BATCH = 150, 24
FOLDS = 2


class RandomFeatures:
    """What a fixed network with random weights sees: mean and deviation of each channel of each layer.

    Features of random networks rank sets of images of a domain without labels about as well as those of
    ImageNet (Naeem et al., "Reliable fidelity and diversity metrics for generative models", 2020). Compare
    figures of these features with each other alone.
    """

    def __init__(self) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.network: nn.Module = _layers()

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Images (N, 1, H, W) in [-1, 1] → features (N, F)."""
        found, x = [], images
        assert isinstance(self.network, nn.Sequential)
        for layer in self.network:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                found += [x.mean((2, 3)), x.std((2, 3))]
        return torch.cat(found, dim=1)


def distances(one: Images, other: Images, inception: Path | None = None) -> dict[str, Any]:
    """Compute FID and KID of two sets.

    Args:
        one: images of the set.
        other: images of the reference.
        inception: weights of torchvision's Inception v3; None takes `RandomFeatures`.

    Returns:
        `fid`, `kid`, those of the reference's halves (`fid_of_halves`, `kid_of_halves`, of half as many
        images), the number of images of each side and the name of the features; empty of too few images.
    """
    count = min(len(one), len(other))
    if count < LEAST_IMAGES:
        return {}
    extractor: Extractor = (
        InceptionFeatures(inception, torch.device("cpu")) if inception else RandomFeatures()
    )
    size = _common_size([*one, *other])
    here, there = (_features(extractor, _some(images, count), size) for images in (one, other))
    halves = there[: count // 2], there[count // 2 : count // 2 * 2]
    return {
        "features": "inception_v3" if inception else "random network",
        "images": count,
        "fid": _rounded(frechet_distance(Gaussian.of(here), Gaussian.of(there))),
        "fid_of_halves": _rounded(frechet_distance(Gaussian.of(halves[0]), Gaussian.of(halves[1]))),
        "kid": _rounded(kernel_distance(here, there)),
        "kid_of_halves": _rounded(kernel_distance(*halves)),
    }


def classifier_test(
    one: Images, other: Images, fingers: Sequence[int], others: Sequence[int]
) -> dict[str, Any]:
    """Train a small network to tell the sets apart (Lopez-Paz and Oquab, "Revisiting classifier two-sample
    tests", 2017).

    Fingers are split into two halves; those of one half are classified by a network trained on the other, so
    that no finger is classified by a network that saw it.

    Args:
        one: images of the set.
        other: images of the reference.
        fingers: finger of each image of `one`.
        others: finger of each image of `other`.

    Returns:
        `accuracy` over fingers, 0.5 by chance, with its 95 % interval (`low`, `high`); `p`: how probable an
        accuracy as high is by chance; `fingers`: of both sets. Empty where there are too few.
    """
    count = min(len(set(fingers)), len(set(others)))
    if count < LEAST_IMAGES or min(_common_size([*one, *other])) < CROP:
        return {}
    sides = [_of_fingers(one, fingers, count), _of_fingers(other, others, count)]
    right = 0
    for fold in range(FOLDS):
        network = _trained([[f for n, f in enumerate(side) if n % FOLDS != fold] for side in sides], fold)
        for label, side in enumerate(sides):
            for n, images in enumerate(side):
                if n % FOLDS == fold:
                    right += (_logit(network, images, n) > 0) == bool(label)
    result = binomtest(right, 2 * count, 0.5, alternative="greater")
    interval = binomtest(right, 2 * count).proportion_ci(method="wilson")
    return {
        "accuracy": _rounded(right / (2 * count)),
        "low": _rounded(interval.low),
        "high": _rounded(interval.high),
        "p": _rounded(result.pvalue),
        "fingers": 2 * count,
    }


def _layers(end: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in zip((1, *CHANNELS), CHANNELS, strict=False):
        convolution = nn.Conv2d(before, after, 5, stride=2, padding=2)
        nn.init.kaiming_normal_(convolution.weight)
        layers += [convolution, nn.ReLU()]
    if end:
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CHANNELS[-1], 1)]
    return nn.Sequential(*layers)


def _features(extractor: Extractor, images: Images, size: tuple[int, int]) -> Features:
    found = [extractor(_floats([_cropped(image, size)])) for image in images]
    return torch.cat(found).double().numpy()


def _trained(sides: Sequence[Sequence[Images]], seed: int) -> nn.Module:
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _layers(end=True)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=0.05)
    labels = torch.arange(BATCH) % 2
    for _ in range(STEPS):
        batch = [_crop(sides[int(label)], rng) for label in labels]
        loss = F.binary_cross_entropy_with_logits(network(_floats(batch))[:, 0], labels.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


@torch.no_grad()
def _logit(network: nn.Module, images: Images, seed: int) -> float:
    """Of a finger: the mean over crops of its images."""
    rng = np.random.default_rng(seed)
    return float(network(_floats([_crop([images], rng) for _ in range(CROPS)])).mean())


def _crop(fingers: Sequence[Images], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A crop around the middle third of an image, where the print is."""
    images = fingers[int(rng.integers(len(fingers)))]
    image = images[int(rng.integers(len(images)))]
    y, x = (round(rng.uniform(1 / 4, 3 / 4) * (side - CROP)) for side in image.shape)
    return image[y : y + CROP, x : x + CROP]


def _floats(images: Images) -> Tensor:
    return torch.from_numpy(np.stack(images)[:, None].astype(np.float32)) / 127.5 - 1


def _of_fingers(images: Images, fingers: Sequence[int], count: int) -> list[list[NDArray[np.uint8]]]:
    groups: dict[int, list[NDArray[np.uint8]]] = {}
    for image, finger in zip(images, fingers, strict=True):
        groups.setdefault(finger, []).append(image)
    return _some(list(groups.values()), count)


def _some(items: Sequence[Any], count: int) -> list[Any]:
    """`count` of the items, spread evenly."""
    return [items[n * len(items) // count] for n in range(count)]


def _common_size(images: Images) -> tuple[int, int]:
    return min(len(image) for image in images), min(image.shape[1] for image in images)


def _cropped(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    top, left = ((have - want) // 2 for have, want in zip(image.shape, size, strict=True))
    return image[top : top + size[0], left : left + size[1]]


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")
