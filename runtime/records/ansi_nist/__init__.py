"""ANSI/NIST-ITL transactions (1-2011, update 2013): fingerprint images and their minutiae."""

from __future__ import annotations

import hashlib

from ...errors import BadInput
from ...minutiae.formats.format import Reading as TemplateReading
from ..format import Format, compression_of
from ..image import LIVE_PLAIN, Content, Details, Reading
from .fingerprints import BINARY_PPI, NAMES, read_type4, read_type14, type4, type14
from .minutiae import read_type9, type9
from .transaction import Record, compose, parse

VERSION = "0502"  # ANSI/NIST-ITL 1-2011, update of 2013
_WRITTEN, _KIND, _DATE, _DESTINATION, _ORIGIN, _CONTROL, _NATIVE, _NOMINAL = 2, 4, 5, 7, 8, 9, 11, 12
_TRANSACTION = "SYNTH"  # type of transaction; a domain's own table says which there are
_TYPES = {4: type4, 14: type14}
_PER_MILLIMETER = 1 / 25.4
_MOST_DESIGNATIONS = 100  # IDC: 00 to 99


def decode(data: bytes, reading: Reading) -> Content:
    """A transaction → the images of its Types 4 and 14, the templates of its Type 9; others are skipped."""
    records = parse(data)
    images = [
        read_type4(record, reading) if record.kind == 4 else read_type14(record, reading)
        for record in records
        if record.kind in (4, 14)
    ]
    context = TemplateReading(ppi=reading.ppi)
    templates = [read_type9(record, context) for record in records if record.kind == 9]
    if not images and not templates:
        kinds = ", ".join(str(record.kind) for record in records)
        raise BadInput(f"the transaction has records of Types {kinds}: none with fingerprints (4, 9, 14)")
    return Content(tuple(images), tuple(templates))


def encode(content: Content, details: Details) -> bytes:
    """Images and templates → a transaction; the image and the template of one place have one designation."""
    if details.record_type not in _TYPES:
        raise BadInput(f"record type {details.record_type}: images are written as Type 4 or 14")
    count = max(len(content.images), len(content.templates))
    if count >= _MOST_DESIGNATIONS:
        raise BadInput(f"{count} fingerprints: a transaction tells {_MOST_DESIGNATIONS - 1} apart")
    compression = compression_of(details, COMPRESSIONS)
    body = [Record(2)]
    for number, template in enumerate(content.templates, 1):
        image = content.images[number - 1] if number <= len(content.images) else None
        kind = image.impression_type if image else LIVE_PLAIN
        body.append(_designated(type9(template, image.position if image else 0, kind), number))
    for number, image in enumerate(content.images, 1):
        body.append(_designated(_TYPES[details.record_type](image, compression, details), number))
    return compose([_type1(details, body), *body])


def _type1(details: Details, body: list[Record]) -> Record:
    """The transaction's own record; its control number comes from its content."""
    digest = hashlib.sha256(b"".join(record.data + repr(record.fields).encode() for record in body))
    binary = any(record.kind == 4 for record in body)
    resolution = f"{BINARY_PPI * _PER_MILLIMETER:05.2f}" if binary else "00.00"  # of Type 4 alone
    fields = {
        _WRITTEN: VERSION,
        _KIND: _TRANSACTION,
        _DATE: f"{details.captured:%Y%m%d}",
        _DESTINATION: details.agency,
        _ORIGIN: details.agency,
        _CONTROL: digest.hexdigest()[:16].upper(),
        _NATIVE: resolution,
        _NOMINAL: resolution,
    }
    return Record(1, {number: [(text,)] for number, text in fields.items()})


def _designated(record: Record, designation: int) -> Record:
    record.designation = designation
    return record


COMPRESSIONS = ("wsq", *(name for name in NAMES if name != "wsq"))
FORMAT = Format(
    "ansi-nist",
    "ANSI/NIST-ITL transaction",
    (".an2", ".eft", ".nist"),
    decode,
    encode,
    COMPRESSIONS,
    several=True,
)
