"""What the sections find, and the page of it: written again with every finding, so that nothing is lost."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fingergen.runtime.files import write_atomically

MARKS: Mapping[bool | None, str] = {True: "passed", False: "**failed**", None: "not verified"}
TITLE = "# Result on a GPU"


@dataclass(frozen=True)
class Check:
    """A verdict. `passed` None: it could not be reached, and `result` says why."""

    what: str
    result: str
    passed: bool | None


@dataclass(frozen=True)
class Row:
    """A line of figures in the table of this title; `cells`: column → text. Columns of a table may differ."""

    table: str
    cells: Mapping[str, str]


Item = Check | Row


@dataclass
class Page:
    """Markdown, a part a section. Parts of `out` that are not made anew stay as they are.

    `order`: names of all sections there are. `notes`: lines on top of each part: the machine, the command.
    """

    out: Path | None
    order: Sequence[str]
    notes: Sequence[str]
    found: dict[str, list[Item]] = field(default_factory=dict)

    def add(self, section: str, *items: Item) -> None:
        """Take in what `section` found, and write the page."""
        self.found.setdefault(section, []).extend(items)
        if self.out is not None:
            write_atomically(self.out, self.text().encode())

    @property
    def failed(self) -> bool:
        """Whether something that was tried failed."""
        return any(
            isinstance(item, Check) and item.passed is False
            for items in self.found.values()
            for item in items
        )

    def text(self) -> str:
        """The whole page as Markdown."""
        new = {
            name: "\n".join([f"## {name}", "", *(f"- {note}" for note in self.notes), "", *markdown(items)])
            for name, items in self.found.items()
        }
        parts = self._kept() | new
        names = sorted(parts, key=lambda name: [*self.order, name].index(name))
        head = f"{TITLE}\n\nWritten by `fg-bench gpu`; not edited.\n"
        return "\n".join([head, *(f"{parts[name].strip()}\n" for name in names)])

    def _kept(self) -> dict[str, str]:
        """Section → its part of the page that is there."""
        try:
            text = self.out.read_text(encoding="utf-8") if self.out else ""
        except FileNotFoundError:
            return {}
        _, *parts = re.split(r"^(?=## )", text, flags=re.MULTILINE)
        return {part.splitlines()[0].removeprefix("## ").strip(): part for part in parts}


def guarded(what: str, find: Callable[..., Iterator[Item]], *arguments: Any) -> Iterator[Item]:
    """What `find(*arguments)` finds; where it breaks off a check that fails, for more is to be checked."""
    try:
        yield from find(*arguments)
    except Exception as error:  # whatever it is
        traceback.print_exc()
        yield Check(what, f"{type(error).__name__}: {error}", False)


def markdown(items: Sequence[Item]) -> list[str]:
    """Lines: the checks, then every table of figures."""
    checks = [
        {"what": check.what, "": MARKS[check.passed], "result": check.result}
        for check in items
        if isinstance(check, Check)
    ]
    lines = _table(checks)
    for title in dict.fromkeys(item.table for item in items if isinstance(item, Row)):
        rows = [item.cells for item in items if isinstance(item, Row) and item.table == title]
        lines += [f"### {title}", "", *_table(rows)]
    return lines


def _table(rows: Sequence[Mapping[str, str]]) -> list[str]:
    if not rows:
        return []
    columns = list(dict.fromkeys(column for row in rows for column in row))

    def line(cells: Sequence[str]) -> str:
        return "".join(f"| {_cell(cell)} " for cell in cells) + "|"

    body = [line([row.get(column, "") for column in columns]) for row in rows]
    return [line(columns), "| --- " * len(columns) + "|", *body, ""]


def _cell(text: str) -> str:
    """In one line, and without what would end the cell."""
    return " ".join(text.replace("|", "\\|").split())
