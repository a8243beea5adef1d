"""Minutiae templates: read them, write them, draw them as the maps that the encoder reads."""

from .files import FORMATS, decode_template, read_template, write_template
from .maps import minutiae_map
from .template import Minutia, MinutiaType, Point, Template

__all__ = [
    "FORMATS",
    "Minutia",
    "MinutiaType",
    "Point",
    "Template",
    "decode_template",
    "minutiae_map",
    "read_template",
    "write_template",
]
