"""A sensor that no look of procedural fingers is like: does a generator learn it from few scans?

`python -m tests.training.unseen_sensor scans --fingers 100 --seed 7000000 --out raw` makes one scan each;
`… compare PRINTS OTHERS` says how far the gray levels and spectra of two folders of images are apart.

Its valleys are brighter than its background, which is gray and lit from the left; its tone is a curve of its
own, its optics are astigmatic, its grain runs along the rows. It shares with the procedural sensor only where
ridges run and where the finger touches.
"""

from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from fingergen.runtime.fingers import Impression, make_finger, take_impression
from fingergen.runtime.images import encode_image
from fingergen.runtime.minutiae import FORMATS

SIDE = 512
BLUR = 0.7, 1.7  # pixels, along columns and rows


def scan(impression: Impression, rng: np.random.Generator) -> NDArray[np.uint8]:
    """What the sensor shows of an impression.

    Args:
        impression: Of a finger.
        rng: For what differs from scan to scan: exposure, moisture, grain.

    Returns:
        uint8 (H, W).
    """
    height, width = impression.contact.shape
    contact = np.maximum(impression.contact, 1e-3)
    ridges = np.where(contact > 0.02, impression.ridges / contact, 0.0)
    moisture, contrast, exposure = rng.normal(0.0, 0.35), rng.uniform(0.75, 1.0), rng.normal(0.0, 0.03)
    uneven = ndimage.zoom(rng.standard_normal((9, 9)), (height / 9, width / 9), order=3)
    relief = ridges + 0.5 * moisture + 0.18 * uneven
    touched = contrast * np.clip(0.5 + 0.7 * relief, 0.0, 1.0) ** 1.5
    column = np.linspace(0.5, -0.5, width)
    paper = 0.6 + 0.18 * column[None, :] + exposure
    glow = 0.86 + exposure - 0.08 * ndimage.gaussian_filter(uneven, 8.0)
    gray = paper + impression.contact * (glow - paper) - 0.72 * touched * impression.contact
    grain = ndimage.gaussian_filter1d(rng.standard_normal((height, width)), 2.0, axis=1) * 2.6
    gray = ndimage.gaussian_filter(gray, BLUR) + 0.03 * grain
    return np.round(255 * np.clip(gray, 0.0, 1.0)).astype(np.uint8)


def gray_distance(prints: NDArray[np.uint8], others: NDArray[np.uint8]) -> float:
    """How many gray levels apart the pixels of two sets are: the Wasserstein distance of their levels."""
    part = np.linspace(0, 1, 257)[1:] - 0.5 / 256
    return float(np.abs(np.quantile(prints, part) - np.quantile(others, part)).mean())


def spectral_distances(prints: NDArray[np.uint8], others: NDArray[np.uint8]) -> tuple[float, float, float]:
    """Root mean square, in dB, of how the power of two sets differs over bands of frequency, 2 % wide: in all
    directions together, of what varies along rows, and of what varies along columns.
    """
    side = prints.shape[-1]
    down, across = np.abs(np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side), indexing="ij"))
    band = np.minimum(np.hypot(down, across) / 0.02, 24).astype(int)
    window = np.outer(np.hanning(side), np.hanning(side))
    powers = [
        np.mean([np.abs(np.fft.fft2((image - image.mean()) * window)) ** 2 for image in images], axis=0)
        for images in (prints, others)
    ]

    def distance(part: NDArray[np.bool_]) -> float:
        # The first band holds what is larger than a fingertip's ridges.
        levels = [10 * np.log10(np.bincount(band[part], power[part])[1:]) for power in powers]
        return float(np.sqrt(np.mean((levels[0] - levels[1]) ** 2)))

    return distance(across >= 0), distance(across > down), distance(across <= down)


@click.group()
def main() -> None:
    """Scans of a sensor that the demo never saw, and how far prints are from them."""


@main.command()
@click.argument("prints", type=click.Path(path_type=Path))
@click.argument("others", type=click.Path(path_type=Path))
@click.option("--count", type=click.IntRange(min=1), default=100, show_default=True)
def compare(prints: Path, others: Path, count: int) -> None:
    """Of the first COUNT images of each folder, which have one size."""
    one, two = (
        np.stack([np.asarray(Image.open(path)) for path in sorted(folder.rglob("*.png"))[:count]])
        for folder in (prints, others)
    )
    whole, rows, columns = spectral_distances(one, two)
    print(f"gray levels {gray_distance(one, two):.1f}")
    print(f"spectrum {whole:.1f} dB, along rows {rows:.1f}, along columns {columns:.1f}")


@main.command()
@click.option("--fingers", type=click.IntRange(min=1), default=100, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=7_000_000, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
def scans(fingers: int, seed: int, out: Path) -> None:
    """Write one scan of each finger, with its true template beside it."""
    out.mkdir(parents=True)
    encode = FORMATS["json"].encode
    assert encode is not None
    for number in range(fingers):
        impression = take_impression(make_finger(seed + number, (SIDE, SIDE)), 0, "medium")
        pixels = scan(impression, np.random.default_rng(seed + number))
        name = f"{seed + number:08d}_00"
        (out / f"{name}.png").write_bytes(encode_image(pixels, ".png", 500, {"finger": str(seed + number)}))
        (out / f"{name}.json").write_bytes(encode(impression.template))


if __name__ == "__main__":
    main()
