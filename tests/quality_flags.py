"""Whether `fg-bench quality` flags what is wrong with a set, and nothing of a good one, at full size.

    python -m tests.quality_flags --fingers 200 --splits 200 --cache measured

Impressions are sampled by the sensor renderer. Four sets: as they are; with 1 % of the fingers planted twice;
with an erased disc in a tenth of the images; with brighter copies as mates. And halves: the fingers of the
good set, divided at random many times, each half compared with the other. It exits with 1 if a defect is not
flagged, if the good set is, or if more than 5 % of the halves differ.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from fingergen.benchmarks.quality.evaluation import Evaluation, Sampling, evaluate
from fingergen.benchmarks.quality.flags import differences, histogram_differences
from fingergen.benchmarks.quality.image_sets import read_folder
from fingergen.benchmarks.quality.reference import compare_with_reference
from fingergen.benchmarks.quality.workers import worker_per_core
from fingergen.runtime.fingers import make_finger, take_impression

SIDE, RADIUS = 400, 22  # pixels
PLANTED, ERASED, MOST_DIFFERENT = 0.01, 0.1, 0.05
ALL_PAIRS, FEW_PAIRS = Sampling(10**6, leader=0, mcc=0), Sampling(100, leader=0, mcc=0)


def write(folder: Path, images: Iterator[tuple[str, np.ndarray]]) -> Path:
    folder.mkdir()
    for name, pixels in images:
        Image.fromarray(pixels).save(folder / f"{name}.png", dpi=(500, 500))
    return folder


def impression(seed: int, number: int) -> np.ndarray:
    return take_impression(make_finger(seed, (SIDE, SIDE)), number, "easy").pixels


def good(seed: int, fingers: int) -> Iterator[tuple[str, np.ndarray]]:
    for finger in range(fingers):
        for number in (0, 1):
            yield f"{finger:05d}_{number + 1}", impression(seed + finger, number)


def read(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    for path in sorted(folder.iterdir()):
        yield path.stem, np.asarray(Image.open(path))


def planted(folder: Path, seed: int, fingers: int) -> Iterator[tuple[str, np.ndarray]]:
    """The last fingers are the first ones again, in other impressions."""
    twins = round(PLANTED * fingers)
    for name, pixels in read(folder):
        finger, number = int(name[:5]), int(name[-1])
        twin = finger - (fingers - twins)
        yield name, pixels if twin < 0 else impression(seed + twin, number + 1)


def erased(folder: Path, rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    y, x = np.mgrid[:SIDE, :SIDE]
    for name, pixels in read(folder):
        row, column = rng.integers(SIDE // 3, 2 * SIDE // 3, 2)
        disc = (x - column) ** 2 + (y - row) ** 2 < RADIUS**2
        yield name, np.where(disc, 255, pixels).astype(np.uint8) if rng.random() < ERASED else pixels


def copies(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    for name, pixels in read(folder):
        if name.endswith("_1"):
            yield name, pixels
            yield f"{name[:-1]}2", np.clip(pixels.astype(int) + 12, 0, 255).astype(np.uint8)


def half(whole: Evaluation, fingers: np.ndarray) -> Evaluation:
    """Some of the fingers, with what is compared with a reference."""
    groups = whole.images.fingers()
    indices = [index for finger in fingers for index in groups[finger]]
    return replace(
        whole,
        images=replace(whole.images, files=tuple(whole.images.files[index] for index in indices)),
        measured=tuple(whole.measured[index] for index in indices),
        histograms={name: counts[fingers] for name, counts in whole.histograms.items()},
        flags=(),
    )


def halves(whole: Evaluation, rng: np.random.Generator) -> tuple[Evaluation, Evaluation]:
    order = rng.permutation(len(whole.images.fingers()))
    return half(whole, order[: len(order) // 2]), half(whole, order[len(order) // 2 :])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fingers", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="Of the first finger. [0]")
    parser.add_argument("--splits", type=int, default=200, help="Halves that are compared. [200]")
    parser.add_argument("--networks", type=int, default=3, help="Of these, those also by a network. [3]")
    parser.add_argument("--cache", type=Path, help="Folder that keeps what is measured.")
    parser.add_argument("--workers", type=int)
    given = parser.parse_args()
    right, rng = True, np.random.default_rng(given.seed)
    with tempfile.TemporaryDirectory() as temporary, worker_per_core(given.workers) as pool:
        folder, kept = Path(temporary), given.cache or Path(temporary) / "cache"
        base = write(folder / "good", good(given.seed, given.fingers))
        twins = write(folder / "planted", planted(base, given.seed, given.fingers))
        discs = write(folder / "erased", erased(base, rng))
        sets = {
            "good": (base, ALL_PAIRS, set()),
            "planted": (twins, ALL_PAIRS, {"duplicates"}),
            "erased": (discs, FEW_PAIRS, {"holes"}),
            "copies": (write(folder / "copies", copies(base)), FEW_PAIRS, {"mates are copies"}),
        }
        for name, (images, sampling, expected) in sets.items():
            found = evaluate(read_folder(images), pool, kept, sampling)
            flags = {flag.partition(":")[0] for flag in found.flags}
            right &= flags == expected
            others = found.figures["bozorth3"]["largest_non_mated"][:3]
            largest = [each["score"] for each in others]
            print(f"{name}: flags {sorted(flags)}; largest scores of different fingers {largest}", flush=True)
            if name == "good":
                whole = found
        lines: Counter[str] = Counter()
        for split in range(given.splits):
            one, other = halves(whole, rng)
            if split < given.networks:
                compared = compare_with_reference(one, other, None, None)
                flags, told = compared.flags, compared.figures["reference"]["classifier"]
                print(f"split {split}: {list(flags)}, classifier {told}", flush=True)
            else:
                flags = differences(one.finger_means(), other.finger_means())
                flags += histogram_differences(one.histograms, other.histograms)[1]
            lines["any"] += bool(flags)
            lines.update({flag.split(",")[0] for flag in flags})
        right &= lines["any"] <= MOST_DIFFERENT * given.splits
        print(f"halves that differ: {dict(lines)} of {given.splits}")
    sys.exit(not right)


if __name__ == "__main__":
    main()
