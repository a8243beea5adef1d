"""How a dataset is arranged in its folder, and a run that makes, merges or verifies one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from ..datasets.impressions import Made
from ..datasets.layouts import LAYOUTS, Layout
from ..datasets.merge import merge as merge_sets
from ..datasets.pairs import MOST_IMPOSTORS, write_pairs
from ..datasets.plan import Entry, Plan
from ..datasets.request import DatasetRequest, OpenDataset, needs_nbis
from ..datasets.table import Row, read_part, read_settings
from ..datasets.transactions import Transactions
from ..datasets.verify import verify as verify_set
from ..datasets.writer import Encoding, finish
from ..errors import BadInput, Incomplete, say
from ..files import locked
from ..images import Pixels, contact_sheet, decode_image, save_image
from .dataset_cluster import SetWriting
from .kit import Running, Writing, as_one
from .progress import ImageProgress, ended_by_sigterm, progress_of_steps


class Shard(click.ParamType):
    """The shard of a set that this machine makes: `i/n`, counted from 1."""

    name = "I/N"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", value, re.ASCII)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            self.fail(f"{value!r}: write 2/8 for the second of eight.", param, ctx)
        return int(match[1]), int(match[2])


@dataclass(frozen=True)
class Arrangement:
    """How a set lies in its folder, and which part of it this run makes, checks or brings there."""

    layout: str
    database: int
    pairs: bool
    impostors: int
    gate: str | None
    distinct: int | None
    transactions: bool
    shard: tuple[int, int]
    verify: bool
    merge: tuple[Path, ...]

    @property
    def bounds(self) -> dict[str, float] | None:
        """What the gate asks for."""
        if self.gate is None:
            return None
        needs_nbis("--gate")
        from ..datasets.gate import parse_gate

        return parse_gate(self.gate)


arrangement = as_one(
    "arrangement",
    Arrangement,
    click.option(
        "--layout",
        type=click.Choice(list(LAYOUTS)),
        default="flat",
        show_default=True,
        help="One folder; DB1_A and DB1_B as in the FVC competitions; or tar files of WebDataset.",
    ),
    click.option(
        "--database",
        type=click.IntRange(1, 9),
        default=1,
        show_default=True,
        help="Layout fvc: the n of DBn_A.",
    ),
    click.option("--pairs", is_flag=True, help="Write the FVC protocol's genuine and impostor pairs."),
    click.option(
        "--impostors",
        type=click.IntRange(1),
        default=MOST_IMPOSTORS,
        show_default=True,
        help="Most pairs of the impostor list; of more, as many at even distances.",
    ),
    click.option(
        "--gate",
        metavar="NAME=VALUE,...",
        help="Make images again, with another draw, until MINDTCT finds this part of the true minutiae"
        " (recall), no more than this part of others (spurious), and NFIQ 2 gives this score (nfiq2): such as"
        " recall=0.85,spurious=0.15,nfiq2=20. Needs the extra eval.",
    ),
    click.option(
        "--distinct",
        type=click.IntRange(1),
        metavar="SCORE",
        help="Give other seeds to fingers whose first impression matches that of another finger, with this"
        " Bozorth3 score or more, such as 40. Needs the extra eval.",
    ),
    click.option(
        "--transactions",
        is_flag=True,
        help="With --subjects: write one ANSI/NIST-ITL transaction per subject, with its images and"
        " templates.",
    ),
    click.option(
        "--shard",
        type=Shard(),
        default="1/1",
        show_default=True,
        help="Make the I-th of N shares of the set, on one of N machines.",
    ),
    click.option(
        "--verify",
        is_flag=True,
        help="Decode and hash every file of the set in --out.",
    ),
    click.option(
        "--merge",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        multiple=True,
        help="Folder of a shard to bring into --out; may be given several times.",
    ),
)


@dataclass(frozen=True)
class DatasetRun:
    """One run of the command that makes images.

    Attributes:
        request: What the set is.
        opened: What makes it.
        arrangement: How it lies in its folder.
        writing: Where it goes.
        running: How a bundle is run.
        workers: Threads.
        backend: That runs the bundle here; None: there is no bundle.
    """

    request: DatasetRequest
    opened: OpenDataset
    arrangement: Arrangement
    writing: SetWriting
    running: Running
    workers: int
    backend: str | None

    def write(self) -> None:
        """Make the set, or only its sheet."""
        tiles: dict[tuple[int, int], Made] = {}

        def see(entry: Entry, made: Made) -> None:
            tiles[entry.finger, entry.impression] = made

        place, grid, how = self.writing.place, self.writing.grid, self.arrangement
        if place is None:
            self._show(see)
            assert grid is not None  # Writing has seen to it
            self._write_sheet(grid, self.request.plan(), None, tiles)
            self._report(None, self.request.fingers * self.request.impressions)
            return
        again = self.writing.resume
        with (
            progress_of_steps() as progress,
            ended_by_sigterm(f"{place} is continued {'by the same command' if again else 'with --resume'}"),
            self.writing.production(self.running, self.backend) as (out, production),
        ):
            done = production(
                self.request,
                self.opened,
                out,
                how.shard,
                self.workers,
                progress,
                impostors=how.impostors if how.pairs else None,
                overwrite=self.writing.overwrite,
                resume=self.writing.resume,
                see=see if grid is not None else None,
            ).run()
        if grid is not None:
            self._write_sheet(grid, done.layout.plan, done.layout, tiles)
        self._report(done.layout, done.made, done.kept, done.refused)
        if not done.whole:
            first, of = how.shard
            say(f"{place}: shard {first} of {of} is whole; impressions.csv comes with the last one", err=True)

    def _show(self, see: Callable[[Entry, Made], None]) -> None:
        """Make the images of a sheet alone."""
        plan = self.request.plan()
        progress = ImageProgress(plan.images)
        every = (entry for part in plan.parts for entry in plan.entries(part))
        with closing(self.opened.maker.images(every, see)) as images:
            for _ in images:
                progress.made(1)
        progress.close()

    def _write_sheet(
        self, grid: Path, plan: Plan, layout: Layout | None, tiles: Mapping[tuple[int, int], Made]
    ) -> None:
        images, labels, own = [], [], []
        for part in plan.own_parts:
            rows: dict[tuple[int, int], Row] = (
                {} if layout is None else {_key(row): row for row in read_part(layout.folder, part)}
            )
            for entry in plan.entries(part):
                key = (entry.finger, entry.impression)
                if key in tiles:
                    images.append(tiles[key].pixels)
                    labels.append(tiles[key].label)
                    columns: Mapping[str, str] = tiles[key].columns
                else:
                    assert layout is not None
                    columns, file = rows[key], rows[key]["file"]
                    images.append(_pixels(layout.read(part, file), file))
                    labels.append(f"{entry.seed} {entry.impression}")
                own.append({"seed": str(entry.seed), "impression": str(entry.impression), **columns})
        listed = ("seed", "impression", "class", "direction", "degree")
        lists = {key: ",".join(each.get(key, "") for each in own) for key in listed}
        grid.parent.mkdir(parents=True, exist_ok=True)
        sheet = contact_sheet(images, plan.impressions, labels=labels)
        shown = {key: text for key, text in lists.items() if text.strip(",")}
        save_image(grid, sheet, self.opened.encoding.ppi, {**self.opened.encoding.shared, **shown})

    def _report(self, layout: Layout | None, made: int, kept: int = 0, refused: int = 0) -> None:
        place, grid, ppi = self.writing.place, self.writing.grid, self.opened.encoding.ppi
        if self.writing.as_json:
            # A line per image: a set may be larger than memory.
            click.echo('{"images": [', nl=False)
            for number, image in enumerate(self._images(layout)):
                click.echo(("," if number else "") + "\n  " + json.dumps(image), nl=False)
            end = {
                "written": made if place else 0,
                "kept": kept,
                "ppi": ppi,
                "grid": str(grid) if grid else None,
            }
            click.echo("],\n" + json.dumps(end, indent=2)[2:])
            return
        if place:
            line = f"{place}: {made} images of {ppi:g} ppi" + (f", {kept} kept" if kept else "")
            say(line + (f", {refused} made again" if refused else ""))
        if grid:
            say(f"{grid}: sheet of {made + kept} images")

    def _images(self, layout: Layout | None) -> Iterator[Mapping[str, Any]]:
        shared = self.opened.encoding.shared
        plan = self.request.plan() if layout is None else layout.plan
        for part in plan.own_parts:
            if layout is None:
                for entry in plan.entries(part):
                    yield {
                        "file": None,
                        **shared,
                        "seed": str(entry.seed),
                        "impression": str(entry.impression),
                    }
                continue
            for row in read_part(layout.folder, part):
                own = {key: value for key, value in row.items() if value}
                yield {**shared, **own, "file": str(layout.folder / row["file"])}


def use_existing(arrangement: Arrangement, writing: Writing, workers: int) -> None:
    """Merge or verify sets that exist."""
    out = writing.out
    if out is None:
        raise click.UsageError("give --out DIR, the folder of the set")
    found = read_settings(arrangement.merge[0] if arrangement.merge else out)
    try:
        plan = Plan(
            found["fingers"],
            found["impressions"],
            found["first_seed"],
            shard=arrangement.shard,
            subjects=found.get("subjects", False),
        )
        layout = LAYOUTS[found["layout"]](out, plan, found["database"])
        encoding = Encoding(found["format"], found["templates"], found["ppi"], {})
    except (KeyError, TypeError) as error:
        raise BadInput(
            f"{out}: dataset.json: {error} is missing or wrong; an older FingerGen made it"
        ) from None
    if arrangement.merge:
        with locked(out):
            added = merge_sets(layout, arrangement.merge)
            whole = finish(layout)
            if whole and arrangement.pairs:
                write_pairs(layout, encoding, arrangement.impostors)
        state = "the set is whole" if whole else "some shards are missing"
        say(f"{out}: {added} parts added, {state}")
    if arrangement.verify:
        progress = ImageProgress(plan.own_images)
        transactions = Transactions(layout, encoding.ppi) if found.get("transactions") else None
        wrong = 0
        with closing(verify_set(layout, workers, progress, transactions)) as lines:
            for line in lines:
                wrong += 1
                say(line, err=True)
        layout.close()
        progress.close()
        if wrong:
            raise Incomplete(f"{out}: {wrong} things are wrong, listed above")
        say(f"{out}: {plan.own_images} images, all as they were written")


def _key(row: Mapping[str, str]) -> tuple[int, int]:
    return int(row["finger"]), int(row["impression"])


def _pixels(content: bytes, name: str) -> Pixels:
    return np.asarray(decode_image(content, name).image)
