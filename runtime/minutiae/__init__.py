"""Minutiae templates: read them, write them, draw them as the maps that the encoder reads."""

from .formats import FORMATS, WRITABLE
from .io import (
    TemplateWarning,
    decode_template,
    encode_template,
    is_template_file,
    read_template,
    write_template,
)
from .maps import minutiae_map
from .template import PPI, Minutia, MinutiaType, Point, Template

__all__ = [
    "FORMATS",
    "PPI",
    "WRITABLE",
    "Minutia",
    "MinutiaType",
    "Point",
    "Template",
    "TemplateWarning",
    "decode_template",
    "encode_template",
    "is_template_file",
    "minutiae_map",
    "read_template",
    "write_template",
]
