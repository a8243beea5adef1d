"""Record files: find their format, read and write them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import cbeff
from ..arguments import check_path, check_type
from ..errors import BadInput
from ..files import write_atomically
from . import ansi_nist, image_files, iso19794_4_2005, iso19794_4_2011, iso39794_4
from .format import Format
from .image import Content, Details, FingerImage, Reading

FORMATS: dict[str, Format] = {
    known.name: known
    for known in (
        image_files.PNG_FILE,
        image_files.TIFF_FILE,
        image_files.BMP_FILE,
        image_files.PGM_FILE,
        image_files.RAW_FILE,
        image_files.JP2_FILE,
        image_files.JP2_LOSSLESS_FILE,
        image_files.WSQ_FILE,
        iso19794_4_2005.FORMAT,
        iso19794_4_2011.FORMAT,
        iso39794_4.FORMAT,
        ansi_nist.FORMAT,
    )
}
"""Every format of fingerprint images, by its name; each is read and written."""

_LONGEST_FILE = 1 << 28  # bytes
_LONGEST_NOTE = 1 << 16
_TRANSACTION = re.compile(rb"1\.0*1:\d{1,10}\x1d")
_ANY_IMAGE = image_files.PNG_FILE  # its decoder takes every image file


def is_transaction(data: bytes) -> bool:
    """Whether a file is an ANSI/NIST-ITL transaction, by its first bytes: such a file may hold templates."""
    return _TRANSACTION.match(data) is not None


def format_of(data: bytes, name: str | os.PathLike[str]) -> Format:
    """The format of a file by its first bytes or, for raw pixels, by its extension."""
    if data.startswith(iso19794_4_2005.IDENTIFIER):
        versions = {iso19794_4_2005.VERSION: iso19794_4_2005, iso19794_4_2011.VERSION: iso19794_4_2011}
        if (version := data[4:8]) not in versions:
            known = " and ".join(map(repr, versions))
            raise BadInput(f"finger image record of version {version!r} at offset 4: {known} are known")
        return versions[version].FORMAT
    if data[:1] == bytes((iso39794_4.DATA_BLOCK,)):
        return iso39794_4.FORMAT
    if is_transaction(data):
        return ansi_nist.FORMAT
    return (
        image_files.RAW_FILE if Path(name).suffix.lower() in image_files.RAW_FILE.extensions else _ANY_IMAGE
    )


def decode_record(
    data: bytes,
    name: str | os.PathLike[str],
    format: str | None = None,
    *,
    size: tuple[int, int] | None = None,
    ppi: float | None = None,
) -> Content:
    """The images, and templates where there are some, of a file's bytes.

    Args:
        data: The bytes of a file; of a CBEFF structure its content is read.
        name: Of the file: for messages and, of raw pixels, the format.
        format: A name in `FORMATS`; None: found by the first bytes.
        size: (width, height) in pixels of raw images.
        ppi: Pixels per inch; wins over what the file states.

    Returns:
        Its content: at least one image or template.

    Raises:
        BadInput: Names the file, for whatever is wrong with it.
    """
    check_type("data", data, bytes, "the bytes of a file")
    try:
        data = cbeff.unwrap(data)
        known = format_of(data, name) if format is None else _named(format)
        try:
            return known.decode(data, Reading(size, ppi))
        except BadInput as error:
            shown = "an image" if known is _ANY_IMAGE else known.description
            raise BadInput(f"{error} (read as {shown})") from None
    except BadInput as error:
        raise BadInput(f"{name}: {error}") from None


def read_record(
    path: str | os.PathLike[str],
    format: str | None = None,
    *,
    size: tuple[int, int] | None = None,
    ppi: float | None = None,
) -> Content:
    """Read a file of fingerprint images; see `decode_record`.

    Provenance, size and resolution that a file has no place for are read from `PATH.json` beside it.

    Args:
        path: The file.
        format: A name in FORMATS; None: found by the first bytes, then by the extension.
        size: (width, height) in pixels of raw pixels; None: as the file beside it says.
        ppi: Pixels per inch; wins over what the file states.

    Returns:
        Images, minutiae and details of the file.

    Raises:
        BadInput: Names the file, for whatever is wrong with it.
    """
    check_path(path)
    path = Path(path)
    try:
        if path.stat().st_size > _LONGEST_FILE:
            raise BadInput(f"{path}: has more than {_LONGEST_FILE >> 20} MiB: give a fingerprint image")
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}): give a fingerprint image") from None
    note = _note(path)
    if size is None and isinstance(note.get("width"), int) and isinstance(note.get("height"), int):
        size = note["width"], note["height"]
    if ppi is None and isinstance(note.get("ppi"), (int, float)):
        ppi = float(note["ppi"])
    content = decode_record(data, path, format, size=size, ppi=ppi)
    said = note.get("provenance")
    if not isinstance(said, dict):
        return content
    text = {str(key): str(value) for key, value in said.items()}
    return replace(content, images=tuple(_with_provenance(image, text) for image in content.images))


def encode_record(
    content: Content, format: str, details: Details | None = None
) -> tuple[bytes, bytes | None]:
    """Fingerprint images as the bytes of a file.

    Args:
        content: What the file holds.
        format: A name in `FORMATS`.
        details: Compression, date and so on; None: the defaults.

    Returns:
        The file, and the JSON file beside it with what the format has no place for, if there is any.

    Raises:
        BadInput: For content that the format cannot carry.
    """
    details = details or Details()
    known = _named(format)
    known.check(content, details)
    note = _note_of(content, known)
    return known.encode(content, details), (json.dumps(note, indent=2) + "\n").encode() if note else None


def write_record(
    path: str | os.PathLike[str],
    content: Content | FingerImage | Iterable[FingerImage],
    format: str,
    details: Details | None = None,
) -> None:
    """Write fingerprint images; an existing file is replaced whole or not at all.

    Provenance, size and resolution go into `PATH.json` beside it where the format has no place for them.

    Args:
        path: The file.
        content: An image, several, or what `read_record` gives.
        format: A name in `FORMATS`.
        details: Compression, date and so on; None: the defaults.

    Raises:
        BadInput: Names the file, for content that the format cannot carry.
    """
    path = Path(path)
    if isinstance(content, FingerImage):
        content = Content((content,))
    elif not isinstance(content, Content):
        content = Content(tuple(content))
    try:
        data, note = encode_record(content, format, details)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    if note is not None:
        write_atomically(note_path(path), note)
    write_atomically(path, data)


def note_path(path: Path) -> Path:
    """The file beside a record with what the record has no place for."""
    return path.with_name(path.name + ".json")


def _note_of(content: Content, known: Format) -> dict[str, Any]:
    note: dict[str, Any] = {}
    if not known.states_resolution:
        (image,) = content.images
        note |= {"width": image.width, "height": image.height, "ppi": image.ppi}
    provenance = content.images[0].provenance if content.images else {}
    if provenance and not known.states_provenance:
        # Alone it lies as beside the BMP files of `save_image`.
        return note | {"provenance": dict(provenance)} if note else dict(provenance)
    return note


def _note(path: Path) -> dict[str, Any]:
    """What lies in the file beside a record; empty where there is none that can be read."""
    try:
        with note_path(path).open("rb") as file:
            found = json.loads(file.read(_LONGEST_NOTE))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return found if "width" in found else {"provenance": found}


def _with_provenance(image: FingerImage, said: dict[str, str]) -> FingerImage:
    return image if image.provenance else replace(image, provenance=said)


def _named(format: str) -> Format:
    if format not in FORMATS:
        raise BadInput(f"format '{format}' is not known: give one of {', '.join(FORMATS)}")
    return FORMATS[format]
