"""A dataset from its request to the files in its folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ..files import locked
from .folder import open_folder
from .impressions import Made
from .layouts import LAYOUTS, Layout
from .pairs import write_pairs
from .plan import Entry
from .request import DatasetRequest, OpenDataset
from .transactions import Transactions
from .writer import Counts, Progress, Writer, finish


@dataclass(frozen=True)
class Outcome:
    """What a run wrote.

    Attributes:
        layout: Of the set; its plan has the seeds that were chosen.
        made: Images.
        kept: Images that were there.
        refused: Images that a gate refused.
        whole: Whether the parts of all shards are there.
    """

    layout: Layout
    made: int
    kept: int
    refused: int
    whole: bool


@dataclass(frozen=True)
class Production:
    """Writes a shard of a set, usually all of it.

    Attributes:
        request: What it is.
        opened: What makes it.
        out: Its folder.
        shard: (i, n), from 1.
        workers: Processes that compare fingers.
        progress: Of (what is counted, how many) → what hears of them.
        impostors: Most pairs of the impostor list; None: no lists.
        overwrite: See `open_folder`.
        resume: See `open_folder`.
        see: Is shown each impression that is written.
    """

    request: DatasetRequest
    opened: OpenDataset
    out: Path
    shard: tuple[int, int]
    workers: int
    progress: Callable[[str, int], Progress]
    impostors: int | None = None
    overwrite: bool = False
    resume: bool = False
    see: Callable[[Entry, Made], None] | None = None

    def run(self) -> Outcome:
        """Write what is missing. After an error, or Ctrl-C, all that is recorded is whole.

        Raises:
            BadInput: If the folder holds something else, another process is writing there, or the set cannot
                be made.
        """
        with locked(self.out, shared=self.shard != (1, 1) and not self.overwrite):
            layout, transactions = self.prepare()
            counts = self.write(layout, transactions)
            whole = self.finish(layout)
        return Outcome(layout, counts.made, counts.kept, counts.refused, whole)

    def prepare(self) -> tuple[Layout, Transactions | None]:
        """Make or continue the folder, and choose the seeds of distinct fingers."""
        plan = self.request.plan(self.shard)
        layout = LAYOUTS[self.request.layout](self.out, plan, self.request.database)
        transactions = Transactions(layout, self.opened.encoding.ppi) if self.request.transactions else None
        open_folder(layout, self.opened.settings, self.overwrite, self.resume)
        if self.request.distinct is not None:
            from .distinct import Distinct

            opened = self.opened
            choice = Distinct(
                self.request.distinct,
                self.out,
                plan,
                opened.maker,
                opened.gate,
                opened.encoding.ppi,
                self.workers,
                self.progress,
            )
            layout.plan = replace(plan, replaced=choice.choose())
        return layout, transactions

    def write(self, layout: Layout, transactions: Transactions | None) -> Counts:
        """Write what is missing of the parts of the layout's shard."""
        opened = self.opened
        writer = Writer(
            layout,
            opened.encoding,
            self.progress("images", layout.plan.own_images),
            gate=opened.gate,
            see=self.see,
            transactions=transactions,
        )
        writer.write(opened.maker)
        return Counts(writer.made, writer.kept, writer.refused)

    def finish(self, layout: Layout) -> bool:
        """Write the manifest of the whole set, and its pairs, if the parts of all shards are there."""
        whole = finish(layout)
        if whole:
            self.write_pairs(layout)
        return whole

    def write_pairs(self, layout: Layout) -> None:
        """Write the lists of pairs, where they are wanted."""
        if self.impostors is not None:
            write_pairs(layout, self.opened.encoding, self.impostors)
