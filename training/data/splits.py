"""Which finger an image is of, and which are held out: a dataset is split by finger, never by image."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from fingergen.runtime.errors import BadOption

Item = TypeVar("Item")

_FINGER = r"(?:left|right|l|r)?[ _-]?(?:thumb|index|fore|middle|ring|little|pinky)(?:[ _-]?finger)?"
DEFAULT_RULES = (
    # NIST SD4: f0001_01 and s0001_01 are the first and second roll of a finger.
    r"(.*/)?[fs](\d{4}_\d{2})",
    # NIST SD14: f0000001 and s0000001 likewise.
    r"(.*/)?[fs](\d{7})",
    # NIST SD300, SD301, SD302: SUBJECT_DEVICE_roll_FRGP, SUBJECT_plain_PPI_FRGP, whatever their folder.
    r"(?:.*/)?(?P<subject>\d+)_(?:[^/]*_)?(?:roll|rolled|plain|flat|slap|palm|touch|touchless|contactless)"
    r"_(?:\d{3,4}_)?(?P<position>\d{2})(?:_[^/]*)?",
    # SOCOFing: 1__M_Left_index_finger, and its alterations in other folders: …_CR, …_Obl, …_Zcut.
    rf"(?:.*/)?(\d+__[MF]_{_FINGER})(?:_[^/]*)?",
    # USER/left_index/n, whatever n is: a folder with a finger's name.
    rf"((?:.*/)?(?:{_FINGER}|(?:finger|f)[ _-]?\d+))/[^/]+",
    # Our own 000123_04, FVC's 12_3, CASIA's 000_L0_2, and any FINGER_IMPRESSION.
    r"(.*/)?(.*[^/_])_\d+",
    # FINGER/n: numbered impressions, each finger's in a folder of its own.
    r"(.+)/(?:img|image|impression|sample|scan|print)?[ _-]?\d+",
    # USER/index and USER_left_thumb: the finger by its name alone, one image of each.
    rf"((?:.*/)?(?:[^/]*_)?{_FINGER})",
)
# Finger positions of ANSI/NIST-ITL (FRGP): the plain thumbs, and the fingers that each slap shows.
_PLAIN_THUMBS = {"11": "01", "12": "06"}
_SLAPS = {"13": ("02", "03", "04", "05"), "14": ("07", "08", "09", "10"), "15": ("01", "06")}


@dataclass(frozen=True)
class FingerRule:
    """How the finger is read from an image's key: its path below the dataset's folder, without extension.

    Attributes:
        pattern: A regular expression that is searched in the key; its groups, or else what it matches, are
            the finger. None: the first of `DEFAULT_RULES` that fits the whole key. By most of these the same
            name in another folder is another finger, as in FVC's four databases.
    """

    pattern: str | None = None

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern or "")
        except re.error as error:
            raise BadOption("finger-pattern", self.pattern, f"not a regular expression ({error})") from None

    def finger(self, key: str) -> str | None:
        """The finger that a key states, or None if it states none."""
        if self.pattern is not None:
            match = re.search(self.pattern, key)
        else:
            matches = (re.fullmatch(rule, key, re.IGNORECASE) for rule in DEFAULT_RULES)
            match = next(filter(None, matches), None)
        if match is None:
            return None
        named = match.groupdict() if self.pattern is None else {}
        if position := named.get("position"):
            return f"{named['subject']}_{_PLAIN_THUMBS.get(position, position)}"
        return "".join(part or "" for part in match.groups()) or match[0]


def fingers_that_share_images(fingers: Iterable[str]) -> Iterator[set[str]]:
    """Each slap among NIST's fingers, as `FingerRule` names them, with those of its fingers that are there.

    They must be on the same side of a split: a slap shows the prints of four fingers, or of both thumbs.
    """
    there = set(fingers)
    for finger in sorted(there):
        subject, _, position = finger.rpartition("_")
        if subject.isdigit() and position in _SLAPS:
            yield {finger, *(f"{subject}_{each}" for each in _SLAPS[position])} & there


def held_out(fingers: Iterable[str], fraction: float, most: int | None = None) -> frozenset[str]:
    """Choose the fingers that are held out.

    A finger's place depends on its name alone: further fingers do not move those that are there to the other
    side (but for the bounds).

    Args:
        fingers: Names, each as often as it likes.
        fraction: Of the fingers, from 0 to 1.
        most: Upper bound of their number.

    Returns:
        About `fraction` of the fingers, but one at least and never all.
    """
    ranked = sorted(set(fingers), key=_place)
    count = sum(_place(finger) < fraction for finger in ranked)
    bound = len(ranked) - 1 if most is None else min(most, len(ranked) - 1)
    return frozenset(ranked[: min(max(count, 1), bound)])


def divide(
    items: Sequence[Item], fingers: Sequence[str], fraction: float, most: int | None = None
) -> tuple[list[Item], list[Item]]:
    """Divide images into those to train on and those of the fingers that `held_out` chooses.

    Args:
        items: Images, or what stands for them.
        fingers: The finger of each.
        fraction: Of the fingers, from 0 to 1.
        most: Upper bound of the number of fingers that are held out.
    """
    spare = held_out(fingers, fraction, most)
    train, apart = (
        [item for item, finger in zip(items, fingers, strict=True) if (finger in spare) is held]
        for held in (False, True)
    )
    return train, apart


class HeldOutSplit(Generic[Item]):
    """Images to train on, and those of a tenth of the fingers, which are held out: always the same ones.

    Attributes:
        trained: Images to train on.
        spare: Images that are held out.
    """

    def __init__(self, items: Sequence[Item], fingers: Sequence[str], most: int) -> None:
        """`fingers`: the finger of each of `items`; `most`: upper bound of the number of those held out."""
        self.trained, self.spare = divide(items, fingers, 0.1, most)

    def batch(self, rng: np.random.Generator, count: int) -> list[Item]:
        """`count` of the images to train on, chosen by `rng` alone."""
        return [self.trained[index] for index in rng.integers(len(self.trained), size=count)]

    def held_out(self, count: int) -> list[Item]:
        """The first `count` of those held out, from the start again where there are fewer."""
        return [self.spare[index % len(self.spare)] for index in range(count)]


def _place(finger: str) -> float:
    """Evenly distributed in [0, 1)."""
    name = finger.encode(errors="surrogateescape")  # it may come of a file's name, which may be any bytes
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest()) / 2**64
