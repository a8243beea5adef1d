"""The file formats of minutiae templates, one module for each standard and year, and their registry."""

from . import (
    ansi378_2004,
    ansi378_2009,
    iso19794_2_2005,
    iso19794_2_2011,
    iso19794_2_card,
    json,
    nbis_min,
    nbis_xyt,
    synfing,
)
from .format import Format

FORMATS: dict[str, Format] = {
    known.name: known
    for known in (
        iso19794_2_2005.FORMAT,
        iso19794_2_2011.FORMAT,
        iso19794_2_card.NORMAL,
        iso19794_2_card.COMPACT,
        ansi378_2004.FORMAT,
        ansi378_2009.FORMAT,
        nbis_xyt.FORMAT,
        nbis_min.FORMAT,
        synfing.FORMAT,
        json.FORMAT,
    )
}
"""Every format that is read, by its name."""

WRITABLE: tuple[str, ...] = tuple(name for name, known in FORMATS.items() if known.encode)
"""The names of the formats that are written too."""

__all__ = ["FORMATS", "WRITABLE", "Format"]
