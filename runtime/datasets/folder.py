"""The folder of a dataset: what lies in it is continued, or refused, before anything is written."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import BadInput
from .layouts import Layout
from .table import PARTS, SETTINGS, TABLE, read_settings, write_settings
from .transactions import FOLDER as TRANSACTIONS

CHOICE = "distinct"  # the folder of what was found in choosing distinct fingers
PAIRS = ("genuine.csv", "impostor.csv")
MAY_GROW = ("fingers", "impressions")
MAY_DIFFER = {*MAY_GROW, "fingergen"}  # of the settings of a set that is continued
NAMES_FILES = ("layout", "format", "templates", "database")  # settings that say which files a set has
_IMAGE_NAME = re.compile(r"\d+_\d+\.(png|tiff|bmp)|\d{7}\.tar")  # of any layout


def open_folder(layout: Layout, settings: Mapping[str, Any], overwrite: bool, resume: bool) -> None:
    """Make the folder of a set, or continue the set in it; its settings are there afterwards.

    Args:
        layout: Of the set.
        settings: What makes the set, as JSON has it.
        overwrite: Whether a set of other settings, but the same or fewer files, is replaced.
        resume: Whether the same set is continued.

    Raises:
        BadInput: If something lies there that is neither, or may be neither. Nothing has changed then.
    """
    folder = layout.folder
    there = (folder / SETTINGS).exists()  # looked at once: another shard may begin the set at any moment
    same = there and _is_same(folder, settings)
    if not same:
        _refuse_other_images(layout)
    shared = same and layout.plan.shard != (1, 1)  # other shards may have begun it
    if not (overwrite or resume or shared):
        for name, found in ((SETTINGS, there), (TABLE, (folder / TABLE).exists())):
            if found:
                raise BadInput(
                    f"{folder / name}: exists already (--overwrite replaces, --resume continues the set)"
                )
    if there:
        if overwrite:
            _check_names(folder, settings)
        else:
            _check_same(folder, settings)
    folder.mkdir(parents=True, exist_ok=True)
    if overwrite:
        for name in (PARTS, CHOICE, TRANSACTIONS):
            shutil.rmtree(folder / name, ignore_errors=True)
    if overwrite or not same:
        for name in (TABLE, *PAIRS):
            (folder / name).unlink(missing_ok=True)
    if there:
        layout.sweep()
    if overwrite or not same:
        try:
            write_settings(folder, settings, new=not there)
        except FileExistsError:  # another shard's, begun at the same moment
            open_folder(layout, settings, overwrite, resume)


def _is_same(folder: Path, settings: Mapping[str, Any]) -> bool:
    """Whether the set in a folder is the one of `settings`, neither smaller nor larger."""
    try:
        found = read_settings(folder)
    except BadInput:
        return False
    return all(found.get(key) == settings.get(key) for key in {*found, *settings} - {"fingergen"})


def _check_same(folder: Path, settings: Mapping[str, Any]) -> None:
    found = read_settings(folder)
    growing = set(MAY_GROW)
    if settings["layout"] == "fvc":
        growing.discard("fingers")  # the last ones are set B
    for key in sorted({*found, *settings} - (MAY_DIFFER & (growing | {"fingergen"}))):
        if found.get(key) != settings.get(key):
            raise BadInput(
                f"{folder / SETTINGS}: its {key} is {found.get(key)}, here it is {settings.get(key)}:"
                " --resume continues only the same dataset; give another --out, or --overwrite"
            )
    for key in growing:
        if not isinstance(found.get(key), int) or found[key] > settings[key]:
            raise BadInput(
                f"{folder / SETTINGS}: its {key} are {found.get(key)}, here {settings[key]}: a set may grow"
                " but not shrink; give another --out"
            )


def _check_names(folder: Path, settings: Mapping[str, Any]) -> None:
    found = read_settings(folder)
    for key in NAMES_FILES:
        if found.get(key) != settings.get(key):
            raise BadInput(
                f"{folder / SETTINGS}: its {key} is {found.get(key)}, here it is {settings.get(key)}: files"
                " of the old set would stay beside those of the new one; give another --out"
            )


def _refuse_other_images(layout: Layout) -> None:
    """`BadInput` if images or tar files lie there that this set does not have."""
    for name in ("", *layout.folders()):
        here = layout.folder / name
        for path in here.iterdir() if here.is_dir() else ():
            other = not name and layout.folders()[0] != ""  # this layout has no images there
            if _IMAGE_NAME.fullmatch(path.name) and (other or layout.owner(path.name) is None):
                raise BadInput(f"{path}: an image that this dataset does not have; give another --out")
