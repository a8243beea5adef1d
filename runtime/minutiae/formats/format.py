"""What every format of templates shares: how a file is read, and how its fields become a Template."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from ...arguments import check_finite, check_whole
from ...errors import BadInput
from ..resolution import PPI
from ..template import Minutia, Point, Template

MM_PER_INCH = 25.4
DEFAULT_SIZE, DEFAULT_PPI = 512, float(PPI)  # of a SynFing impression
SIZE_FIX = "give it with --template-size WIDTH HEIGHT (in Python: width=, height=)"
PPI_FIX = "give it with --template-ppi PPI (in Python: ppi=)"
_SAME_RESOLUTION = 0.01  # x and y resolutions that differ by less are roundings of one
_NAMED = 5  # minutiae that a warning names before it counts the rest

_Place = TypeVar("_Place", Minutia, Point)


@dataclass
class Reading:
    """How a file is read, and the warnings that reading it gave.

    Attributes:
        width: Image width in pixels that the caller gave, or None.
        height: Image height in pixels that the caller gave, or None.
        ppi: Resolution in pixels per inch that the caller gave, or None.
        override: Whether these win over what the file says (True) or stand in where it says nothing.
        strict: Whether a field that the standard does not allow is an error instead of a warning.
        warnings: One line for each kind of problem found, and for each value of the file that was overridden.
    """

    width: int | None = None
    height: int | None = None
    ppi: float | None = None
    override: bool = True
    strict: bool = False
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name), 1)
        if self.ppi is not None:
            check_finite("ppi", self.ppi)

    def warn(self, problem: str) -> None:
        """Report something that the standard does not allow: a warning, or BadInput if `strict`."""
        if self.strict:
            raise BadInput(f"{problem} (read with --strict)")
        self.warnings.append(problem)

    def warn_of(self, name: str, problems: dict[str, list[int]]) -> None:
        """`warn` once for each problem, naming the minutiae (or whatever `name` is) that have it."""
        for problem, numbers in problems.items():
            self.warn(f"{numbered(name, numbers)}: {problem}")

    def image_size(self, width: int, height: int) -> tuple[int, int]:
        """The image size to use where the file says width x height pixels; 0: it does not say."""
        chosen = self._chosen(self.width, width), self._chosen(self.height, height)
        if not all(chosen):
            raise BadInput(f"the file does not say the size of its image: {SIZE_FIX}")
        if width and height and chosen != (width, height):
            found = f"the file says {width} x {height} pixels"
            self.warnings.append(f"{found}; {chosen[0]} x {chosen[1]}, as given, is used")
        return int(chosen[0]), int(chosen[1])

    def resolution(self, across: float, down: float) -> tuple[float, float]:
        """x and y resolution in ppi to use where the file says across x down ppi; 0: it does not say."""
        if self.ppi is not None and (self.override or not (across and down)):
            if across and down and any(abs(self.ppi - each) > 0.005 * self.ppi for each in (across, down)):
                found = f"{across:.4g}" if across == down else f"{across:.4g} x {down:.4g}"
                self.warnings.append(f"the file says {found} ppi; {self.ppi:g} ppi, as given, is used")
            return self.ppi, self.ppi
        if not across or not down:
            raise BadInput(f"the file does not say its resolution: {PPI_FIX}")
        return across, down

    def _chosen(self, given: int | None, found: int) -> int:
        return given if given is not None and (self.override or not found) else found


@dataclass(frozen=True)
class Format:
    """A file format of minutiae templates.

    Attributes:
        name: As command lines and `read_template` take it.
        description: The standard, as messages and help texts name it.
        extensions: Of files that are taken to be of this format if neither caller nor content says.
        decode: The bytes of a file and how to read them → one Template for each finger view. Raises BadInput,
            and nothing else, for what cannot be read.
        encode: Template → the bytes of a file, BadInput for what the format cannot carry; None: read only.
        reach: Largest coordinate in mm that it carries, where images can be larger than that.
    """

    name: str
    description: str
    extensions: tuple[str, ...]
    decode: Callable[[bytes, Reading], tuple[Template, ...]]
    encode: Callable[[Template], bytes] | None
    reach: float | None = None

    def carried(self, template: Template) -> Template:
        """Crop a template to what the format can carry.

        Args:
            template: Any.

        Returns:
            The template, without minutiae beyond `reach`.
        """
        if self.reach is None:
            return template
        side = int(self.reach / MM_PER_INCH * template.ppi) + 1  # the last pixel's coordinate is one less
        return template.crop(0, 0, min(side, template.width), min(side, template.height))

    def encode_carried(self, template: Template) -> bytes:
        """A template, cropped to what the format can carry, as the bytes of a file.

        Args:
            template: Any.

        Returns:
            The file's content, of a format that can be written.
        """
        assert self.encode is not None
        return self.encode(self.carried(template))


def assemble(
    reading: Reading,
    size: tuple[int, int],
    ppi: tuple[float, float],
    minutiae: Sequence[Minutia],
    cores: Sequence[Point] = (),
    deltas: Sequence[Point] = (),
    unclear: Sequence[Minutia] = (),
) -> Template:
    """A Template of the fields of a file.

    What lies within a pixel outside the image is moved to its border, the rest of what lies outside is
    dropped, both with a warning. Where x and y resolution differ by 1 % or more, y coordinates, angles and
    height are brought to the x resolution.

    Args:
        reading: How the file is read.
        size: Image width and height in pixels that the file says; 0 where it does not.
        ppi: x and y resolution in pixels per inch that the file says; 0 where it does not.
        minutiae: In the file's pixels, wherever they lie.
        cores: Likewise.
        deltas: Likewise.
        unclear: Likewise.

    Raises:
        BadInput: If size or resolution are said neither by the file nor by the caller, or if more than half
            of the minutiae lie outside the image.
    """
    width, height = reading.image_size(*size)
    across, down = reading.resolution(*ppi)
    minutiae = _inside(reading, "minutia", minutiae, width, height)
    cores = _inside(reading, "core", cores, width, height)
    deltas = _inside(reading, "delta", deltas, width, height)
    unclear = _inside(reading, "unclear minutia", unclear, width, height)
    if across != down:
        found = f"x and y resolution differ ({across:.5g} and {down:.5g} ppi)"
        stretch = across / down
        if abs(stretch - 1) < _SAME_RESOLUTION:
            reading.warn(f"{found}: taken for rounding, the x resolution is used")
        else:
            reading.warn(f"{found}: y coordinates are scaled to the x resolution")
            height = max(1, round(height * stretch))
            minutiae = [_stretched(place, stretch, height) for place in minutiae]
            cores = [_stretched(place, stretch, height) for place in cores]
            deltas = [_stretched(place, stretch, height) for place in deltas]
            unclear = [_stretched(place, stretch, height) for place in unclear]
    return Template(width, height, across, tuple(minutiae), tuple(cores), tuple(deltas), tuple(unclear))


def assemble_unsized(
    reading: Reading, minutiae: Sequence[Minutia], cores: Sequence[Point] = (), deltas: Sequence[Point] = ()
) -> Template:
    """As `assemble`, for a format that carries neither size nor resolution.

    The caller's are used, or 512 x 512 pixels at 500 ppi. Raises BadInput if the size was not given and
    something lies outside the assumed one.
    """
    width, height = unsized(reading)
    if reading.width is None or reading.height is None:
        named: list[tuple[str, Sequence[Minutia | Point]]]
        named = [("minutia", minutiae), ("core", cores), ("delta", deltas)]
        for name, places in named:
            for number, place in enumerate(places, 1):
                if not (0 <= place.x < width and 0 <= place.y < height):
                    raise BadInput(
                        f"{name} {number} at ({place.x:g}, {place.y:g}) lies outside the image of {width} x "
                        f"{height} pixels that is assumed, for the format does not say its size: {SIZE_FIX}"
                    )
    ppi = DEFAULT_PPI if reading.ppi is None else reading.ppi
    return assemble(reading, (width, height), (ppi, ppi), minutiae, cores, deltas)


def unsized(reading: Reading) -> tuple[int, int]:
    """Image size in pixels for a format that does not say it: the caller's, or 512 x 512."""
    return (
        DEFAULT_SIZE if reading.width is None else reading.width,
        DEFAULT_SIZE if reading.height is None else reading.height,
    )


