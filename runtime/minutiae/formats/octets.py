"""The bytes of binary records, of templates and of images, read in order."""

from __future__ import annotations

from ...errors import BadInput


class Octets:
    """A stretch of a file, read front to back; reading beyond it is a BadInput with field and offset."""

    def __init__(self, data: bytes, start: int = 0, end: int | None = None) -> None:
        self._data, self._at, self._end = data, start, len(data) if end is None else end

    @property
    def left(self) -> int:
        """Number of bytes that are not read yet."""
        return self._end - self._at

    @property
    def offset(self) -> int:
        """Offset in the file of the next byte."""
        return self._at

    def raw(self, length: int, field: str) -> bytes:
        """The next `length` bytes as they are; BadInput where the record ends before."""
        if length > self.left:
            raise BadInput(
                f"{field} at offset {self._at} needs {length} bytes but {self.left} are left: "
                "the file is truncated or not of this format"
            )
        self._at += length
        return self._data[self._at - length : self._at]

    def number(self, length: int, field: str) -> int:
        """The next `length` bytes as an unsigned number."""
        return int.from_bytes(self.raw(length, field), "big")

    def part(self, length: int, field: str) -> Octets:
        """The next `length` bytes as a stretch of their own."""
        start = self._at
        self.raw(length, field)
        return Octets(self._data, start, self._at)

    def wrong(self, length: int, problem: str) -> BadInput:
        """The error for a field of `length` bytes just read: `problem` names it and says how to mend it."""
        return BadInput(f"offset {self._at - length}: {problem}")


def open_record(data: bytes, identifier: bytes, kind: str, *versions: bytes) -> Octets:
    """A record after its identifier and version number, both checked.

    offset  length  field
    0       4       format identifier, three characters and a NUL
    4       4       version number, three characters and a NUL
    """
    octets = Octets(data)
    if octets.raw(4, "format identifier") != identifier:
        name = identifier[:3].decode()
        raise octets.wrong(4, f"the format identifier is not '{name}': the file is not a {kind} record")
    found = octets.raw(4, "version number")
    if found not in versions:
        expected = " or ".join(map(repr, versions))
        raise octets.wrong(4, f"version number is {found!r}, not {expected}: leave the format to be detected")
    return octets


def open_representation(record: Octets, certified: bool) -> int:
    """The beginning of a representation, the same in all parts of ISO/IEC 19794:2011 → its length in bytes.

    offset  length  field
    0       4       its length, with these 4 bytes
    4       9       capture date and time
    13      1       capture device technology
    14      2, 2    capture device vendor, type
    18      1       number of quality blocks
    19      5 each  quality, vendor (2), algorithm (2)
    then    1       number of certifications, only if `certified`
            3 each  authority (2), scheme
    """
    length = record.number(4, "representation length")
    record.raw(14, "capture time and device")
    record.raw(5 * record.number(1, "number of quality blocks"), "quality blocks")
    if certified:
        record.raw(3 * record.number(1, "number of certifications"), "certifications")
    return length
