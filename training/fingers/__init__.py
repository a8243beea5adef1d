"""Procedural fingers: masters with ground truth, and impressions of them."""

from .finger import FULL_PRINT, SMALL_SENSOR, Finger, make_finger
from .impressions import GroundTruth, impressions
from .minutiae import BIFURCATION, ENDING, Minutiae
from .patterns import NATURAL_FREQUENCIES, PatternClass
from .shards import read_masters, read_shard, write_masters, write_shard

__all__ = [
    "BIFURCATION",
    "ENDING",
    "FULL_PRINT",
    "NATURAL_FREQUENCIES",
    "SMALL_SENSOR",
    "Finger",
    "GroundTruth",
    "Minutiae",
    "PatternClass",
    "impressions",
    "make_finger",
    "read_masters",
    "read_shard",
    "write_masters",
    "write_shard",
]
