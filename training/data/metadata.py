"""The metadata of a dataset, kept beside it, so that a later run continues it or refuses to mix two."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from fingergen.runtime.errors import BadInput, printable
from fingergen.runtime.files import remove_partial, write_atomically

METADATA = "dataset.json"
INDEX = "metadata.jsonl"
MOST = 100_000  # pixels of a side, and ppi, that somebody else's file may state


def keep_metadata(folder: Path, metadata: Mapping[str, Any], folders: Iterable[str]) -> None:
    """Make the folder of a dataset and write what makes it into its dataset.json.

    What a killed run left unfinished is removed.

    Args:
        folder: Of the dataset; what it holds is continued.
        metadata: Plain JSON values.
        folders: Sub-folders to make, relative to `folder`.

    Raises:
        BadInput: If a dataset with other metadata lies there, or nothing can be written there.
    """
    path = folder / METADATA
    try:
        for each in folders:
            (folder / each).mkdir(parents=True, exist_ok=True)
        if not path.exists():
            write_atomically(path, json.dumps(metadata, indent=2).encode() + b"\n")
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = f"cannot be written ({error.strerror})"
        raise BadInput(f"{folder}: {reason}; choose another --out") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not JSON ({error}); choose another --out") from error
    if found != metadata:
        there = found if isinstance(found, dict) else {}
        names = [*metadata, *(name for name in there if name not in metadata)]
        others = ", ".join(
            printable(f"{name} {there.get(name)!s:.60}"[:100])
            for name in names[: len(metadata) + 3]  # somebody else's file may have any number
            if there.get(name) != metadata.get(name)
        )
        raise BadInput(
            f"{path}: a dataset made with {others} is here; use the same options or choose another --out"
        )
    remove_partial(folder, recursive=True)


def stated_fingers(folder: Path) -> dict[str, str]:
    """The finger of every image that a dataset's metadata.jsonl states, by the image's key.

    Args:
        folder: Of the dataset, or of its shards; where it has the part `train`, that part's is read.

    Returns:
        Empty where there is no such file, or where somebody else's states no fingers.

    Raises:
        BadInput: If it is not one JSON object in each line.
    """
    if not (folder / INDEX).is_file() and not (folder / "images").is_dir():
        folder = folder / "train"
    path = folder / INDEX
    if not path.is_file():
        return {}
    fingers = {}
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if isinstance(row.get("image"), str) and isinstance(row.get("finger"), str | int):
                key = PurePosixPath(row["image"].removeprefix("images/")).with_suffix("").as_posix()
                fingers[key] = str(row["finger"])
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise BadInput(f"{path}: not an index of images ({error}); fix or remove it") from error
    return fingers


def view_of(data: Path) -> tuple[int, int] | None:
    """Side in pixels of the square about each image of a dataset that `fg-train` wrote, or of a part of it,
    and their ppi; None for any other."""
    for folder in (data, *data.absolute().parents[:2]):
        if (folder / METADATA).is_file():
            try:
                metadata = json.loads((folder / METADATA).read_text(encoding="utf-8"))
                side = max(metadata["window"] if "window" in metadata else metadata["size"])
                ppi = int(metadata["target_ppi"] if "target_ppi" in metadata else metadata["ppi"])
                return (int(side), ppi) if 1 <= side <= MOST and 1 <= ppi <= MOST else None
            except (OSError, ValueError, RecursionError, OverflowError, KeyError, TypeError):
                return None  # somebody else's file
    return None
