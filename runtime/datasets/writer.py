"""Writing a dataset part by part, so that it can be killed at any moment, continued and shared by machines.

A part is recorded when all its files are written, and only then. What a later run finds recorded it keeps, if
the files are there; all else it makes again, to the same bytes.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Protocol

from ..errors import BadInput
from ..images import FORMATS, Provenance, encode_image
from ..minutiae import FORMATS as TEMPLATE_FORMATS
from .impressions import Made, Maker
from .layouts import Layout
from .plan import PART, Entry
from .table import PARTS, TABLE, Row, part_path, read_part, write_part, write_table
from .transactions import Transactions

MOST_ATTEMPTS = 16  # draws of an impression that a gate refuses


class Progress(Protocol):
    """Hears of images as they are kept or made."""

    def kept(self, images: int) -> None: ...

    def made(self, images: int) -> None: ...


class Silent:
    """Progress that nobody follows: for use from Python."""

    def kept(self, images: int) -> None:
        pass

    def made(self, images: int) -> None:
        pass


@dataclass(frozen=True)
class Counts:
    """What was done.

    Attributes:
        made: Images.
        kept: Images that were there.
        refused: Images that a gate refused.
    """

    made: int = 0
    kept: int = 0
    refused: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.made + other.made, self.kept + other.kept, self.refused + other.refused)


class Gate(Protocol):
    """Refuses impressions that are not good enough."""

    def check(self, made: Made) -> tuple[bool, Row]:
        """Whether an impression is taken, and columns of what was measured."""
        ...


@dataclass(frozen=True)
class Encoding:
    """How impressions become files.

    Attributes:
        image_format: A name in `images.FORMATS`.
        template_formats: Names in `minutiae.FORMATS`, for impressions with a template.
        ppi: Of the images.
        shared: Provenance that all images have.
        with_row: Whether the row of the manifest is a file of its own, `NAME.meta.json`.
    """

    image_format: str
    template_formats: Sequence[str]
    ppi: float
    shared: Provenance
    with_row: bool = False

    def image_name(self, name: str) -> str:
        """The image file of an impression called `name`."""
        return name + FORMATS[self.image_format]

    def encode(self, entry: Entry, name: str, made: Made, row: Row) -> tuple[Row, dict[str, bytes]]:
        """An impression's row and its files by name, the image last."""
        files: dict[str, bytes] = {}
        if made.template is not None:
            for each in self.template_formats:
                known = TEMPLATE_FORMATS[each]
                files[name + known.extensions[0]] = known.encode_carried(made.template)
        image = self.image_name(name)
        own = {"seed": str(entry.seed), "impression": str(entry.impression), **made.provenance}
        if entry.position is not None:
            own["position"] = entry.position.value
        if entry.subject is not None:
            own["subject"] = str(entry.subject)
        if entry.attempt:
            own["attempts"] = str(entry.attempt + 1)
        if entry.rolled:
            own["impression_type"] = "rolled"
        row = {
            "file": image,
            "template": " ".join(files),
            "subject": "" if entry.subject is None else str(entry.subject),
            "finger": str(entry.finger),
            "seed": str(entry.seed),
            "impression": str(entry.impression),
            "position": entry.position.value if entry.position else "",
            "impression_type": "" if made.template is None else "rolled" if entry.rolled else "plain",
            "attempts": str(entry.attempt + 1),
            "replaced": str(entry.replaced) if entry.replaced else "",
            **row,
            **made.columns,
        }
        provenance = {**self.shared, **own}
        if image.endswith(".bmp"):  # which holds no text
            files[f"{image}.json"] = (json.dumps(provenance, indent=2) + "\n").encode()
        if self.with_row:
            files[f"{name}.meta.json"] = (json.dumps({k: v for k, v in row.items() if v}) + "\n").encode()
        files[image] = encode_image(made.pixels, FORMATS[self.image_format], self.ppi, provenance)
        first = [image, *(each for each in files if each != image)]
        row["files"] = " ".join(first)
        row["bytes"] = " ".join(str(len(files[each])) for each in first)
        row["sha256"] = " ".join(hashlib.sha256(files[each]).hexdigest() for each in first)
        return row, files


@dataclass
class _Part:
    """A part under way."""

    rows: dict[tuple[int, int], Row]
    waiting: int


@dataclass(frozen=True)
class _Stored:
    entry: Entry
    row: Row
    taken: bool


