"""Template files: find their format, read and write them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from numbers import Integral
from pathlib import Path
from types import NoneType

from ..arguments import check_path, check_type
from ..errors import BadInput
from ..files import write_atomically
from .formats import FORMATS, WRITABLE, Format, detection
from .formats.format import Reading, by_extension
from .template import Template

_TEXT = ("xyt", "nbis-min", "synfing", "json")
_LONGEST_FILE = 1 << 26  # bytes
_LONGEST_START = 1 << 20  # bytes that identify what a file is


class TemplateWarning(UserWarning):
    """Something odd about a template file that was read all the same."""


def read_template(
    path: str | os.PathLike[str],
    format: str | None = None,
    *,
    width: int | None = None,
    height: int | None = None,
    ppi: float | None = None,
    view: int | None = None,
    override: bool = True,
    strict: bool = False,
    on_warning: Callable[[str], object] | None = None,
) -> Template:
    """Read a minutiae template.

    Records in hexadecimal or base64 text or in a CBEFF structure are read like bare ones. A field that its
    standard does not allow, such as a quality of 255, gives a warning and is read as not known.

    Args:
        path: The file.
        format: A name in FORMATS; None: found by the file's first bytes, then by its extension.
        width: Image width in pixels. Wins over what the file says, with a warning if they differ; needed for
            formats that do not say it (None: 512).
        height: Image height in pixels, likewise.
        ppi: Resolution in pixels per inch, likewise (None: 500).
        view: Which finger view of the file, from 0; None: the first, with a warning if there are more.
        override: False: width, height and ppi stand in only where the file does not say them.
        strict: Whether a field that the standard does not allow is an error.
        on_warning: Called with each warning, one line that names the file; None: `warnings.warn` with
            TemplateWarning.

    Returns:
        The template of one finger view.

    Raises:
        BadInput: Names the file, for whatever is wrong with it.
    """
    check_path(path)
    try:
        if os.path.getsize(path) > _LONGEST_FILE:
            raise BadInput(f"{path}: has more than {_LONGEST_FILE >> 20} MiB: give a minutiae template")
        data = Path(path).read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}): give a minutiae template") from None
    return _decode(data, path, format, view, Reading(width, height, ppi, override, strict), on_warning)


def decode_template(
    data: bytes,
    name: str | os.PathLike[str],
    format: str | None = None,
    *,
    width: int | None = None,
    height: int | None = None,
    ppi: float | None = None,
    view: int | None = None,
    override: bool = True,
    strict: bool = False,
    on_warning: Callable[[str], object] | None = None,
) -> Template:
    """Read a minutiae template from the bytes of a file.

    Args:
        data: The content of the file.
        name: Its path, which gives the extension and stands in messages; nothing is opened.
        format: A name in FORMATS; None: found by the first bytes, then by the extension.
        width: Image width in pixels, as of `read_template`; likewise `height`, in pixels, and `ppi`.
        height: Image height.
        ppi: Resolution.
        view: Which finger view, from 0; None: the first.
        override: Whether width, height and ppi win over what the file states.
        strict: Whether a field that the standard does not allow is an error.
        on_warning: Called with each warning; None: `warnings.warn` with TemplateWarning.

    Returns:
        The template of one finger view.

    Raises:
        BadInput: Names the file, for whatever is wrong with it.
    """
    return _decode(data, name, format, view, Reading(width, height, ppi, override, strict), on_warning)


def is_template_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file is taken for a template: by its extension, or else by its first bytes.

    Args:
        path: The file; it need not exist.

    Returns:
        True where `read_template` is to read it, even if it will find a mistake.
    """
    path = Path(path)
    if path.suffix.lower() in by_extension(FORMATS.values()):
        return True
    try:
        with path.open("rb") as file:
            data = detection.unwrap(file.read(_LONGEST_START))
        return detection.format_of(data) is not None
    except OSError:
        return False
    except BadInput:  # a record of a version that is not known
        return True


