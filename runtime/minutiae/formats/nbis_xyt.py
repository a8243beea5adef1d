"""NBIS .xyt: what `mindtct` writes and `bozorth3` reads (NISTIR 7392; representation in NBIS' xytreps.c).

One row for each minutia:   x y theta [quality]      whole numbers

    x        pixels from the left
    y        image height - y, so counted from the bottom; the top row is y = height
    theta    degrees counterclockwise from the right, [0, 360), pointing out of the ridge ending or
             bifurcation valley: opposite to ISO/IEC 19794-2 and ANSI/INCITS 378
    quality  0 to 100; left out where it is not known

The format carries no types, cores or deltas, no image size and no resolution. Read, a minutia is of type
OTHER.
"""

from __future__ import annotations

from ...errors import BadInput
from ..template import Minutia, Template
from .format import Format, Reading, assemble_unsized, in_line, known_quality, number_rows, unsized


def decode(data: bytes, reading: Reading) -> tuple[Template, ...]:
    """Rows of an .xyt file → Template of the caller's size and ppi. A wrong height moves every y."""
    _, height = unsized(reading)
    minutiae: list[Minutia] = []
    problems: dict[str, list[int]] = {}
    for line_number, row in number_rows(data, range(3, 5), "x y theta [quality]"):
        x, y, theta, *quality = row
        if 0 <= y < 1:  # from tools that count the rows from 0
            y = 1
        grade = known_quality(quality[0], len(minutiae) + 1, problems) if quality else None
        try:
            minutiae.append(Minutia(x, height - y, theta + 180, quality=grade))
        except BadInput as error:
            raise in_line(line_number, error) from None
    reading.warn_of("minutia", problems)
    return (assemble_unsized(reading, minutiae),)


def encode(template: Template) -> bytes:
    """Template → rows of an .xyt file, all numbers rounded; types, cores and deltas are lost."""
    rows = []
    for minutia in template.minutiae:
        x, y = template.pixel(minutia)
        row = [x, template.height - y, round(minutia.angle + 180) % 360]
        if minutia.quality is not None:
            row.append(round(minutia.quality))
        rows.append(" ".join(map(str, row)) + "\n")
    return "".join(rows).encode()


FORMAT = Format("xyt", "NBIS minutiae (mindtct, bozorth3)", (".xyt",), decode, encode)
