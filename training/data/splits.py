"""Which finger an image is of, and which are held out: a data set is split by finger, never by image."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from fingergen.runtime.errors import BadInput

DEFAULT_RULES = (
    r"(.*/)?[fs](\d{4}_\d{2})",  # NIST SD4: f0001_01 and s0001_01 are the first and second roll of a finger
    r"(.*/)?[fs](\d{7})",  # NIST SD14: f0000001 and s0000001 likewise
    r"(.*/)?(.+)_\d+",  # FVC 12_3, our own 000123_04, and any finger_impression
)


@dataclass(frozen=True)
class FingerRule:
    """How an image's key (its path below the data set's folder, without extension) tells its finger.

    pattern: a regular expression that is found in the key; its groups, or else what it finds, are the finger.
    None: the first of `DEFAULT_RULES` that fits the whole key; a name that fits none is a finger of its own.
    By these the same name in another folder is another finger, as in FVC's four databases.
    """

    pattern: str | None = None

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern or "")
        except re.error as error:
            raise BadInput(f"--finger-pattern {self.pattern}: not a regular expression ({error})") from None

    def finger(self, key: str) -> str | None:
        """The finger that a key tells, if it does."""
        if self.pattern is not None:
            match = re.search(self.pattern, key)
        else:
            matches = (re.fullmatch(rule, key, re.IGNORECASE) for rule in DEFAULT_RULES)
            match = next(filter(None, matches), None)
        if match is None:
            return None
        return "".join(part or "" for part in match.groups()) or match[0]

    def fingers(self, keys: Iterable[str]) -> list[str]:
        """The finger of every key: what the rule tells, else the key itself.

        BadInput where a pattern was given that a key does not fit.
        """
        fingers = []
        for key in keys:
            finger = self.finger(key)
            if finger is None and self.pattern is not None:
                raise BadInput(f"--finger-pattern {self.pattern}: is not found in '{key}'")
            fingers.append(key if finger is None else finger)
        return fingers


def held_out(fingers: Iterable[str], fraction: float, most: int | None = None) -> frozenset[str]:
    """About `fraction` of the fingers, `most` of them at most, but one at least and never all.

    A finger's place hangs on its name alone: more fingers do not move those that are there to the other side
    (but for the bounds).
    """
    ranked = sorted(set(fingers), key=_place)
    count = sum(_place(finger) < fraction for finger in ranked)
    bound = len(ranked) - 1 if most is None else min(most, len(ranked) - 1)
    return frozenset(ranked[: min(max(count, 1), bound)])


def _place(finger: str) -> float:
    """Evenly distributed in [0, 1)."""
    name = finger.encode(errors="surrogateescape")  # it may come of a file's name, which may be any bytes
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest()) / 2**64