def encode_template(template: Template, format: str) -> bytes:
    """A minutiae template as the bytes of a file.

    Args:
        template: Coordinates, angles and qualities are rounded to what the format carries.
        format: A name in WRITABLE.

    Returns:
        The file's content.

    Raises:
        BadInput: For a template that the format cannot carry, or a format that is read only.
    """
    return _encode(template, _named(format, Path()))


def write_template(path: str | os.PathLike[str], template: Template, format: str | None = None) -> None:
    """Write a minutiae template; an existing file is replaced whole or not at all.

    Args:
        path: The file.
        template: What to write; coordinates, angles and qualities are rounded to what the format carries.
        format: A name in WRITABLE; None: by the file's extension.

    Raises:
        BadInput: Names the file, for a template that the format cannot carry, a format that is read only, or
            a place that cannot be written to.
    """
    check_path(path)
    path = Path(path)
    try:
        write_atomically(path, _encode(template, _named(format, path)))
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror}): give a folder that can be") from None


def _encode(template: Template, known: Format) -> bytes:
    check_type("template", template, Template, "a Template")
    if known.encode is None:
        raise BadInput(f"{known.description} is read only: give one of {', '.join(WRITABLE)}")
    return known.encode(template)


def _decode(
    data: bytes,
    name: str | os.PathLike[str],
    format: str | None,
    view: int | None,
    reading: Reading,
    on_warning: Callable[[str], object] | None,
) -> Template:
    check_type("data", data, bytes, "the bytes of a file")
    check_type("format", format, (str, NoneType), "the name of a format, or None")
    check_type("view", view, (Integral, NoneType), "the number of a finger view, or None")
    try:
        known, content = _recognize(format, Path(name), data)
        try:
            template = _chosen(known.decode(content, reading), view, reading)
        except BadInput as error:
            raise BadInput(f"{error} (read as {known.description})") from None
    except BadInput as error:
        raise BadInput(f"{name}: {error}") from None
    for warning in reading.warnings:
        if on_warning:
            on_warning(f"{name}: {warning}")
        else:
            warnings.warn(f"{name}: {warning}", TemplateWarning, stacklevel=3)
    return template


def _chosen(views: tuple[Template, ...], view: int | None, reading: Reading) -> Template:
    """The finger view that was asked for; a warning if there are others and none was."""
    if view is None and len(views) > 1:
        reading.warnings.append(
            f"holds {len(views)} finger views: the first is read, --view 1 reads the second"
        )
    if not 0 <= (view or 0) < len(views):
        raise BadInput(
            f"finger view {view or 0} is not there, the file holds {len(views)}: "
            + (f"give 0 to {len(views) - 1}" if views else "it is empty")
        )
    return views[view or 0]


def _recognize(name: str | None, path: Path, data: bytes) -> tuple[Format, bytes]:
    """The format of a file, and its content without what it is wrapped in."""
    if name is not None:
        known = _named(name, path)
        return known, data if name in _TEXT else detection.unwrap(data, any_binary=True)
    if (found := detection.format_of(data)) is not None:
        return FORMATS[found], data
    content = detection.unwrap(data)
    if (found := detection.format_of(content)) is not None:
        return FORMATS[found], content
    known = _named(None, path)
    return known, data if known.name in _TEXT else detection.unwrap(data, any_binary=True)


def _named(name: str | None, path: Path) -> Format:
    """The format of a name, or else of the extension of `path`."""
    if name is None:
        extensions = by_extension(FORMATS.values())
        name = extensions.get(path.suffix.lower())
        if name is None:
            raise BadInput(
                f"format not known by content or extension ({' '.join(extensions)}): "
                f"give one of {', '.join(FORMATS)}"
            )
    if name not in FORMATS:
        raise BadInput(f"format '{name}' is not known: give one of {', '.join(FORMATS)}")
    return FORMATS[name]
