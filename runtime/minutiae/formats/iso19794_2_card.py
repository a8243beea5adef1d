"""The card formats of ISO/IEC 19794-2:2005, clause 8: minutiae alone, without a header.

Coordinates are metric: units of 0.01 mm (normal size) or 0.1 mm (compact size) from the top left corner. They
become pixels at the resolution that the caller gives, or 500 ppi; the size of the image is the caller's, or
512 x 512 pixels. The formats carry no size, no resolution and no quality; of what we write, the cores and
deltas are lost.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ...errors import BadInput
from ..template import Minutia, Template
from .finger_view import AngleCode, check_count, minutia_type, type_code
from .format import DEFAULT_PPI, MM_PER_INCH, Format, Reading, assemble_unsized

_SMALLEST = 4.0  # mm that a finger's minutiae extend over at least; less hints at another unit
_FEWEST = 8  # minutiae whose extent says something


@dataclass(frozen=True)
class _Size:
    """One of the two sizes: bytes of a minutia, its units per inch, its angles and its largest coordinate."""

    length: int
    per_inch: float
    angle: AngleCode
    largest: int

    def decode(self, data: bytes, reading: Reading) -> tuple[Template, ...]:
        """Minutiae one after another → a Template."""
        if not data or len(data) % self.length:
            raise BadInput(
                f"{len(data)} bytes are no whole number of minutiae of {self.length} bytes: "
                "the file is truncated or of the other card format"
            )
        ppi = DEFAULT_PPI if reading.ppi is None else reading.ppi
        minutiae = []
        problems: dict[str, list[int]] = {}
        for number, start in enumerate(range(0, len(data), self.length), 1):
            x, y, kind, code = self._fields(data[start : start + self.length])
            degrees = self.angle.degrees(code)
            assert degrees is not None  # every code is on the circle
            minutiae.append(Minutia(*self._pixels(x, y, ppi), degrees, minutia_type(kind, number, problems)))
        reading.warn_of("minutia", problems)
        extent = max(
            max(values) - min(values) for values in ([m.x for m in minutiae], [m.y for m in minutiae])
        )
        if len(minutiae) >= _FEWEST and (mm := extent * MM_PER_INCH / ppi) < _SMALLEST:
            reading.warnings.append(
                f"the minutiae extend over {mm:.1f} mm, which is little for a finger: the standard's unit is "
                f"{self.unit:g} mm"
            )
        return (assemble_unsized(reading, minutiae),)

    def encode(self, template: Template) -> bytes:
        """Template → minutiae one after another, in their order."""
        check_count(template)
        if not template.minutiae:
            raise BadInput("no minutiae, and a card format holds nothing else: write another format")
        record = b""
        for number, minutia in enumerate(template.minutiae, 1):
            x, y = (round(each * self.per_inch / template.ppi) for each in (minutia.x, minutia.y))
            if max(x, y) > self.largest:
                where = f"({x * self.unit:g}, {y * self.unit:g}) mm"
                most = f"{self.largest * self.unit:g} mm"
                fix = f"write {NORMAL.name}" if self is _COMPACT else "leave it out of the template"
                raise BadInput(f"minutia {number} is at {where}, the format carries up to {most}: {fix}")
            kind, code = type_code(minutia), self.angle.code(minutia.angle)
            if self.length == 3:
                record += struct.pack(">BBB", x, y, kind << 6 | code)
            else:
                record += struct.pack(">HHB", kind << 14 | x, y, code)
        return record

    @property
    def unit(self) -> float:
        """Of the coordinates, in mm."""
        return MM_PER_INCH / self.per_inch

    def _pixels(self, x: int, y: int, ppi: float) -> tuple[float, float]:
        return x * ppi / self.per_inch, y * ppi / self.per_inch

    def _fields(self, record: bytes) -> tuple[int, int, int, int]:
        """x, y, type and angle code of a minutia.

        Normal size (8.2):   2 bits type, 14 bits x; 2 bits reserved, 14 bits y; 8 bits angle
        Compact size (8.3):  8 bits x; 8 bits y; 2 bits type, 6 bits angle
        """
        if self.length == 3:
            return record[0], record[1], record[2] >> 6, record[2] & 0x3F
        type_and_x, y, code = struct.unpack(">HHB", record)
        return type_and_x & self.largest, y & self.largest, type_and_x >> 14, code


_NORMAL = _Size(5, 2540.0, AngleCode(360 / 256, 256), (1 << 14) - 1)
_COMPACT = _Size(3, 254.0, AngleCode(360 / 64, 64), 255)

NORMAL = Format(
    "iso19794-2-card-normal",
    "ISO/IEC 19794-2:2005 card format of normal size",
    (".iso-fmc-ns", ".isonc"),
    _NORMAL.decode,
    _NORMAL.encode,
)
COMPACT = Format(
    "iso19794-2-card-compact",
    "ISO/IEC 19794-2:2005 card format of compact size",
    (".iso-fmc-cs", ".isocc"),
    _COMPACT.decode,
    _COMPACT.encode,
    _COMPACT.largest * _COMPACT.unit,
)
