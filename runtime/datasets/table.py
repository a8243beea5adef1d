"""The manifest of a dataset: a row per image, as CSV, in a file per part and in one of the whole set."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..arguments import check_finite, check_type, check_whole
from ..errors import BadInput
from ..files import replacing, write_atomically
from ..fingers import Impression
from ..seeds import SEEDS

TABLE, SETTINGS, PARTS = "impressions.csv", "dataset.json", "parts"
MOST_FINGERS, MOST_IMPRESSIONS = 10**8, 1000
_NUMBER = re.compile(r"\d{1,9}", re.ASCII)

COLUMNS = (
    # which image
    *(
        "file",
        "template",
        "shard",
        "subject",
        "finger",
        "seed",
        "impression",
        "class",
        "position",
        "impression_type",
        "attempts",
        "replaced",
    ),
    # how the impression was taken
    *("preset", "rotation", "shift_x", "shift_y", "contact", "pressure", "moisture", "unevenness"),
    *("blotches", "sharpness", "paper", "ink", "gamma", "noise", "background", "fading", "film"),
    *("stains", "vignette", "outline", "waves", "lines"),
    # how the latent was edited
    *("direction", "degree"),
    # what independent software found
    *("recall", "spurious", "nfiq2"),
    # all its files, the image first
    *("files", "bytes", "sha256"),
)
"""Columns of the manifest; empty where they do not apply. `docs/datasets.md` explains them."""

_NUMBERS = (
    *("rotation", "pressure", "moisture", "unevenness", "blotches", "sharpness", "paper", "ink", "gamma"),
    *("noise", "background", "fading", "film", "stains", "vignette"),
)

Row = dict[str, str]

# Of settings that readers of a set go by.
_WHOLE = {
    "fingers": (1, MOST_FINGERS),
    "impressions": (1, MOST_IMPRESSIONS),
    "first_seed": (0, SEEDS - 1),
    "database": (1, 9),
}
_KINDS = {"layout": str, "format": str, "templates": list, "subjects": bool, "transactions": bool}


def capture_columns(taken: Impression, preset: str) -> Row:
    """Everything that was drawn for an impression, as columns; its noise fields are drawn from the seed."""
    capture = taken.capture
    row = {"class": taken.finger.kind.value, "preset": preset}
    row |= {name: _number(getattr(capture, name)) for name in _NUMBERS}
    row |= {"shift_x": _number(capture.shift[0]), "shift_y": _number(capture.shift[1])}
    row["contact"] = _number(capture.contact_part)
    for name, values in (("outline", capture.contact), ("waves", capture.waves), ("lines", capture.lines)):
        row[name] = json.dumps(_rounded(values), separators=(",", ":"))
    return row


def _number(value: Any) -> str:
    return f"{float(value):.6g}"


def _rounded(values: Any) -> Any:
    if isinstance(values, np.ndarray):
        return [_rounded(value) for value in values]
    return float(_number(values))


def part_name(part: int) -> str:
    """The file of a part's rows, relative to the folder of the set."""
    return f"{PARTS}/{part:07d}.csv"


def part_path(folder: Path, part: int) -> Path:
    """The file of a part's rows."""
    return folder / part_name(part)


def part_of_table(file: str) -> int | None:
    """The part whose rows a file in `PARTS` has; None for a file of another name."""
    stem = file.removesuffix(".csv")
    return int(stem) if stem.isascii() and stem.isdigit() else None


def write_part(folder: Path, part: int, rows: Iterable[Mapping[str, str]]) -> None:
    """Write the rows of a part; that its file is there says that all its images are."""
    text = io.StringIO()
    lines = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    lines.writeheader()
    lines.writerows(rows)
    write_atomically(part_path(folder, part), text.getvalue().encode())


def read_part(folder: Path, part: int) -> list[Row]:
    """The rows of a part; none where it is not finished.

    Raises:
        BadInput: If its file is not one that `write_part` wrote.
    """
    path = part_path(folder, part)
    try:
        return list(read_rows(path))
    except FileNotFoundError:
        return []


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a manifest, one after the other.

    Raises:
        BadInput: If it is no manifest of a dataset.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            if tuple(rows.fieldnames or ()) != COLUMNS:
                raise BadInput(f"{path}: its columns are not those of a dataset; remove it and use --resume")
            for row in rows:
                whole = None not in row and None not in row.values()
                if not (whole and _NUMBER.fullmatch(row["finger"]) and _NUMBER.fullmatch(row["impression"])):
                    raise BadInput(f"{path}: line {rows.line_num} is not whole; remove it and use --resume")
                yield row
    except (csv.Error, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: not a manifest ({error}); remove it and use --resume") from None


def write_table(folder: Path, rows_of_parts: Iterable[tuple[int, int]]) -> bool:
    """Write the manifest of the whole set: the rows of all parts, in order.

    Args:
        folder: Of the set.
        rows_of_parts: The number of each part, and how many rows it has when it is whole.

    Returns:
        Whether all parts are there and whole; nothing is written if not.
    """
    parts = ((part_path(folder, part).read_bytes(), rows) for part, rows in rows_of_parts)
    try:
        with replacing(folder / TABLE) as temporary, temporary.open("wb") as whole:
            whole.writelines(joined(parts))
    except (NotWholeError, FileNotFoundError):
        return False
    return True


def joined(parts: Iterable[tuple[bytes, int]]) -> Iterator[bytes]:
    """The manifest of the whole set, piece by piece.

    Args:
        parts: The content of each part's file, in order, and how many rows it has when it is whole.

    Raises:
        NotWholeError: If a part has not so many.
    """
    for number, (content, rows) in enumerate(parts):
        if content.count(b"\n") != rows + 1:
            raise NotWholeError
        yield content[content.index(b"\n") + 1 :] if number else content


class NotWholeError(Exception):
    """The table of a part lacks rows of its images."""


def write_settings(folder: Path, settings: Mapping[str, Any], new: bool = False) -> None:
    """Write what makes the set; that comes first, so that a folder says what it holds at any time.

    `new`: `FileExistsError` if another process has written its settings in the meantime.
    """
    write_atomically(folder / SETTINGS, (json.dumps(settings, indent=2) + "\n").encode(), new)


def read_settings(folder: Path) -> dict[str, Any]:
    """What makes the set in a folder.

    Raises:
        BadInput: If there are no such settings, or one is not what this program writes.
    """
    path = folder / SETTINGS
    try:
        found = dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise BadInput(f"{path}: is not there; give the folder of a dataset of fg-run dataset") from None
    except (OSError, ValueError, TypeError, RecursionError):
        found = {}
    if found.get("operation") != "dataset":
        raise BadInput(f"{path}: not the settings of a dataset of fg-run; give another --out")
    for name, (least, most) in _WHOLE.items():
        if name in found:
            check_whole(f"{path}: {name}", found[name], least, most)
    for name, kinds in _KINDS.items():
        if name in found:
            check_type(f"{path}: {name}", found[name], kinds, kinds.__name__)
    if "ppi" in found:
        check_finite(f"{path}: ppi", found["ppi"])
    return found
