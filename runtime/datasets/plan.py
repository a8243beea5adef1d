"""What a dataset consists of, computed when it is asked for: nothing is listed in advance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ..fingers import FingerPosition
from ..seeds import replacement

_HANDS = tuple(FingerPosition)

PART = 100  # fingers that are finished, recorded and, in layout `shards`, packed together


@dataclass(frozen=True)
class Entry:
    """One impression of the set, to be made.

    Attributes:
        finger: Index of the finger in the set, from 0.
        seed: That names the finger.
        impression: From 1.
        position: Which of the ten fingers it is, where that is known.
        attempt: How many draws of this impression were made before and refused.
        subject: Whose finger it is, from 0, where a set has subjects.
        replaced: How many seeds were refused before this one, where fingers have to be distinct.
        rolled: Whether it is taken from nail to nail.
    """

    finger: int
    seed: int
    impression: int
    position: FingerPosition | None = None
    attempt: int = 0
    subject: int | None = None
    replaced: int = 0
    rolled: bool = False

    @property
    def number(self) -> int:
        """The number of the impression among all that the finger has, in [0, 2**32)."""
        return self.impression - 1 + self.attempt * ATTEMPT


ATTEMPT = 1 << 16  # beyond every impression's own number, so that a second draw is nobody's first


@dataclass(frozen=True)
class Plan:
    """Fingers and impressions of a set, in parts of `PART` fingers.

    Attributes:
        fingers: How many.
        impressions: Of each.
        first_seed: Of the first finger; the next ones count up.
        position: Which of the ten fingers all are; None where that is not known.
        subjects: Whether every ten fingers are the hands of one subject, in the order of `FingerPosition`.
        shard: (i, n), from 1: only every n-th part is made, beginning with the i-th.
        rolled: How many of each finger's impressions, the first ones, are taken from nail to nail.
        replaced: Fingers with another seed than their own: which of `seeds.replacement`.
    """

    fingers: int
    impressions: int
    first_seed: int = 0
    position: FingerPosition | None = None
    shard: tuple[int, int] = (1, 1)
    subjects: bool = False
    rolled: int = 0
    replaced: Mapping[int, int] = field(default_factory=dict)

    @property
    def parts(self) -> range:
        """Numbers of the parts of all shards."""
        return range(-(-self.fingers // PART))

    @property
    def own_parts(self) -> range:
        """Numbers of the parts that this shard makes."""
        return self.parts[self.shard[0] - 1 :: self.shard[1]]

    @property
    def own_images(self) -> int:
        """How many images this shard makes."""
        own = self.own_parts
        fingers = len(own) * PART
        if own and own[-1] == self.parts[-1]:
            fingers -= len(self.parts) * PART - self.fingers
        return fingers * self.impressions

    @property
    def images(self) -> int:
        """How many images the set has."""
        return self.fingers * self.impressions

    def label(self, finger: int) -> int:
        """What files of finger `finger`, from 0, are called by: its seed, unless that was replaced."""
        return self.first_seed + finger

    def seed(self, finger: int) -> int:
        """The seed that names finger `finger`, from 0."""
        number = self.replaced.get(finger, 0)
        return replacement(self.label(finger), number) if number else self.label(finger)

    def fingers_of(self, part: int) -> range:
        """Indices of a part's fingers."""
        return range(part * PART, min((part + 1) * PART, self.fingers))

    def entry(self, finger: int, impression: int) -> Entry:
        """One impression of the set."""
        position, subject = self.position, None
        if self.subjects:
            subject, place = divmod(finger, len(_HANDS))
            position = _HANDS[place]
        return Entry(
            finger,
            self.seed(finger),
            impression,
            position,
            subject=subject,
            replaced=self.replaced.get(finger, 0),
            rolled=impression <= self.rolled,
        )

    def entries(self, part: int) -> Iterator[Entry]:
        """The impressions of a part, in order."""
        for finger in self.fingers_of(part):
            for impression in range(1, self.impressions + 1):
                yield self.entry(finger, impression)
