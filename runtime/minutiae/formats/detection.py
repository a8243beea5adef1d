"""The format of a file by its first bytes, and records inside other files: hexadecimal, base64 and CBEFF."""

from __future__ import annotations

import base64
import binascii
import contextlib
import re

from ...errors import BadInput
from . import ansi378_2004, ansi378_2009, iso19794_2_2005, iso19794_2_2011, json, nbis_min
from .finger_view import IDENTIFIER

_VERSIONS = {
    iso19794_2_2005.VERSION: "ISO/IEC 19794-2:2005, ANSI/INCITS 378-2004",
    iso19794_2_2011.VERSION: "ISO/IEC 19794-2:2011, ANSI/INCITS 378-2009",
    ansi378_2009.VERSION_AM1: "ANSI/INCITS 378-2009 Amendment 1",
}
_MARK = re.compile(IDENTIFIER + b"(?:" + b"|".join(map(re.escape, _VERSIONS)) + b")")
_LONGEST_WRAPPER = 4096  # bytes before the record; the PIV header of NIST SP 800-76 has 88
_LONGEST_TEXT = 1 << 24
_HEX = re.compile(rb"(?:0[xX])?((?:[0-9A-Fa-f]{2}[\s:,-]*)+)")
_BASE64 = re.compile(rb"(?:data:[^,]{0,100},)?([A-Za-z0-9+/_-]+={0,2})")


def unwrap(data: bytes, *, any_binary: bool = False) -> bytes:
    """The record in a file: of hexadecimal or base64 text its bytes, of a CBEFF structure its content.

    Args:
        data: The bytes of a file.
        any_binary: Whether text is decoded whatever its bytes are then; else only if a finger minutiae record
            is among them.

    Returns:
        The record, or `data` itself where it is none of these.
    """
    for content in (data, *_decoded(data)):
        # A CBEFF header, whatever its patron format, lies before the record; its signature block, after.
        if found := _MARK.search(content, 0, _LONGEST_WRAPPER + 8):
            return content[found.start() :]
        if any_binary and content is not data:
            return content
    return data


def format_of(data: bytes) -> str | None:
    """The name of the format that the first bytes of a file identify, if any.

    BadInput for a finger minutiae record of a version that is not known.
    """
    if data.startswith(IDENTIFIER):
        return _record_format(data)
    text = data.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:1] == b"{":
        return json.FORMAT.name
    return nbis_min.FORMAT.name if text.startswith(nbis_min.START) else None


def _record_format(data: bytes) -> str:
    """The format of a finger minutiae record.

    Two pairs of standards share a version number: the layout that agrees with the file's length is taken.
    """
    version = data[4:8]
    if version == ansi378_2009.VERSION_AM1:
        return ansi378_2009.FORMAT.name
    if version == iso19794_2_2005.VERSION:
        iso, ansi = iso19794_2_2005.fits(data), ansi378_2004.fits(data)
        if ansi378_2004.looks_like(data) if iso == ansi else ansi:
            return ansi378_2004.FORMAT.name
        return iso19794_2_2005.FORMAT.name
    if version == iso19794_2_2011.VERSION:
        iso, ansi = iso19794_2_2011.fits(data), ansi378_2009.fits(data)
        if iso19794_2_2011.looks_like(data) if iso == ansi else iso:
            return iso19794_2_2011.FORMAT.name
        return ansi378_2009.FORMAT.name
    known = ", ".join(f"{each!r} ({standards})" for each, standards in _VERSIONS.items())
    raise BadInput(f"finger minutiae record of version {version!r} at offset 4: {known} are known")


def _decoded(data: bytes) -> list[bytes]:
    """What `data` is the text of, if it is hexadecimal or base64 text."""
    text = data.removeprefix(b"\xef\xbb\xbf").strip().strip(b"\"'")  # a string of JSON, say
    if not text or len(text) > _LONGEST_TEXT:
        return []
    decoded = []
    if found := _HEX.fullmatch(text):
        decoded.append(bytes.fromhex(re.sub(rb"[\s:,-]", b"", found[1]).decode()))
    text = re.sub(rb"-----(?:BEGIN|END)[^-]{0,64}-----", b"", text)  # armor, as of PEM
    if found := _BASE64.fullmatch(re.sub(rb"\s", b"", text)):
        digits = found[1].rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
        with contextlib.suppress(binascii.Error):
            decoded.append(base64.b64decode(digits + b"=" * (-len(digits) % 4)))
    return decoded
