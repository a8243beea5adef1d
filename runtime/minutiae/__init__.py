"""Minutiae templates: read them, write them, draw them as the maps that the encoder reads."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .template import PPI, Minutia, MinutiaType, Point, Template

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

_ELSEWHERE = {"FORMATS": "formats", "WRITABLE": "formats", "minutiae_map": "maps"}  # the others: in `io`


def __getattr__(name: str) -> Any:
    """Readers and writers are imported when they are first asked for: making fingerprints takes none."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_ELSEWHERE.get(name, 'io')}", __name__), name)
