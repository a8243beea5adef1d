"""Fingers that no person has, grown from seeds, and impressions of them, with their ground truth.

finger = make_finger(7)                           # ridge map and all minutiae
taken = finger.impression(0, "easy", rotation=20) # taken.pixels, taken.template
taken.ridges, taken.contact                       # what a generator with ridge noise takes
"""

from typing import TYPE_CHECKING

from ..lazy import imported_when_asked
from ..minutiae import PPI

if TYPE_CHECKING:
    from .capture.area import SENSORS, SensorArea
    from .capture.presets import LIMITS, MOISTURE, PRESETS, Effects, Preset, find_preset
    from .finger import Finger, impressions, make_finger, make_fingers, take_impression
    from .identity.minutiae import Minutiae
    from .identity.patterns import (
        FREQUENCIES_BY_POSITION,
        NATURAL_FREQUENCIES,
        FingerPosition,
        Pattern,
        PatternClass,
        sample_pattern,
    )
    from .impression import Impression
    from .master import Master
    from .window import FULL_PRINT, LARGEST, SMALL_SENSOR, SMALLEST

__all__ = [
    "FREQUENCIES_BY_POSITION",
    "FULL_PRINT",
    "LARGEST",
    "LIMITS",
    "MOISTURE",
    "NATURAL_FREQUENCIES",
    "PPI",
    "PRESETS",
    "SENSORS",
    "SMALLEST",
    "SMALL_SENSOR",
    "Effects",
    "Finger",
    "FingerPosition",
    "Impression",
    "Master",
    "Minutiae",
    "Pattern",
    "PatternClass",
    "Preset",
    "SensorArea",
    "find_preset",
    "impressions",
    "make_finger",
    "make_fingers",
    "sample_pattern",
    "take_impression",
]

__getattr__ = imported_when_asked(
    __name__,
    {
        "capture.area": ("SENSORS", "SensorArea"),
        "capture.presets": ("LIMITS", "MOISTURE", "PRESETS", "Effects", "Preset", "find_preset"),
        "finger": ("Finger", "impressions", "make_finger", "make_fingers", "take_impression"),
        "identity.minutiae": ("Minutiae",),
        "identity.patterns": (
            "FREQUENCIES_BY_POSITION",
            "NATURAL_FREQUENCIES",
            "FingerPosition",
            "Pattern",
            "PatternClass",
            "sample_pattern",
        ),
        "impression": ("Impression",),
        "master": ("Master",),
        "window": ("FULL_PRINT", "LARGEST", "SMALLEST", "SMALL_SENSOR"),
    },
)
