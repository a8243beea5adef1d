"""Procedural fingers: masters with ground truth, and impressions of them."""

from .finger import FULL_PRINT, PPI, SMALL_SENSOR, Finger, make_finger, make_fingers
from .impressions import impressions
from .minutiae import Minutiae
from .patterns import NATURAL_FREQUENCIES, Pattern, PatternClass, draw_pattern
from .shards import read_shard, write_masters, write_shard

__all__ = [
    "FULL_PRINT",
    "NATURAL_FREQUENCIES",
    "PPI",
    "SMALL_SENSOR",
    "Finger",
    "Minutiae",
    "Pattern",
    "PatternClass",
    "draw_pattern",
    "impressions",
    "make_finger",
    "make_fingers",
    "read_shard",
    "write_masters",
    "write_shard",
]
