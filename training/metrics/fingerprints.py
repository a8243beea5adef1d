"""Fingerprint quality, minutiae and similarity by NIST's own code: NFIQ 2, MINDTCT and Bozorth3.

The code is that of `nbis-py` (extra `eval`); `fg-bench quality` and the metrics of a
training run both call it here.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import nbis
import numpy as np
from numpy.typing import NDArray

from fingergen.runtime.datasets.nist import EMPTY, Nist
from fingergen.runtime.errors import BadInput
from fingergen.runtime.minutiae import PPI

LEAST_SIDE = 64  # pixels: MINDTCT and NFIQ 2 read no smaller image


class Unreadable(BadInput):
    """An image that NFIQ 2 and MINDTCT refuse: one without any print, for example."""


@dataclass(frozen=True)
class Print:
    """What NIST's code finds in one image.

    Attributes:
        quality: NFIQ 2 score, 0 (worst) to 100.
        minutiae: MINDTCT's, rows of x, y (pixels from the top left), angle (degrees counterclockwise), type
            (1 ending, 2 bifurcation, 0 unknown), quality (0 to 100).
        record: these as ISO/IEC 19794-2:2005, base64, which Bozorth3 reads.
    """

    quality: int
    minutiae: list[list[float]]
    record: str


NOTHING = Print(0, [], base64.b64encode(EMPTY).decode())
"""A print without quality or minutiae, and its empty record: what an unreadable image counts as in a mean."""


def measure(image: NDArray[np.uint8], name: str = "image") -> Print:
    """Rate an image and extract its minutiae; takes half a second.

    Args:
        image: uint8 (H, W) of 500 ppi, ridges dark.
        name: of the image, for errors.

    Returns:
        Its quality and minutiae.

    Raises:
        BadInput: the image is too small.
        Unreadable: NFIQ 2 and MINDTCT refuse it.
    """
    height, width = image.shape
    if min(image.shape) < LEAST_SIDE:
        raise BadInput(f"{name}: {width}x{height} pixels; give an image of {LEAST_SIDE} or more per side")
    try:
        found = _nist(True).extract(image, PPI)
        score = found.quality().score
    except (BadInput, nbis.NbisError) as error:
        raise Unreadable(f"{name}: NFIQ 2 and MINDTCT cannot read it ({error})") from None
    minutiae = [
        [float(m.x()), float(m.y()), float(m.angle()), _kind(m.kind()), round(100 * m.reliability(), 1)]
        for m in found.get()
    ]
    return Print(score, minutiae, base64.b64encode(found.to_iso_19794_2_2005()).decode())


def bozorth3(
    records: Sequence[str], pairs: Sequence[Sequence[int]] | NDArray[np.intp]
) -> NDArray[np.float64]:
    """Compare prints.

    Args:
        records: of prints, as `Print.record`.
        pairs: (N, 2) indices into `records`.

    Returns:
        Scores (N,); `LIKELY_MATCH` or more is usually a match.
    """
    templates = [_nist(False).load(base64.b64decode(record)) for record in records]
    return np.array([templates[one].compare(templates[other]) for one, other in pairs], np.float64)


def _kind(kind: Any) -> float:
    return {nbis.MinutiaKind.RIDGE_ENDING: 1.0, nbis.MinutiaKind.BIFURCATION: 2.0}.get(kind, 0.0)


@cache
def _nist(with_quality: bool) -> Nist:
    return Nist(with_quality)
