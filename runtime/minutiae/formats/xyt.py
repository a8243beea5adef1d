"""NBIS .xyt: what `mindtct` writes and `bozorth3` reads (NISTIR 7392; representation in NBIS' xytreps.c).

A row a minutia:   x y theta [quality]      whole numbers

    x        pixels from the left
    y        image height - y, so counted from the bottom; the top row is y = height
    theta    degrees counter-clockwise from the right, [0, 360), pointing out of the ridge ending or
             bifurcation valley: opposite to ISO/IEC 19794-2 and ANSI/INCITS 378
    quality  0 to 100; left out where it is not known

The format carries no types, cores or deltas, no image size and no resolution. Read, a minutia is of type
OTHER.
"""

from __future__ import annotations

from ...errors import BadInput
from ..template import Minutia, Template
from .format import Defaults, Format
from .text import in_line, number_rows


def decode(data: bytes, defaults: Defaults) -> tuple[Template, ...]:
    """Rows of an .xyt file → Template; `defaults` tell its size and ppi. A wrong height moves every y."""
    width, height, ppi = defaults.size
    minutiae = []
    for line_number, row in number_rows(data, range(3, 5), "x y theta [quality]"):
        x, y, theta, *quality = row
        if 0 <= y < 1:  # from tools that count the rows from 0
            y = 1
        try:
            minutia = Minutia(x, height - y, theta + 180, quality=quality[0] if quality else None)
            Template(width, height, ppi, (minutia,))
        except BadInput as error:
            raise in_line(line_number, error) from None
        minutiae.append(minutia)
    return (Template(width, height, ppi, tuple(minutiae)),)


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
