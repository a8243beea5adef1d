"""NBIS .min: the report of `mindtct` on the minutiae that it found (NISTIR 7392, section 5.7). Read only.

    Image (w,h) 256 300

     12 Minutiae Detected

       0 :   60,   50 :  0 :  0.600 :RIG :APP : 1 :   63,   50; 0 : …

A row for each minutia, its columns apart by colons: number; x, y in pixels from the top left; direction;
reliability, 0 to 1; type, RIG (ridge ending) or BIF (bifurcation); appearing or disappearing; feature number;
then its neighbors with ridge counts. A direction is a whole number from 0 (up) to 31, clockwise in steps of
11.25°. The file says the size of the image, not its resolution.
"""

from __future__ import annotations

import re

from ...errors import BadInput
from ..template import Minutia, MinutiaType, Template
from .format import DEFAULT_PPI, Format, Reading, assemble, decode_text, in_line, known_quality

START = b"Image (w,h)"
_HEAD = re.compile(r"Image \(w,h\)\s+([0-9]{1,6})\s+([0-9]{1,6})\s*")
_COUNT = re.compile(r"\s*([0-9]{1,6})\s+Minutiae Detected\s*")
_ROW = re.compile(
    r"\s*[0-9]{1,6}\s*:\s*(-?[0-9]{1,6})\s*,\s*(-?[0-9]{1,6})\s*:\s*([0-9]{1,4})\s*"
    r":\s*([0-9]{1,4}(?:\.[0-9]{0,20})?)\s*:\s*([A-Z]{3})\s*:.*"
)
_TYPES = {"RIG": MinutiaType.ENDING, "BIF": MinutiaType.BIFURCATION}
_DIRECTIONS = 32


def decode(data: bytes, reading: Reading) -> tuple[Template, ...]:
    """A report → a Template, at the caller's resolution or 500 ppi."""
    rows = [(number, line) for number, line in enumerate(decode_text(data).splitlines(), 1) if line.strip()]
    head = _HEAD.fullmatch(rows[0][1]) if rows else None
    if head is None:
        raise BadInput("line 1 is not 'Image (w,h) WIDTH HEIGHT': the file is not a report of mindtct")
    rows = rows[1:]
    count = _COUNT.fullmatch(rows[0][1]) if rows else None
    if count:
        rows = rows[1:]
    minutiae: list[Minutia] = []
    problems: dict[str, list[int]] = {}
    for number, (line_number, line) in enumerate(rows, 1):
        row = _ROW.fullmatch(line)
        if row is None:
            raise in_line(
                line_number,
                BadInput(
                    f"{line.strip()[:40]!a} is not a minutia: a row is 'NUMBER : X, Y : DIRECTION : "
                    "RELIABILITY : TYPE : …'"
                ),
            )
        x, y, direction = (int(row[column]) for column in (1, 2, 3))
        if direction >= _DIRECTIONS:
            problem = f"direction {direction} is not in 0 to {_DIRECTIONS - 1}, dropped"
            problems.setdefault(problem, []).append(number)
            continue
        if row[5] not in _TYPES:
            problems.setdefault(f"type {row[5]} is not RIG or BIF, taken as other", []).append(number)
        quality = known_quality(round(100 * float(row[4]), 3), number, problems)
        angle = 90 - direction * 360 / _DIRECTIONS
        minutiae.append(Minutia(x, y, angle, _TYPES.get(row[5], MinutiaType.OTHER), quality))
    if count and int(count[1]) != len(rows):
        reading.warn(f"the file announces {count[1]} minutiae and lists {len(rows)}: it may be truncated")
    reading.warn_of("minutia", problems)
    ppi = DEFAULT_PPI if reading.ppi is None else reading.ppi
    return (assemble(reading, (int(head[1]), int(head[2])), (ppi, ppi), minutiae),)


FORMAT = Format("nbis-min", "NBIS minutiae report (mindtct)", (".min",), decode, None)
