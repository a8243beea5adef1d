"""The syntax of ANSI/NIST-ITL transactions in traditional encoding (ANSI/NIST-ITL 1-2011, annex B).

A transaction is a Type-1 record and those that its field 1.003 lists. Records of Types 3 to 8 are binary, of
a fixed layout that begins with their length; all others are tagged fields, `TYPE.NUMBER:content`, with GS
between fields, RS between subfields, US between items and FS at the end. A field 999 holds binary data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ...errors import BadInput

FS, GS, RS, US = b"\x1c", b"\x1d", b"\x1e", b"\x1f"
BINARY_TYPES = range(3, 9)
DATA = 999
CONTENTS, LENGTH, DESIGNATION = 3, 1, 2  # field numbers
_TAG = re.compile(rb"(\d{1,2})\.(\d{1,9}):")
_LENGTH = re.compile(rb"(\d{1,2})\.0*1:(\d{1,10})\x1d")
_MOST_RECORDS = 1000

Value = Sequence[Sequence[str]]
"""Of a field: its subfields, each its items."""


@dataclass
class Record:
    """One record.

    Attributes:
        kind: Its type, 1 to 99.
        fields: Text fields by number, without length and binary data.
        data: Of field 999 or, of a binary record, all after the designation character.
        designation: Information designation character (IDC), which ties the records of one finger together.
    """

    kind: int
    fields: dict[int, Value] = field(default_factory=dict)
    data: bytes = b""
    designation: int = 0

    def text(self, number: int, default: str | None = None) -> str:
        """The first item of a field; BadInput if it is not there and has no default."""
        value = self.fields.get(number)
        if value is None or not value or not value[0]:
            if default is None:
                raise BadInput(f"Type-{self.kind} record has no field {self.kind}.{number:03d}")
            return default
        return value[0][0]

    def number(self, number: int, default: int | None = None) -> int:
        """The first item of a field as a number; BadInput if it is none."""
        return whole(
            self.text(number, None if default is None else str(default)), f"{self.kind}.{number:03d}"
        )


def whole(text: str, name: str) -> int:
    """A number from 0 on; BadInput names the field."""
    if not re.fullmatch(r"\s*\d{1,9}\s*", text, re.ASCII):
        raise BadInput(f"field {name} is {text[:20]!a}: give a whole number")
    return int(text)


def parse(data: bytes) -> list[Record]:
    """The records of a transaction, in the order of the file.

    Raises:
        BadInput: If the bytes are no transaction, or end within a record.
    """
    first, at = _tagged(data, 0)
    if first.kind != 1:
        raise BadInput(f"the file begins with a Type-{first.kind} record: a transaction begins with Type-1")
    kinds = [whole(items[0], "1.003") for items in list(first.fields.get(CONTENTS, ()))[1:] if items]
    if len(kinds) > _MOST_RECORDS:
        raise BadInput(f"field 1.003 lists {len(kinds)} records: up to {_MOST_RECORDS} are read")
    records = [first]
    for kind in kinds:
        record, at = _binary(data, at, kind) if kind in BINARY_TYPES else _tagged(data, at)
        if record.kind != kind:
            raise BadInput(f"offset {at}: a Type-{record.kind} record where field 1.003 lists Type-{kind}")
        records.append(record)
    return records


def compose(records: Sequence[Record]) -> bytes:
    """Records → a transaction; the first, of Type 1, gets its field 1.003 here."""
    listed = [(str(record.kind), f"{record.designation:02d}") for record in records[1:]]
    records[0].fields[CONTENTS] = [("1", str(len(listed))), *listed]
    return b"".join(_encoded(record) for record in records)


def _encoded(record: Record) -> bytes:
    if record.kind in BINARY_TYPES:
        return (5 + len(record.data)).to_bytes(4, "big") + bytes((record.designation,)) + record.data
    fields = dict(record.fields)
    if record.kind != 1:
        fields[DESIGNATION] = [(f"{record.designation:02d}",)]
    parts = [_field(record.kind, number, fields[number]) for number in sorted(fields)]
    if record.data:
        parts.append(_tag(record.kind, DATA) + record.data)
    rest = GS + GS.join(parts) + FS
    tag = _tag(record.kind, LENGTH)
    digits = 1
    while len(str(length := len(tag) + digits + len(rest))) != digits:  # the length counts its own digits
        digits += 1
    return tag + str(length).encode() + rest


def _tag(kind: int, number: int) -> bytes:
    return f"{kind}.{number:03d}:".encode()


def _field(kind: int, number: int, value: Value) -> bytes:
    subfields = (US.join(item.encode() for item in items) for items in value)
    return _tag(kind, number) + RS.join(subfields)


def _binary(data: bytes, at: int, kind: int) -> tuple[Record, int]:
    """A binary record at an offset, and where it ends."""
    length = int.from_bytes(data[at : at + 4], "big")
    if length < 5 or at + length > len(data):
        raise BadInput(f"offset {at}: a Type-{kind} record of {length} bytes, {len(data) - at} are left")
    return Record(kind, {}, data[at + 5 : at + length], data[at + 4]), at + length


def _tagged(data: bytes, at: int) -> tuple[Record, int]:
    """A record of tagged fields at an offset, and where it ends."""
    found = _LENGTH.match(data, at)
    if found is None:
        raise BadInput(
            f"offset {at}: no record length such as '1.001:150': the file is not an ANSI/NIST-ITL transaction"
        )
    kind, length = int(found[1]), int(found[2])
    end = at + length
    if end > len(data) or end <= found.end():
        raise BadInput(f"offset {at}: a Type-{kind} record of {length} bytes, {len(data) - at} are left")
    if data[end - 1 : end] != FS:
        raise BadInput(
            f"offset {at}: the Type-{kind} record of {length} bytes does not end with FS: its length is wrong"
        )
    record = Record(kind)
    for number, content in _split(data[found.end() : end - 1], kind):
        if number == DATA:
            record.data = content
        else:
            text = content.decode("utf-8", "replace")
            record.fields[number] = [subfield.split("\x1f") for subfield in text.split("\x1e")]
    if DESIGNATION in record.fields and kind != 1:
        record.designation = record.number(DESIGNATION)
    return record, end


def _split(content: bytes, kind: int) -> Iterator[tuple[int, bytes]]:
    """(number, content) of each field; field 999 takes all that is left."""
    at = 0
    while at < len(content):
        tag = _TAG.match(content, at)
        if tag is None or int(tag[1]) != kind:
            raise BadInput(
                f"Type-{kind} record: no field tag at {content[at : at + 12]!a}: a length is wrong"
            )
        number = int(tag[2])
        end = len(content) if number == DATA else content.find(GS, tag.end())
        end = len(content) if end < 0 else end
        yield number, content[tag.end() : end]
        at = end + 1
