"""CBEFF structures of the PIV patron format: a header of 88 bytes, a biometric data block, a signature block.

Source: NIST SP 800-76, its patron format for PIV; INCITS 398-2005. What FingerGen writes is not signed.
"""

from __future__ import annotations

import struct
from datetime import datetime

from .errors import BadInput

HEADER = 88  # bytes
_START = struct.Struct(">BBIHHH")
_VERSION = 3
_SECURITY = 0x0D  # the one code for blocks that are not encrypted; a signature of length 0 says there is none
_DATE = struct.Struct(">7Bc")
_FOREVER = datetime(9999, 12, 31, 23, 59, 59)
_FINGERPRINT = (8).to_bytes(3, "big")
_RAW, _PROCESSED = 0x20, 0x80
_QUALITY_NOT_KNOWN = 0xFE
_CREATOR, _FASC_N, _RESERVED = b"FingerGen".ljust(18, b"\0"), bytes(25), bytes(4)

INCITS, ISO = 0x001B, 0x0101  # format owners, registered with IBIA
IDENTIFIERS: dict[str, tuple[int, int, int, int]] = {
    "ansi378-2004": (INCITS, 0x0201, 0x0202, _PROCESSED),
    "ansi378-2009": (INCITS, 0x0201, 0x0202, _PROCESSED),
    "iso19794-2-2005": (ISO, 0x0001, 0x0002, _PROCESSED),
    "iso19794-4-2005": (ISO, 0x0007, 0x0007, _RAW),
    "iso19794-4-2011": (ISO, 0x0007, 0x0007, _RAW),
}
"""Of the records that are wrapped, by the name of the format: owner; type, without and with extended data;
kind of data."""


def wrap(record: bytes, format: str, extended: bool, captured: datetime) -> bytes:
    """A record in a CBEFF structure.

    Args:
        record: The biometric data block.
        format: Its format, a name in `IDENTIFIERS`.
        extended: Of templates: whether it has cores and deltas.
        captured: When, in UTC.

    Returns:
        Header and record, with an empty signature block.

    Raises:
        BadInput: If the format has no identifier that is known.
    """
    if format not in IDENTIFIERS:
        raise BadInput(f"{format} is not wrapped in CBEFF: give one of {', '.join(IDENTIFIERS)}")
    owner, plain, with_extended, kind = IDENTIFIERS[format]
    header = _START.pack(_VERSION, _SECURITY, len(record), 0, owner, with_extended if extended else plain)
    header += _date(captured) + _date(captured) + _date(_FOREVER)  # creation; validity, from and to
    header += _FINGERPRINT + bytes((kind, _QUALITY_NOT_KNOWN)) + _CREATOR + _FASC_N + _RESERVED
    return header + record


def unwrap(data: bytes) -> bytes:
    """The biometric data block of a CBEFF structure; `data` itself where it is none."""
    if len(data) < HEADER or data[0] != _VERSION:
        return data
    _, _, length, signature, _, _ = _START.unpack_from(data)
    return data[HEADER : HEADER + length] if HEADER + length + signature == len(data) else data


def _date(when: datetime) -> bytes:
    """YYYYMMDDhhmmssZ, two digits in a byte as a number."""
    century, year = divmod(when.year, 100)
    return _DATE.pack(century, year, when.month, when.day, when.hour, when.minute, when.second, b"Z")