@dataclass
class Writer:
    """Writes the parts of a set that its plan's shard has and the folder lacks.

    Attributes:
        layout: Where files go.
        encoding: What they are.
        progress: Hears of images.
        gate: What refuses impressions.
        most_attempts: Draws of an impression; the last is kept whatever the gate says.
        see: Is shown each impression that is written.
        transactions: Of the subjects of parts that are written.
    """

    layout: Layout
    encoding: Encoding
    progress: Progress
    gate: Gate | None = None
    most_attempts: int = MOST_ATTEMPTS
    see: Callable[[Entry, Made], None] | None = None
    transactions: Transactions | None = None
    made: int = 0
    kept: int = 0
    refused: int = 0
    _parts: dict[int, _Part] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def write(self, maker: Maker) -> None:
        """Make and write what is missing; after an error, or Ctrl-C, all that is recorded is whole."""
        own = self.layout.plan.own_parts
        # What a gate refuses is made again part by part: a tar file waits for it in memory.
        blocks: Iterable[Iterable[int]] = [own] if self.gate is None else ([part] for part in own)
        try:
            for block in blocks:
                entries: Iterable[Entry] = self._missing(block)
                while entries:
                    entries = self._pass(maker, entries)
        finally:
            self.layout.close()

    def _pass(self, maker: Maker, entries: Iterable[Entry]) -> list[Entry]:
        """Make `entries`; returns those that the gate refused, as the next attempt."""
        again = []
        with closing(maker.images(entries, self._store)) as stored:
            for each in stored:
                if each.taken:
                    self._record(each)
                else:
                    self.refused += 1
                    again.append(replace(each.entry, attempt=each.entry.attempt + 1))
        return sorted(again, key=lambda entry: (entry.finger, entry.impression))

    def _missing(self, parts: Iterable[int]) -> Iterator[Entry]:
        """The impressions to be made, part by part as there is room for them."""
        plan, folder = self.layout.plan, self.layout.folder
        for part in parts:
            rows = self._kept(part)
            missing = [entry for entry in plan.entries(part) if (entry.finger, entry.impression) not in rows]
            if missing and self.layout.shard(part):
                rows, missing = {}, list(plan.entries(part))  # a tar file is made whole
            self.kept += len(rows)
            self.progress.kept(len(rows))
            if not missing:
                if self.transactions is not None and not self.transactions.are_there(part):
                    self.transactions.write(part, [rows[key] for key in sorted(rows)])
                continue
            for path in (folder / TABLE, part_path(folder, part)):  # they say that all is there
                path.unlink(missing_ok=True)
            self.layout.begin(part, missing)
            with self._lock:
                self._parts[part] = _Part(rows, len(missing))
            yield from missing

    def _kept(self, part: int) -> dict[tuple[int, int], Row]:
        """The recorded impressions of a part whose files are there."""
        rows = {}
        for row in read_part(self.layout.folder, part):
            entry = self.layout.plan.entry(int(row["finger"]), int(row["impression"]))
            expected = self.encoding.image_name(self.layout.name(entry))
            if row["file"] == expected and all(self._is_there(part, *each) for each in stated_files(row)):
                rows[entry.finger, entry.impression] = row
        return rows

    def _is_there(self, part: int, name: str, size: int, sha256: str) -> bool:
        if self.layout.size(part, name) != size:
            return False
        return hashlib.sha256(self.layout.read(part, name)).hexdigest() == sha256

    def _store(self, entry: Entry, made: Made) -> _Stored:
        """Write an impression, unless the gate refuses it."""
        measured: Row = {}
        if self.gate is not None:
            good, measured = self.gate.check(made)
            if not good and entry.attempt + 1 < self.most_attempts:
                return _Stored(entry, measured, False)
        part = entry.finger // PART
        name = self.layout.name(entry)
        row = {"shard": self.layout.shard(part), **measured}
        row, files = self.encoding.encode(entry, name, made, row)
        self.layout.store(part, entry, files)
        if self.see is not None:
            self.see(entry, made)
        return _Stored(entry, row, True)

    def _record(self, stored: _Stored) -> None:
        self.made += 1
        self.progress.made(1)
        number = stored.entry.finger // PART
        with self._lock:
            part = self._parts[number]
            part.rows[stored.entry.finger, stored.entry.impression] = stored.row
            part.waiting -= 1
            if part.waiting:
                return
            del self._parts[number]
        self.layout.end(number)
        rows = [part.rows[key] for key in sorted(part.rows)]
        if self.transactions is not None:
            self.transactions.write(number, rows)
        (self.layout.folder / PARTS).mkdir(exist_ok=True)
        write_part(self.layout.folder, number, rows)


def stated_files(row: Mapping[str, str]) -> Iterator[tuple[str, int, str]]:
    """Name, size and SHA-256 of each file of a row.

    Raises:
        BadInput: If it states no sizes, or a file outside the folder of the set.
    """
    names, sizes, hashes = row["files"].split(), row["bytes"].split(), row["sha256"].split()
    for name, size, sha256 in itertools.zip_longest(names, sizes, hashes, fillvalue=""):
        path = PurePosixPath(name)
        if not name or path.is_absolute() or ".." in path.parts or not size.isdecimal():
            raise BadInput(f"manifest: row of {row['file']!r} is damaged; remove its part and use --resume")
        yield name, int(size), sha256


def finish(layout: Layout) -> bool:
    """Write the manifest of the whole set if all parts of all shards are there; returns whether they are."""
    plan, folder = layout.plan, layout.folder
    if not all(part_path(folder, part).exists() for part in plan.parts):
        return False
    rows = ((part, len(plan.fingers_of(part)) * plan.impressions) for part in plan.parts)
    return write_table(folder, rows)
