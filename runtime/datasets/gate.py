"""A gate for impressions: measured by NIST's MINDTCT and NFIQ 2, which know nothing of how they were made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..errors import BadInput
from ..minutiae import PPI, Minutia, Template
from ..minutiae.agreement import agreement
from .impressions import Made
from .nist import Nist
from .table import Row

LIMITS: Mapping[str, tuple[float, float]] = {
    "recall": (0.0, 1.0),
    "spurious": (0.0, 1.0),
    "nfiq2": (0.0, 100.0),
}
"""What can be asked for, with its range: the least part of the true minutiae that is found, the largest part
of those found that is not true, the least NFIQ 2 score."""


def parse_gate(text: str) -> dict[str, float]:
    """Bounds written as `recall=0.85,spurious=0.15,nfiq2=20`.

    Raises:
        BadInput: If a name is not in `LIMITS`, is there twice or has a value out of its range.
    """
    bounds: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = part.strip().partition("=")
        low, high = LIMITS.get(name, (math.nan, math.nan))
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if name in bounds or not low <= number <= high:
            ranges = ", ".join(f"{key} ({a:g} to {b:g})" for key, (a, b) in LIMITS.items())
            raise BadInput(f"--gate {part!r}: write NAME=VALUE once for each of {ranges} that matters")
        bounds[name] = number
    return bounds


@dataclass(frozen=True)
class NistGate:
    """Refuses impressions out of bounds. May be used on many threads.

    Attributes:
        bounds: As `parse_gate` gives them.
        ppi: Of the images; they are measured at 500 ppi.
    """

    bounds: Mapping[str, float]
    ppi: float

    @cached_property
    def _nist(self) -> Nist:
        return Nist(with_quality="nfiq2" in self.bounds)

    def check(self, made: Made) -> tuple[bool, Row]:
        """Whether an impression is within the bounds, and what was measured.

        One that MINDTCT cannot read, such as a corner of a print, is not within them.
        """
        try:
            found = self._nist.extract(made.pixels, self.ppi)
        except BadInput:
            return False, {}
        measured: dict[str, float] = {}
        if "nfiq2" in self.bounds:
            measured["nfiq2"] = found.quality().score
        if made.template is not None:
            true = made.template.rescale(PPI)
            shown = Template(true.width, true.height, PPI, tuple(_minutia(m, true) for m in found.get()))
            pairs = agreement(shown, true)
            measured |= {"recall": pairs.recall, "spurious": 1.0 - pairs.precision}
        good = all(
            measured[name] <= bound if name == "spurious" else measured[name] >= bound
            for name, bound in self.bounds.items()
        )
        return good, {name: f"{value:.4g}" for name, value in measured.items()}


def _minutia(found: Any, image: Template) -> Minutia:
    return Minutia(min(found.x(), image.width - 1), min(found.y(), image.height - 1), found.angle())
