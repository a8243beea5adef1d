"""Text rows of the SynFing release, from which it draws its minutiae maps.

One row for each point:   type x y angle      separated by blanks

    type     1 ending, 2 bifurcation, 4 core, 5 delta
    x, y     pixels from the top left corner
    angle    degrees counterclockwise from the right; a core's and a delta's is not used

The format carries no quality, no image size and no resolution.
"""

from __future__ import annotations

from ...errors import BadInput
from ..template import Minutia, MinutiaType, Point, Template
from .format import Format, Reading, assemble_unsized, in_line, number_rows

_TYPES = {1: MinutiaType.ENDING, 2: MinutiaType.BIFURCATION}
_CODES = {kind: code for code, kind in _TYPES.items()}
_CORE, _DELTA = 4, 5


def decode(data: bytes, reading: Reading) -> tuple[Template, ...]:
    """SynFing rows → Template of the caller's size and ppi."""
    minutiae: list[Minutia] = []
    cores: list[Point] = []
    deltas: list[Point] = []
    for line_number, (code, x, y, angle) in number_rows(data, range(4, 5), "type x y angle"):
        try:
            if code in _TYPES:
                minutiae.append(Minutia(x, y, angle, _TYPES[int(code)]))
            elif code in (_CORE, _DELTA):
                (cores if code == _CORE else deltas).append(Point(x, y))
            else:
                raise BadInput(f"type {code:g} is none of 1 (ending), 2 (bifurcation), 4 (core), 5 (delta)")
        except BadInput as error:
            raise in_line(line_number, error) from None
    return (assemble_unsized(reading, minutiae, cores, deltas),)


def encode(template: Template) -> bytes:
    """Template → SynFing rows; qualities are lost, as are the second and third angle of a delta.

    Raises BadInput for a minutia of type OTHER, which the format does not know.
    """
    rows: list[tuple[int, float, float, float]] = []
    for number, minutia in enumerate(template.minutiae, 1):
        if minutia.type not in _CODES:
            raise BadInput(
                f"minutia {number} is of type 'other', which SynFing rows do not know: "
                "give it another type or write another format"
            )
        rows.append((_CODES[minutia.type], minutia.x, minutia.y, minutia.angle))
    for code, points in ((_CORE, template.cores), (_DELTA, template.deltas)):
        rows += [(code, point.x, point.y, point.angles[0] if point.angles else 0.0) for point in points]
    return "".join(" ".join(map(_shortest, row)) + "\n" for row in rows).encode()


def _shortest(number: float) -> str:
    """The shortest text that reads back as the same number; whole numbers without a point."""
    return str(int(number)) if number == int(number) else repr(float(number))


FORMAT = Format("synfing", "SynFing text rows", (".txt",), decode, encode)