def numbered(name: str, numbers: Sequence[int]) -> str:
    """`minutia 7`, `minutiae 7 and 9`, `minutiae 1, 2, 3, 4, 5 and 7 more`."""
    if len(numbers) == 1:
        return f"{name} {numbers[0]}"
    plural = "minutiae" if name == "minutia" else f"{name}s"
    shown = [str(number) for number in numbers[:_NAMED]]
    last = f"{len(numbers) - _NAMED} more" if len(numbers) > _NAMED else shown.pop()
    return f"{plural} {', '.join(shown)} and {last}"


def known_quality(code: float, number: int, problems: dict[str, list[int]]) -> float | None:
    """A quality from 0 to 100, or None, with a note in `problems`, for any other number."""
    if 0 <= code <= 100:
        return float(code)
    problems.setdefault(f"quality {code:g} is not in 0 to 100, taken as not known", []).append(number)
    return None


def decode_text(data: bytes) -> str:
    """The text of a file in UTF-8, with or without a byte order mark; BadInput if it is none."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(
            f"not text, the byte at offset {error.start} is not UTF-8: give the format if it is a binary one"
        ) from None


def number_rows(data: bytes, columns: range, row_format: str) -> Iterator[tuple[int, list[float]]]:
    """(line number, numbers) of each line that is not blank; BadInput if their count is not in `columns`."""
    for line_number, line in enumerate(decode_text(data).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if len(words) not in columns:
            raise BadInput(f"line {line_number} has {len(words)} columns: a row is '{row_format}'")
        try:
            yield line_number, [float(word) for word in words]
        except ValueError:
            raise BadInput(
                f"line {line_number} {line.strip()[:40]!a} is not all numbers: a row is '{row_format}'"
            ) from None


def in_line(line_number: int, error: BadInput) -> BadInput:
    """`error` with the number of the line that it comes from."""
    return BadInput(f"line {line_number}: {error}")


def _inside(
    reading: Reading, name: str, places: Sequence[_Place], width: int, height: int
) -> Sequence[_Place]:
    problems: dict[str, list[int]] = {}
    kept: list[_Place] = []
    outside = 0
    for number, place in enumerate(places, 1):
        if 0 <= place.x < width and 0 <= place.y < height:
            kept.append(place)
        elif -1 <= place.x <= width and -1 <= place.y <= height:
            problem = f"on the border of the image of {width} x {height}, moved inside"
            problems.setdefault(problem, []).append(number)
            x, y = min(max(place.x, 0.0), width - 1), min(max(place.y, 0.0), height - 1)
            kept.append(replace(place, x=x, y=y))
        else:
            outside += 1
            where = f"outside the image of {width} x {height}"
            problems.setdefault(f"{where}, dropped; a wrong size is corrected by --template-size", []).append(
                number
            )
    if name == "minutia" and outside * 2 > len(places):
        raise BadInput(
            f"{outside} of {len(places)} minutiae lie outside the image of {width} x {height} pixels: "
            "give the size of the image with --template-size WIDTH HEIGHT (in Python: width=, height=)"
        )
    reading.warn_of(name, problems)
    return kept


def _stretched(place: _Place, stretch: float, height: int) -> _Place:
    """A place after y was scaled by `stretch` about the image's upper edge, in an image of `height`."""

    def turned(degrees: float) -> float:
        radians = math.radians(degrees)
        return math.degrees(math.atan2(math.sin(radians) * stretch, math.cos(radians)))

    y = min(max((place.y + 0.5) * stretch - 0.5, 0.0), height - 1)
    if isinstance(place, Minutia):
        return replace(place, y=y, angle=turned(place.angle))
    return replace(place, y=y, angles=tuple(turned(angle) for angle in place.angles))


def by_extension(formats: Iterable[Format]) -> dict[str, str]:
    """Extension, in lower case with its dot → name of the format."""
    return {extension: known.name for known in formats for extension in known.extensions}
