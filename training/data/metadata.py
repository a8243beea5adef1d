"""A data set's recipe, kept beside it, so that a later run continues it or refuses to mix two."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fingergen.runtime.errors import BadInput
from fingergen.runtime.files import write_atomically

RECIPE = "dataset.json"
_UNFINISHED = re.compile(r"\..+\.\d+\.\d+")  # what `write_atomically` leaves when it is killed


def keep_recipe(folder: Path, recipe: Mapping[str, Any], folders: Iterable[str]) -> None:
    """Make `folder` with its sub-folders and write the recipe, plain JSON values, into it.

    What a killed run left unfinished is removed. BadInput where another recipe's data set lies.
    """
    path = folder / RECIPE
    try:
        for each in folders:
            (folder / each).mkdir(parents=True, exist_ok=True)
        if not path.exists():
            write_atomically(path, json.dumps(recipe, indent=2).encode() + b"\n")
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = f"cannot be written ({error.strerror})"
        raise BadInput(f"{folder}: {reason}; choose another --out") from error
    except ValueError as error:
        raise BadInput(f"{path}: not JSON ({error}); choose another --out") from error
    if found != recipe:
        there = found if isinstance(found, dict) else {}
        names = [*recipe, *(name for name in there if name not in recipe)]
        others = ", ".join(
            f"{name} {there.get(name)}" for name in names if there.get(name) != recipe.get(name)
        )
        raise BadInput(f"{path}: a data set of {others} lies here; ask for the same or choose another --out")
    for file in folder.rglob(".*"):
        if _UNFINISHED.fullmatch(file.name):
            file.unlink()


def view_of(data: Path) -> tuple[int, int] | None:
    """Side in pixels of the square about each image of a data set that `fg-train` wrote, or of a part of it,
    and their ppi; None for any other."""
    for folder in (data, *data.absolute().parents[:2]):
        if (folder / RECIPE).is_file():
            try:
                recipe = json.loads((folder / RECIPE).read_text(encoding="utf-8"))
                side = max(recipe["window"] if "window" in recipe else recipe["size"])
                return int(side), int(recipe["target_ppi"] if "target_ppi" in recipe else recipe["ppi"])
            except (OSError, ValueError, KeyError, TypeError):
                return None  # somebody else's file
    return None
