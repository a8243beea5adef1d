"""Fingers that no person has: made of seeds, each as many impressions as are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..arguments import check_iterable, check_type, to_member
from .capture.parameters import sample_capture
from .capture.presets import Effects, find_preset
from .identity.patterns import FingerPosition, PatternClass
from .impression import Impression
from .master import Master, make_master
from .window import FULL_PRINT

if TYPE_CHECKING:
    from ..minutiae import Template
    from .capture.area import SensorArea


class Finger(Master):
    """A finger: its ridge map, its truth and its impressions. `Master` explains the fields."""

    def impression(self, number: int, preset: str = "medium", **effects: Any) -> Impression:
        """An impression of the finger.

        Args:
            number: Of the impression, in [0, 2**32): another number, another placement, pressure, ….
            preset: How far impressions differ: `easy`, `medium`, `hard` or `partial`.
            effects: What is fixed instead of drawn, such as `rotation=20` or `moisture="dry"`; see `Effects`.

        Returns:
            The impression, always the same for the same arguments, in a window of `window`.

        Raises:
            BadInput: If the number or an effect is out of range, or there is no such preset.
        """
        return take_impression(self, number, preset, Effects(**effects))


def make_finger(
    seed: int,
    window: tuple[int, int] = FULL_PRINT,
    kind: PatternClass | None = None,
    position: FingerPosition | None = None,
    threads: int = 1,
) -> Finger:
    """The finger of a seed.

    A window as large as a print is centered on the finger pad, a smaller one near the middle of the pattern.

    Args:
        seed: In [0, 2**64).
        window: (width, height) in pixels of the impressions to be taken, each SMALLEST to LARGEST.
        kind: Its pattern class; None draws one at its natural frequency.
        position: Which of the ten fingers it is: the class is drawn at the frequency that it has there.
        threads: CPU threads that grow its ridges, 1 or more.

    Returns:
        The finger, always the same for the same arguments.

    Raises:
        BadInput: If the seed or the window is out of range.
    """
    return Finger(**vars(make_master(seed, window, kind, position, threads)))


def make_fingers(
    seeds: Iterable[int],
    window: tuple[int, int] = FULL_PRINT,
    kind: PatternClass | None = None,
    position: FingerPosition | None = None,
) -> list[Finger]:
    """The fingers of some seeds, each as `make_finger` makes it.

    Args:
        seeds: Integers in [0, 2**64).
        window: (width, height) in pixels at 500 ppi of the impressions to be taken.
        kind: Their pattern class; None samples one for each at its natural frequency.
        position: Which of the ten fingers they are: the class is sampled at the frequency that it has there.

    Returns:
        A finger per seed, in their order.

    Raises:
        BadInput: For a seed, window, class or position that is none.
    """
    check_iterable("seeds", seeds)
    kind, position = to_member("kind", kind, PatternClass), to_member("position", position, FingerPosition)
    return [make_finger(seed, window, kind, position) for seed in seeds]


def take_impression(
    finger: Master,
    number: int,
    preset: str = "medium",
    effects: Effects | None = None,
    area: SensorArea | None = None,
) -> Impression:
    """An impression of a finger; see `Finger.impression`.

    Args:
        finger: As `make_finger` gives it.
        number: The number of the impression, in [0, 2**32); the same number gives the same impression.
        preset: How far impressions differ: `easy`, `medium`, `hard` or `partial`.
        effects: What is fixed instead of sampled.
        area: The sensor's area; None: the window.

    Returns:
        The impression, at 500 ppi; its images are made when they are first asked for.

    Raises:
        BadInput: If the number or an effect is out of range, or there is no such preset.
    """
    check_type("finger", finger, Master, "a Finger, as make_finger gives it")
    capture = sample_capture(finger, number, find_preset(preset), effects or Effects())
    return Impression(finger, replace(capture, area=area))


def impressions(
    fingers: Sequence[Master], numbers: Sequence[int], preset: str = "medium"
) -> tuple[NDArray[np.uint8], list[Template]]:
    """Impression `numbers[i]` of `fingers[i]`, for each i.

    Args:
        fingers: N fingers of one window size.
        numbers: N numbers of impressions.
        preset: How far impressions differ.

    Returns:
        Images uint8 (N, H, W) and their N templates, as `take_impression` gives them one by one.

    Raises:
        BadInput: If a number is out of range, or there is no such preset.
    """
    taken = [take_impression(f, n, preset) for f, n in zip(fingers, numbers, strict=True)]
    return np.stack([one.pixels for one in taken]), [one.template for one in taken]
