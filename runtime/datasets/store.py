"""Where a dataset lies that is not in a folder: what fsspec opens by a URL, such as `s3://bucket/set`.

A part is made in a folder and put here, its rows last: what says that it is there comes when it is. A store
may hold half a file after a failure; such a part is made again.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BadInput
from .folder import CHOICE
from .layouts import Layout
from .merge import files_of_part
from .plan import Plan
from .table import PARTS, SETTINGS, TABLE, NotWholeError, joined, part_name
from .transactions import Transactions

Stamps = Mapping[str, int]
"""Names of files, relative to a folder, and when they changed."""


@dataclass(frozen=True)
class Store:
    """The place that a URL names.

    Attributes:
        url: With a protocol that fsspec knows.
    """

    url: str

    def __str__(self) -> str:
        return re.sub(r"//[^/@]*@", "//", self.url)  # without a password

    def folder(self) -> Path | None:
        """The folder of this machine that the URL names; None where it names another place.

        Raises:
            BadInput: If nothing opens such a URL, or no other process would see what lies there.
        """
        files, root = self._open()
        protocols = {files.protocol} if isinstance(files.protocol, str) else {*files.protocol}
        if "memory" in protocols:
            raise BadInput(f"--url {self}: no other process sees it; give a place that all machines see")
        return Path(root) if "file" in protocols else None

    def begin(self, folder: Path) -> Stamps:
        """Bring what says which set lies here into a folder.

        Returns:
            What is there.

        Raises:
            BadInput: If something else lies here.
        """
        files, root = self._open()
        files.invalidate_cache()
        files.makedirs(root, exist_ok=True)
        if not self._get(SETTINGS, folder) and files.exists(root) and files.ls(root, detail=False):
            raise BadInput(f"{self}: something else than a dataset lies there; give another --url")
        if files.exists(f"{root}/{CHOICE}"):
            for path in files.find(f"{root}/{CHOICE}"):
                self._get(f"{CHOICE}/{path.rpartition(f'/{CHOICE}/')[2]}", folder)
        return stamps(folder)

    def remove(self, names: Collection[str]) -> None:
        """Take files of the set away, if they are there."""
        files, root = self._open()
        for name in names:
            if files.exists(f"{root}/{name}"):
                files.rm_file(f"{root}/{name}")

    def fetch(self, layout: Layout, part: int, transactions: Transactions | None) -> Stamps:
        """Bring what is there of a part into the folder of `layout`.

        Args:
            layout: Of the set.
            part: Its number.
            transactions: Of the set, where it has some.

        Returns:
            What is there.
        """
        if not self._get(part_name(part), layout.folder):
            return {}
        try:
            for name in files_of_part(layout, layout.folder, part, transactions):
                self._get(name, layout.folder)
        except BadInput:  # its rows are damaged: it is made again
            (layout.folder / part_name(part)).unlink()
        return stamps(layout.folder)

    def put_new(self, folder: Path, before: Stamps) -> None:
        """Put the files of a folder here that have changed, the rows of parts last.

        Args:
            folder: Of a set, or of a part of it.
            before: What was there already.
        """
        files, root = self._open()
        changed = [name for name, stamp in stamps(folder).items() if before.get(name) != stamp]
        for name in sorted(changed, key=lambda name: (name.startswith(f"{PARTS}/"), name)):
            target = f"{root}/{name}"
            files.makedirs(target.rpartition("/")[0], exist_ok=True)
            files.put_file(str(folder / name), target)

    def write_table(self, plan: Plan) -> bool:
        """Write the manifest of the whole set if all parts are there; returns whether they are."""
        files, root = self._open()
        parts = (
            (files.cat_file(f"{root}/{part_name(part)}"), len(plan.fingers_of(part)) * plan.impressions)
            for part in plan.parts
        )
        try:
            with files.open(f"{root}/{TABLE}", "wb") as table:
                for rows in joined(parts):
                    table.write(rows)
        except (NotWholeError, FileNotFoundError):
            self.remove([TABLE])
            return False
        return True

    def _get(self, name: str, folder: Path) -> bool:
        """Copy a file into a folder; returns whether it is there."""
        files, root = self._open()
        try:
            content: bytes = files.cat_file(f"{root}/{name}")
        except FileNotFoundError:
            return False
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        return True

    def _open(self) -> tuple[Any, str]:
        """The file system, which fsspec keeps, and the path in it."""
        try:
            fsspec = importlib.import_module("fsspec.core")
        except ModuleNotFoundError:
            raise BadInput(
                "--url: needs fsspec, which is not installed: pip install 'fingergen[cluster]'"
            ) from None
        try:
            files, root = fsspec.url_to_fs(self.url)
        except (ValueError, ImportError) as error:
            raise BadInput(f"--url {self}: {error}") from None
        return files, root.rstrip("/")


def stamps(folder: Path) -> Stamps:
    """The files of a folder, and when they changed."""
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file()
    }
