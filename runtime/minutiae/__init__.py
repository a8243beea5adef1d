"""Minutiae templates: read them, write them, draw them as the maps that the encoder reads."""

from typing import TYPE_CHECKING

from ..lazy import imported_when_asked
from .resolution import PPI

if TYPE_CHECKING:
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
    from .template import Minutia, MinutiaType, Point, Template

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

__getattr__ = imported_when_asked(
    __name__,
    {
        "formats": ("FORMATS", "WRITABLE"),
        "io": (
            "TemplateWarning",
            "decode_template",
            "encode_template",
            "is_template_file",
            "read_template",
            "write_template",
        ),
        "maps": ("minutiae_map",),
        "template": ("Minutia", "MinutiaType", "Point", "Template"),
    },
)
