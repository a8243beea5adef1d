"""Fingers that no person has, grown from seeds, and impressions of them, with their ground truth.

finger = make_finger(7)                       # ridge map and all minutiae
print = take_impression(finger, 0, "easy")    # print.pixels, print.template
print.ridges, print.contact                   # what a generator with ridge noise takes
"""

from .capture.presets import LIMITS, MOISTURE, PRESETS, Effects, Preset
from .finger import FULL_PRINT, PPI, SMALL_SENSOR, Finger, make_finger, make_fingers
from .identity.minutiae import Minutiae
from .identity.patterns import NATURAL_FREQUENCIES, Pattern, PatternClass, draw_pattern
from .impression import Impression, impressions, take_impression

__all__ = [
    "FULL_PRINT",
    "LIMITS",
    "MOISTURE",
    "NATURAL_FREQUENCIES",
    "PPI",
    "PRESETS",
    "SMALL_SENSOR",
    "Effects",
    "Finger",
    "Impression",
    "Minutiae",
    "Pattern",
    "PatternClass",
    "Preset",
    "draw_pattern",
    "impressions",
    "make_finger",
    "make_fingers",
    "take_impression",
]
