"""NIST's MINDTCT, NFIQ 2 and Bozorth3, by the package nbis-py of extra `eval`."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import nbis
from PIL import Image

from ..errors import BadInput
from ..images import Pixels
from ..minutiae import PPI, Minutia, Template

LIKELY_MATCH = 40  # Bozorth3 score that NIST calls a likely match of two prints
EMPTY = base64.b64decode("Rk1SACAyMAAAAAAeAAAAgACAAMUAxQEAAAAAAAAA")
"""ISO/IEC 19794-2:2005 record of a print without minutiae."""


class Nist:
    """Reads prints, on any thread."""

    def __init__(self, with_quality: bool = False) -> None:
        """`with_quality`: NFIQ 2 is computed too, which takes most of the time."""
        self._with_quality = with_quality

    def extract(self, pixels: Pixels, ppi: float) -> Any:
        """What nbis-py finds in an image, uint8 (H, W) or (H, W, 3), resized to 500 ppi.

        Raises:
            BadInput: If MINDTCT cannot read it.
        """
        picture = Image.fromarray(pixels).convert("L")
        if ppi != PPI:
            width, height = (max(1, round(side * PPI / ppi)) for side in picture.size)
            picture = picture.resize((width, height), Image.Resampling.BICUBIC)
        stream = io.BytesIO()
        picture.save(stream, "PNG", dpi=(PPI, PPI), compress_level=1)
        try:
            with _extractor(self._with_quality) as extractor:
                return extractor.extract_minutiae(stream.getvalue())
        except nbis.NbisError as error:
            raise BadInput(
                f"MINDTCT cannot read an image of {picture.width} x {picture.height}: {error}"
            ) from None

    def template(self, pixels: Pixels, ppi: float) -> Template:
        """MINDTCT's minutiae of an image, uint8 (H, W) or (H, W, 3), in pixels of 500 ppi.

        Raises:
            BadInput: If MINDTCT cannot read it.
        """
        height, width = (max(1, round(side * PPI / ppi)) for side in pixels.shape[:2])
        found = self.extract(pixels, ppi).get()
        minutiae = [Minutia(min(m.x(), width - 1), min(m.y(), height - 1), m.angle()) for m in found]
        return Template(width, height, PPI, tuple(minutiae))

    def load(self, record: bytes) -> Any:
        """What nbis-py reads of the minutiae in an ISO/IEC 19794-2:2005 record."""
        if len(record) < len(EMPTY):  # as nbis-py writes it of a print without minutiae, but does not read it
            record = EMPTY
        with _extractor(self._with_quality) as extractor:
            return extractor.load_iso_19794_2_2005(record)

    def bozorth3(self, one: Pixels, other: Pixels, ppi: float) -> int:
        """The score of two images' minutiae; `LIKELY_MATCH` or more is usually a match.

        Raises:
            BadInput: If MINDTCT cannot read one.
        """
        return int(self.extract(one, ppi).compare(self.extract(other, ppi)))


_IDLE: dict[bool, list[Any]] = {False: [], True: []}


@contextmanager
def _extractor(with_quality: bool) -> Iterator[Any]:
    """An extractor for one thread at a time. A new one takes most of a second, so they are kept."""
    try:
        extractor = _IDLE[with_quality].pop()
    except IndexError:
        settings = nbis.NbisExtractorSettings(
            min_quality=0.0,
            get_center=False,
            check_fingerprint=False,
            compute_nfiq2=with_quality,
            ppi=float(PPI),
        )
        extractor = nbis.new_nbis_extractor(settings)
    yield extractor
    _IDLE[with_quality].append(extractor)  # after an error it is not used again
