"""Template files: find their format, read and write them."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import BadInput
from ..files import write_atomically
from .formats import ansi378, iso19794_2, json_format, synfing, xyt
from .formats.finger_view import IDENTIFIER
from .formats.format import Defaults, Format
from .template import Template

FORMATS: dict[str, Format] = {
    known.name: known
    for known in (
        iso19794_2.FORMAT_2005,
        iso19794_2.FORMAT_2011,
        ansi378.FORMAT,
        xyt.FORMAT,
        synfing.FORMAT,
        json_format.FORMAT,
    )
}


def read_template(
    path: str | os.PathLike[str],
    format: str | None = None,
    *,
    width: int | None = None,
    height: int | None = None,
    ppi: float | None = None,
    view: int = 0,
) -> Template:
    """Read a minutiae template.

    format: a name in FORMATS; None: found by the file's first bytes, then by its extension.
    width, height (pixels), ppi: of the image, for a file that does not tell them: "xyt" and "synfing" never
    do (None: 512 x 512 at 500 ppi). What the file tells goes first.
    view: which finger view of the file, from 0.

    Raises BadInput, naming the file, for whatever is wrong with it.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}): give a minutiae template") from None
    return decode_template(data, path, format, width=width, height=height, ppi=ppi, view=view)


def decode_template(
    data: bytes,
    name: str | os.PathLike[str],
    format: str | None = None,
    *,
    width: int | None = None,
    height: int | None = None,
    ppi: float | None = None,
    view: int = 0,
) -> Template:
    """As `read_template`, of a file's bytes; `name` tells the extension and stands in messages."""
    try:
        views = _format_of(format, Path(name), data).decode(data, Defaults(width, height, ppi))
        if not 0 <= view < len(views):
            raise BadInput(
                f"finger view {view} is not there, the file holds {len(views)}: "
                + (f"give 0 to {len(views) - 1}" if views else "it is empty")
            )
    except BadInput as error:
        raise BadInput(f"{name}: {error}") from None
    return views[view]


def write_template(path: str | os.PathLike[str], template: Template, format: str | None = None) -> None:
    """Write a minutiae template; an existing file is replaced whole or not at all.

    format: a name in FORMATS; None: by the file's extension.

    Raises BadInput, naming the file, for a template that the format cannot carry or a place that cannot be
    written to.
    """
    path = Path(path)
    try:
        write_atomically(path, _format_of(format, path).encode(template))
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror}): give a folder that can be") from None


def _format_of(name: str | None, path: Path, data: bytes = b"") -> Format:
    if name is None:
        name = _name_by_content(data)
    if name is None:
        by_extension = {extension: known.name for known in FORMATS.values() for extension in known.extensions}
        name = by_extension.get(path.suffix.lower())
        if name is None:
            raise BadInput(
                f"format not known by content or extension ({' '.join(by_extension)}): "
                f"give one of {', '.join(FORMATS)}"
            )
    if name not in FORMATS:
        raise BadInput(f"format '{name}' is not known: give one of {', '.join(FORMATS)}")
    return FORMATS[name]


def _name_by_content(data: bytes) -> str | None:
    """The format that the first bytes of a file tell, if any."""
    if data.startswith(IDENTIFIER):
        version = data[4:8]
        if version == iso19794_2.VERSION_2011:
            return iso19794_2.FORMAT_2011.name
        if version == iso19794_2.VERSION_2005:
            return ansi378.FORMAT.name if ansi378.looks_like(data) else iso19794_2.FORMAT_2005.name
        raise BadInput(
            f"finger minutiae record of version {version!r} at offset 4: b' 20\\x00' (ISO/IEC 19794-2:2005, "
            "ANSI/INCITS 378-2004) and b'030\\x00' (ISO/IEC 19794-2:2011) are known"
        )
    if data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{":
        return json_format.FORMAT.name
    return None
