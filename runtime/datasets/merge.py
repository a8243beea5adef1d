"""One dataset of the shards that machines made in folders of their own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from ..errors import BadInput
from ..files import replacing
from .layouts import Layout
from .table import PARTS, SETTINGS, part_path, read_part, read_settings, write_settings
from .transactions import FOLDER, Transactions
from .writer import stated_files


def merge(layout: Layout, sources: Sequence[Path]) -> int:
    """Bring the recorded parts of other folders into the folder of `layout`, linked where that is possible.

    What is there already stays. It may be interrupted and repeated.

    Args:
        layout: Of the whole set.
        sources: Folders of its shards.

    Returns:
        How many parts were added.

    Raises:
        BadInput: If a folder holds another set, or two have different images of one finger.
    """
    added = 0
    folder = layout.folder
    settings = read_settings(sources[0])
    for source in [*sources, folder] if (folder / SETTINGS).exists() else sources:
        found = read_settings(source)
        for key in sorted({*found, *settings} - {"fingergen"}):
            if found.get(key) != settings.get(key):
                raise BadInput(
                    f"{source / SETTINGS}: its {key} is {found.get(key)}, that of"
                    f" {sources[0] / SETTINGS} is {settings.get(key)}; merge shards of one set"
                )
    (folder / PARTS).mkdir(parents=True, exist_ok=True)
    if not (folder / SETTINGS).exists():
        write_settings(folder, settings)
    transactions = Transactions(layout, settings["ppi"]) if settings.get("transactions") else None
    for name in [*layout.folders(), *([FOLDER] if transactions else [])]:
        (folder / name).mkdir(exist_ok=True)
    for source in sources:
        for part in layout.plan.parts:
            theirs, ours = part_path(source, part), part_path(folder, part)
            if not theirs.exists():
                continue
            if ours.exists():
                if ours.read_bytes() != theirs.read_bytes():
                    raise BadInput(f"{theirs}: differs from {ours}; one of them is not of this set")
                continue
            for name in files_of_part(layout, source, part, transactions):
                _bring(source / name, folder / name)
            _bring(theirs, ours)
            added += 1
    return added


def files_of_part(
    layout: Layout, source: Path, part: int, transactions: Transactions | None = None
) -> list[str]:
    """Files of a recorded part beside its rows, relative to the folder of the set.

    Args:
        layout: Of the set.
        source: A folder with the part's rows.
        part: Its number.
        transactions: Of the set, where it has some.

    Raises:
        BadInput: If the rows are damaged.
    """
    if shard := layout.shard(part):
        names = [shard]
    else:
        names = [name for row in read_part(source, part) for name, _, _ in stated_files(row)]
    if transactions is not None:
        names += [transactions.name(subject) for subject in transactions.subjects(part)]
    return names


def _bring(source: Path, target: Path) -> None:
    """Link a file under another name or, between file systems, copy it; the name appears with all of it."""
    with replacing(target) as temporary:
        try:
            os.link(source, temporary)
        except FileNotFoundError:
            raise BadInput(f"{source}: is not there; run its shard again with --resume") from None
        except OSError:
            shutil.copyfile(source, temporary)
