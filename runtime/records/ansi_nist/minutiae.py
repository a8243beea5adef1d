"""Minutiae in ANSI/NIST-ITL transactions: Type 9 with the fields of ANSI/INCITS 378, 9.126 to 9.140.

Source: ANSI/NIST-ITL 1-2011, 8.9.5.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import BadInput
from ...minutiae import Minutia, MinutiaType, Point, Template
from ...minutiae.formats.format import Reading, assemble
from ..image import CM_PER_INCH, PER_CM, PER_INCH
from .transaction import Record, Value, whole

_FORMAT, _IMPRESSION = 4, 3
_CBEFF, _EQUIPMENT, _WIDTH, _HEIGHT, _UNIT, _ACROSS, _DOWN, _VIEW, _POSITION = range(126, 135)
_QUALITY, _COUNT, _MINUTIAE, _CORES, _DELTAS = 135, 136, 137, 139, 140
_OWNER, _BASIC, _EXTENDED = 27, 513, 514  # CBEFF: INCITS M1; minutiae alone, with cores and deltas
_STEP = 2  # degrees of an angle's unit
_QUALITY_NOT_KNOWN = 254
_TYPES = {0: MinutiaType.OTHER, 1: MinutiaType.ENDING, 2: MinutiaType.BIFURCATION}
_CODES = {kind: code for code, kind in _TYPES.items()}


def type9(template: Template, position: int = 0, impression_type: int = 0) -> Record:
    """A template as a Type-9 record; coordinates, angles and qualities are rounded."""
    if template.ppi != round(template.ppi):
        raise BadInput(f"{template.ppi:g} ppi: a record carries whole numbers; rescale the template")
    ppi = str(round(template.ppi))
    known = [minutia.quality for minutia in template.minutiae if minutia.quality is not None]
    quality = str(round(sum(known) / len(known))) if known else str(_QUALITY_NOT_KNOWN)
    singular = template.cores or template.deltas
    fields: dict[int, Value] = {
        _IMPRESSION: [(str(impression_type),)],
        _FORMAT: [("U",)],  # other than the fields of 1-2000
        _CBEFF: [(str(_OWNER), str(_EXTENDED if singular else _BASIC), "0")],
        _EQUIPMENT: [("NONE", "0")],
        _WIDTH: [(str(template.width),)],
        _HEIGHT: [(str(template.height),)],
        _UNIT: [(str(PER_INCH),)],
        _ACROSS: [(ppi,)],
        _DOWN: [(ppi,)],
        _VIEW: [("0",)],
        _POSITION: [(str(position),)],
        _QUALITY: [(quality, "0", "0")],
        _COUNT: [(str(len(template.minutiae)),)],
    }
    if template.minutiae:
        fields[_MINUTIAE] = [
            _minutia(template, number, each) for number, each in enumerate(template.minutiae, 1)
        ]
    for number, points in ((_CORES, template.cores), (_DELTAS, template.deltas)):
        if points:
            fields[number] = [_point(template, point) for point in points]
    return Record(9, fields)


def read_type9(record: Record, reading: Reading) -> Template:
    """The template of a Type-9 record."""
    if _MINUTIAE not in record.fields and _COUNT not in record.fields:
        raise BadInput("Type-9 record has no fields 9.126 to 9.140 (ANSI/INCITS 378): others are not read")
    scale = CM_PER_INCH if record.number(_UNIT, PER_INCH) == PER_CM else 1.0
    ppi = record.number(_ACROSS, 0) * scale, record.number(_DOWN, 0) * scale
    size = record.number(_WIDTH, 0), record.number(_HEIGHT, 0)
    minutiae = [_read_minutia(items) for items in record.fields.get(_MINUTIAE, ())]
    cores = [_read_point(items, "9.139", 1) for items in record.fields.get(_CORES, ())]
    deltas = [_read_point(items, "9.140", 3) for items in record.fields.get(_DELTAS, ())]
    return assemble(reading, size, ppi, minutiae, cores, deltas)


def _minutia(template: Template, number: int, minutia: Minutia) -> Sequence[str]:
    """Items: number, x, y, angle in units of 2 degrees, type, quality (0: not known)."""
    x, y = template.pixel(minutia)
    angle, quality = _units(minutia.angle), 0 if minutia.quality is None else max(1, round(minutia.quality))
    return [str(item) for item in (number, x, y, angle, _CODES[minutia.type], quality)]


def _read_minutia(items: Sequence[str]) -> Minutia:
    if len(items) < 5:
        raise BadInput(f"field 9.137 has a minutia of {len(items)} items: it has 6")
    x, y, angle, kind, *rest = (whole(item, "9.137") for item in items[1:6])
    quality = rest[0] if rest else 0
    known = float(quality) if 1 <= quality <= 100 else None
    return Minutia(x, y, angle * _STEP, _TYPES.get(kind, MinutiaType.OTHER), known)


def _point(template: Template, point: Point) -> Sequence[str]:
    """Items: x, y, and the angles, if known, in units of 2 degrees."""
    return [str(item) for item in (*template.pixel(point), *map(_units, point.angles))]


def _read_point(items: Sequence[str], name: str, angles: int) -> Point:
    if len(items) < 2:
        raise BadInput(f"field {name} has a point of {len(items)} items: it has x and y, or these and angles")
    x, y, *turned = (whole(item, name) for item in items if item)
    return Point(x, y, tuple(each * _STEP for each in turned) if len(turned) == angles else ())


def _units(degrees: float) -> int:
    return round(degrees / _STEP) % (360 // _STEP)
