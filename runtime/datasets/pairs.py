"""The comparisons of the FVC protocol: Maio et al., "FVC2000: Fingerprint Verification Competition", 2002.

Genuine: each impression with the later ones of its finger. Impostor: the first impression of each finger with
those of the later fingers. The competitions compare every such pair of a set.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..files import replacing
from .layouts import FVC_TRAINING, Fvc, Layout
from .writer import Encoding

MOST_IMPOSTORS = 10**7  # pairs of a list: about 300 MB

Pair = tuple[tuple[int, int], tuple[int, int]]  # (finger, impression) of both


def genuine(fingers: range, impressions: int) -> Iterator[Pair]:
    """All mated pairs, in the order of the fingers."""
    for finger in fingers:
        for one in range(1, impressions + 1):
            for other in range(one + 1, impressions + 1):
                yield (finger, one), (finger, other)


def impostor(fingers: range, most: int = MOST_IMPOSTORS) -> Iterator[Pair]:
    """Pairs of different fingers, in order: all or, where there are more, `most` at even distances."""
    count = len(fingers)
    every = count * (count - 1) // 2
    for number in range(min(every, most)):
        one, other = _pair(number if every <= most else number * every // most, count)
        yield (fingers[one], 1), (fingers[other], 1)


def _pair(number: int, count: int) -> tuple[int, int]:
    """Pair `number` of (0, 1), (0, 2), … (count - 2, count - 1)."""
    left = count * (count - 1) // 2 - 1 - number  # pairs after it
    back = (math.isqrt(8 * left + 1) - 1) // 2  # whole rows after its own
    one = count - 2 - back
    return one, count - 1 - (left - back * (back + 1) // 2)


def write_pairs(layout: Layout, encoding: Encoding, most: int = MOST_IMPOSTORS) -> list[tuple[Path, int]]:
    """Write genuine.csv and impostor.csv: in layout `fvc` for each of the two sets, else for all fingers.

    Args:
        layout: Of the set.
        encoding: Of its images.
        most: Impostor pairs per list.

    Returns:
        The files, with their numbers of pairs.
    """
    plan = layout.plan
    every = range(plan.fingers)
    groups = [(layout.folder, every)]
    if isinstance(layout, Fvc):
        first, second = layout.folders()
        groups = [
            (layout.folder / first, every[:-FVC_TRAINING]),
            (layout.folder / second, every[-FVC_TRAINING:]),
        ]
    written = []
    for folder, fingers in groups:
        lists = (("genuine", genuine(fingers, plan.impressions)), ("impostor", impostor(fingers, most)))
        for name, pairs in lists:
            path = folder / f"{name}.csv"
            written.append((path, _write(path, pairs, layout, encoding)))
    return written


def _write(path: Path, pairs: Iterable[Pair], layout: Layout, encoding: Encoding) -> int:
    def file(image: tuple[int, int]) -> str:
        return encoding.image_name(layout.name(layout.plan.entry(*image))).rpartition("/")[2]

    count = 0
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as text:
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(("file", "other"))
        for one, other in pairs:
            lines.writerow((file(one), file(other)))
            count += 1
    return count
