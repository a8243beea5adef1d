"""Reading a whole dataset again: every file is there, decodes and is what was written."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator
from contextlib import closing

from ..errors import BadInput
from ..images import decode_image
from ..minutiae import decode_template
from ..pipeline.stages import Pipeline, Stage
from .layouts import Layout
from .table import TABLE, Row, read_part
from .transactions import Transactions
from .writer import Progress, stated_files


def verify(
    layout: Layout, workers: int, progress: Progress, transactions: Transactions | None = None
) -> Generator[str]:
    """Check the parts of a shard (usually of the whole set).

    Args:
        layout: Of the set.
        workers: Threads.
        progress: Hears of each image.
        transactions: Of the set, where it has some.

    Yields:
        A line for each thing that is wrong.
    """
    plan = layout.plan
    if plan.shard == (1, 1) and not (layout.folder / TABLE).exists():
        yield f"{layout.folder / TABLE}: is not there; the set is not whole"

    def check(part: int) -> list[tuple[int, list[str]]]:
        try:
            rows = read_part(layout.folder, part)
        except BadInput as error:
            return [(0, [str(error)])]
        found = [(int(row["finger"]), int(row["impression"])) for row in rows]
        wanted = [(entry.finger, entry.impression) for entry in plan.entries(part)]
        wrong = [] if found == wanted else [f"part {part}: has {len(rows)} of {len(wanted)} images"]
        for row in rows:
            wrong += _check(layout, part, row)
        if transactions is not None and not wrong:  # they are made of the images
            wrong += _check_transactions(transactions, part, rows)
        return [(len(rows), wrong)]

    stage = Stage("verify", check, workers, room=2 * workers)
    with closing(iter(Pipeline(plan.own_parts, [stage]))) as checked:
        for images, wrong in checked:
            progress.kept(images)
            yield from wrong


def _check(layout: Layout, part: int, row: Row) -> Iterator[str]:
    for name, size, sha256 in stated_files(row):
        try:
            content = layout.read(part, name)
            if len(content) != size or hashlib.sha256(content).hexdigest() != sha256:
                yield f"{name}: is not as it was written; remove it and use --resume"
                continue
            if name == row["file"]:
                decode_image(content, name)
            elif name in row["template"].split():
                decode_template(content, name, on_warning=lambda _: None)
        except FileNotFoundError:
            yield f"{name}: is not there; use --resume"
        except BadInput as error:
            yield str(error)


def _check_transactions(transactions: Transactions, part: int, rows: list[Row]) -> Iterator[str]:
    for subject, content in transactions.contents(part, rows):
        path = transactions.path(subject)
        if not path.exists():
            yield f"{path}: is not there; use --resume"
        elif path.read_bytes() != content:
            yield f"{path}: is not as it was written; remove it and use --resume"
