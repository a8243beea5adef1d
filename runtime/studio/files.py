"""A print as a file that the user keeps, in any format that is written."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..errors import BadInput
from ..minutiae import FORMATS as TEMPLATE_FORMATS
from ..minutiae import WRITABLE, encode_template
from ..records import FORMATS as IMAGE_FORMATS
from ..records import Content, FingerImage, encode_record
from .prints import Print

_WITH_BOTH = "ansi-nist"


@dataclass(frozen=True)
class File:
    """A file that the page offers for download."""

    name: str
    data: bytes


def formats() -> dict[str, list[dict[str, str]]]:
    """What a print can be downloaded as: names and descriptions, of images and of templates."""
    return {
        "images": [{"name": name, "text": each.description} for name, each in IMAGE_FORMATS.items()],
        "templates": [{"name": name, "text": TEMPLATE_FORMATS[name].description} for name in WRITABLE],
    }


def to_file(made: Print, name: str, format: str) -> File:
    """A print, or its template, as a file.

    Args:
        made: The print.
        name: Of the file, without extension.
        format: Of images or of templates.

    Returns:
        The file; a ZIP archive where the format needs a second file for what it has no place for.

    Raises:
        BadInput: If there is no such format, or it cannot carry the print.
    """
    if format in WRITABLE:
        if made.template is None:
            raise BadInput(
                f"{format}: the minutiae of this bundle's prints are not known; choose an image format"
            )
        return File(name + TEMPLATE_FORMATS[format].extensions[0], encode_template(made.template, format))
    if format not in IMAGE_FORMATS:
        raise BadInput(f"format {format!r:.40}: choose {', '.join([*IMAGE_FORMATS, *WRITABLE])}")
    pixels = np.asarray(Image.fromarray(made.pixels).convert("L"))
    image = FingerImage(pixels, made.ppi, provenance=made.provenance)
    templates = (made.template,) if format == _WITH_BOTH and made.template is not None else ()
    data, note = encode_record(Content((image,), templates), format)
    file = File(name + IMAGE_FORMATS[format].extensions[0], data)
    if note is None:
        return file
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(file.name, data)
        packed.writestr(f"{file.name}.json", note)
    return File(f"{file.name}.zip", archive.getvalue())
