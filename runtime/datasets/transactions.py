"""A transaction of ANSI/NIST-ITL per subject: all impressions of the ten fingers, with their templates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ..errors import BadInput
from ..files import write_atomically
from ..fingers import FingerPosition
from ..images import decode_image
from ..minutiae import decode_template
from ..records.ansi_nist import FORMAT
from ..records.image import LIVE_PLAIN, LIVE_ROLLED, Content, Details, FingerImage
from .layouts import Layout
from .table import Row

FOLDER = "transactions"
MOST_IMPRESSIONS = 9  # of each finger: a transaction tells 99 images apart
_DETAILS = Details(compression="png", captured=datetime(2000, 1, 1, tzinfo=UTC))  # the same bytes on any day
_POSITIONS = {position.value: code for code, position in enumerate(FingerPosition, 1)}


@dataclass(frozen=True)
class Transactions:
    """Writes the transactions of a set.

    Attributes:
        layout: Of the set.
        ppi: Of its images.
    """

    layout: Layout
    ppi: float

    def __post_init__(self) -> None:
        """Raises BadInput where the set has no subjects, or too many impressions for a transaction."""
        if not self.layout.plan.subjects:
            raise BadInput("--transactions: one is of a subject; give --subjects")
        if self.layout.plan.impressions > MOST_IMPRESSIONS:
            raise BadInput(f"--transactions: one holds at most {MOST_IMPRESSIONS} impressions of a finger")

    def path(self, subject: int) -> Path:
        """The transaction of a subject."""
        return self.layout.folder / self.name(subject)

    @staticmethod
    def name(subject: int) -> str:
        """That path, relative to the folder of the set."""
        return f"{FOLDER}/{subject:07d}.an2"

    def subjects(self, part: int) -> Sequence[int]:
        """The subjects of a part; no subject is in two."""
        fingers = self.layout.plan.fingers_of(part)
        hands = len(FingerPosition)
        return range(fingers.start // hands, -(-fingers.stop // hands))

    def are_there(self, part: int) -> bool:
        """Whether the transactions of a part are written."""
        return all(self.path(subject).exists() for subject in self.subjects(part))

    def write(self, part: int, rows: Iterable[Row]) -> None:
        """Write those of a part, of whose impressions these are the rows."""
        (self.layout.folder / FOLDER).mkdir(exist_ok=True)
        for subject, content in self.contents(part, rows):
            write_atomically(self.path(subject), content)

    def contents(self, part: int, rows: Iterable[Row]) -> Iterable[tuple[int, bytes]]:
        """Subject and transaction, of a part whose files are written."""
        of_subject: dict[int, list[Row]] = {}
        for row in rows:
            of_subject.setdefault(int(row["subject"]), []).append(row)
        for subject, own in of_subject.items():
            images = tuple(self._image(part, row) for row in own)
            templates = tuple(
                decode_template(self.layout.read(part, name), name, on_warning=lambda _: None)
                for name in (row["template"].partition(" ")[0] for row in own)
                if name
            )
            yield subject, FORMAT.encode(Content(images, templates), _DETAILS)

    def _image(self, part: int, row: Mapping[str, str]) -> FingerImage:
        name = row["file"]
        picture = decode_image(self.layout.read(part, name), name).image.convert("L")
        rolled = row["impression_type"] == "rolled"
        return FingerImage(
            np.asarray(picture),
            self.ppi,
            _POSITIONS[row["position"]],
            LIVE_ROLLED if rolled else LIVE_PLAIN,
            {"synthetic": "yes", "seed": row["seed"], "impression": row["impression"]},
        )
