"""Bounds-checked reading of big-endian binary records."""

from __future__ import annotations

from ...errors import BadInput


class Octets:
    """A stretch of a file, read front to back; reading beyond it is a BadInput with field and offset."""

    def __init__(self, data: bytes, start: int = 0, end: int | None = None) -> None:
        self._data, self._at, self._end = data, start, len(data) if end is None else end

    @property
    def left(self) -> int:
        """Bytes not read yet."""
        return self._end - self._at

    @property
    def offset(self) -> int:
        """Where in the file the next byte lies."""
        return self._at

    def raw(self, length: int, field: str) -> bytes:
        """The next `length` bytes."""
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
