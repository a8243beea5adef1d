"""A small network that describes a print by a vector, trained on mated prints alone.

It is no matcher to be used: it shows whether what a network learns from a set holds on fingers that the set
does not have. Two impressions of a finger are drawn together, those of other fingers in the batch apart
(Khosla et al., "Supervised contrastive learning", 2020, with two views per finger).
"""

from __future__ import annotations

import io
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from fingergen.runtime.cli.progress import ImageProgress
from fingergen.runtime.errors import BadInput, visible
from fingergen.runtime.files import write_atomically
from fingergen.training.checkpoints.files import read

from .image_sets import ImageSet
from .measurement import read_pixels

SIDE = 128  # pixels that the network sees
WINDOW = 320  # pixels of 500 ppi around the middle of an image that these show
LENGTH = 128  # of a description
WIDTHS = (24, 48, 96, 128)
FINGERS = 24  # of a batch, two impressions of each
TEMPERATURE = 0.1
LEARNING_RATE = 1e-3
TURN, SHIFT, CONTRAST = 20.0, 0.08, 0.3  # augmentation: most degrees, shares of the side and of the contrast
KEPT_EVERY = 50  # steps between checkpoints

Prints = NDArray[np.uint8]  # (N, SIDE, SIDE)


class Descriptor(nn.Module):
    """Prints (N, 1, SIDE, SIDE) in [-1, 1] → unit vectors (N, LENGTH)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((1, *WIDTHS), WIDTHS, strict=False):
            layers += [nn.Conv2d(before, after, 5, 2, 2, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        side = SIDE // 2 ** len(WIDTHS)
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(WIDTHS[-1] * side**2, LENGTH))

    def forward(self, prints: Tensor) -> Tensor:
        return F.normalize(self.layers(prints))


def read_prints(images: ImageSet, ppi: float | None = None) -> Prints:
    """Returns the middle of every image, (N, SIDE, SIDE); what lies outside an image is white."""
    prints = []
    with closing(ImageProgress(len(images.files), visible(f"images of {images.name}"))) as progress:
        for file in images.files:
            prints.append(_window(read_pixels(file.path, ppi)))
            progress.made(1)
    return np.stack(prints)


def train(images: ImageSet, prints: Prints, steps: int, checkpoint: Path, seed: int = 0) -> Descriptor:
    """Train a descriptor, or go on where an interrupted training stopped.

    A step's batch depends on its number and the seed alone: an interrupted training ends like another.

    Args:
        images: a mated set.
        prints: its images, by `read_prints`.
        steps: how many in all.
        checkpoint: file that the training is kept in.
        seed: of weights, order and augmentation.

    Raises:
        BadInput: fewer than two fingers have two impressions; or the checkpoint is another training's, or
            has more steps.
    """
    groups = [group for group in images.fingers() if len(group) > 1]
    if len(groups) < 2:
        raise BadInput(f"{images.name}: give two or more fingers with two or more impressions each")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Descriptor()
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=0.01)
    first = _resume(network, optimizer, checkpoint)
    if first > steps:
        raise BadInput(f"{checkpoint}: has {first} steps already; ask for so many, or give another folder")
    with closing(ImageProgress(steps, visible(f"steps on {images.name}"))) as progress:
        progress.kept(first)
        for step in range(first, steps):
            rng = np.random.default_rng([seed, step])
            chosen = rng.choice(len(groups), min(FINGERS, len(groups)), replace=False)
            pairs = np.array([rng.choice(groups[finger], 2, replace=False) for finger in chosen])
            described = network.train()(_augmented(prints[pairs.T.ravel()], rng))
            loss = contrastive_loss(*described.chunk(2))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if (step + 1) % KEPT_EVERY == 0 or step + 1 == steps:
                _keep(step + 1, network, optimizer, checkpoint)
            progress.made(1)
    return network.eval()


def contrastive_loss(one: Tensor, other: Tensor) -> Tensor:
    """Cross-entropy of finding each print's mate among all others of the batch.

    Args:
        one: descriptions (N, LENGTH) of one impression of each finger.
        other: those of another impression, in the same order.
    """
    count = len(one)
    together = torch.cat([one, other])
    logits = together @ together.T / TEMPERATURE
    logits = logits.masked_fill(torch.eye(2 * count, dtype=torch.bool), -torch.inf)
    return F.cross_entropy(logits, torch.arange(2 * count).roll(count))


@torch.no_grad()
def describe(network: Descriptor, prints: Prints) -> NDArray[np.float64]:
    """Returns the descriptions (N, LENGTH) of prints."""
    parts = [network(_floats(prints[i : i + 64])) for i in range(0, len(prints), 64)]
    return torch.cat(parts).double().numpy()


def similarities(described: NDArray[np.float64], pairs: NDArray[np.intp]) -> NDArray[np.float64]:
    """Returns the cosine of each pair's descriptions, (N,)."""
    return (described[pairs[:, 0]] * described[pairs[:, 1]]).sum(axis=1)


def _keep(step: int, network: Descriptor, optimizer: torch.optim.Optimizer, checkpoint: Path) -> None:
    stream = io.BytesIO()
    torch.save({"step": step, "network": network.state_dict(), "optimizer": optimizer.state_dict()}, stream)
    write_atomically(checkpoint, stream.getvalue())


def _resume(network: Descriptor, optimizer: torch.optim.Optimizer, checkpoint: Path) -> int:
    """Load what is kept; returns the number of steps that it had."""
    if not checkpoint.exists():
        return 0
    state = read(checkpoint)
    try:
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        return int(state["step"])
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        raise BadInput(f"{checkpoint}: is not a checkpoint of this training; delete it ({error})") from None


def _window(image: NDArray[np.uint8]) -> Prints:
    height, width = image.shape
    left, top = (width - WINDOW) // 2, (height - WINDOW) // 2
    canvas = Image.new("L", (WINDOW, WINDOW), 255)
    canvas.paste(Image.fromarray(image), (-left, -top))
    return np.asarray(canvas.resize((SIDE, SIDE), Image.Resampling.BOX))


def _floats(prints: Prints) -> Tensor:
    return torch.from_numpy(prints[:, None].astype(np.float32)) / 127.5 - 1


def _augmented(prints: Prints, rng: np.random.Generator) -> Tensor:
    """Prints turned, shifted and with another contrast each."""
    count = len(prints)
    angle = np.radians(rng.uniform(-TURN, TURN, count))
    shift = rng.uniform(-2 * SHIFT, 2 * SHIFT, (count, 2))  # a side is 2 in the coordinates of a grid
    sine, cosine = np.sin(angle), np.cos(angle)
    matrices = np.stack([cosine, -sine, shift[:, 0], sine, cosine, shift[:, 1]], axis=1).reshape(count, 2, 3)
    floats = _floats(prints)
    grid = F.affine_grid(
        torch.from_numpy(matrices.astype(np.float32)), list(floats.shape), align_corners=False
    )
    moved = 1 + F.grid_sample(floats - 1, grid, align_corners=False)  # white outside
    contrast = torch.from_numpy(rng.uniform(1 - CONTRAST, 1, (count, 1, 1, 1)).astype(np.float32))
    return 1 + (moved - 1) * contrast
