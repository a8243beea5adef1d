"""`fg-train prepare`."""

import json
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from fingergen.runtime.backends import usable_cores
from fingergen.runtime.cli.kit import Number, RenamedOption
from fingergen.runtime.errors import BadInput, BadOption, say
from fingergen.runtime.files import locked, write_atomically
from fingergen.runtime.minutiae import WRITABLE

from ..config import ConfigurableCommand
from ..data.metadata import INDEX, keep_metadata
from ..data.pool import in_processes
from ..data.prepare.convert import Task, convert, is_done, is_intact_task
from ..data.prepare.extractors import AFIS, NONE, load_extractor
from ..data.prepare.raw import (
    Plan,
    PrepareOptions,
    check,
    fingers_of,
    other_files,
    plan,
    printable,
    refuse_nameless,
)
from ..data.storage import find_images, find_samples, write_shards
from ..options import Window

REPORT, SKIPPED, SHARDS = "prepare.json", "skipped.txt", "shards"
SOME_SKIPPED = 3  # exit code


class ColorChoice(click.Choice[str]):
    """A choice that also takes the former spelling of "gray"."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return super().convert("gray" if value == "grey" else value, param, ctx)


@click.command(cls=ConfigurableCommand)
@click.argument("raw", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True,
              help="folder of the dataset; resumes the one in it")  # fmt: skip
@click.option("--size", type=Window(64, 4096), default="512", show_default=True,
              help="side, or WIDTHxHEIGHT, of the window around the print, in pixels")  # fmt: skip
@click.option("--target-ppi", type=click.IntRange(100, 4000), default=500, show_default=True,
              help="pixels per inch of the dataset; the encoder's training expects 500")  # fmt: skip
@click.option("--ppi", type=click.IntRange(min=1), help="pixels per inch of files that do not state it")
@click.option("--ignore-file-ppi/--no-ignore-file-ppi", default=False,
              help="use --ppi for all files, whatever they state")  # fmt: skip
@click.option("--resample/--no-resample", default=False,
              help="resample files of another ppi to the target instead of skipping them")  # fmt: skip
@click.option("--color", "--colour", "color", cls=RenamedOption, type=ColorChoice(["gray", "refuse"]),
              default="gray", show_default=True,
              help="convert color images to grayscale, or skip them")  # fmt: skip
@click.option(
    "--invert/--no-invert", default=False, help="the raw images have light ridges on a dark background"
)
@click.option("--background", type=click.Choice(["white", "keep"]), default="white", show_default=True,
              help="background around the print: white, or as it is")  # fmt: skip
@click.option("--extractor", default="leader", show_default=True,
              help=f"extractor of minutiae: {', '.join(AFIS)} (slow without the package numba), {NONE}, or "
                   "your own module:function, from a uint8 image and its ppi to a Template")  # fmt: skip
@click.option("--format", "template_format", type=click.Choice(WRITABLE), default="json",
              show_default=True, help="format of the templates")  # fmt: skip
@click.option(
    "--ridge-maps/--no-ridge-maps", default=False, help="also write ridge maps, for generator --noise ridges"
)
@click.option("--finger-pattern",
              help="regular expression for the finger in a path below RAW, without extension  [default: the "
                   "names of SD4, SD14, FVC and FINGER_IMPRESSION]")  # fmt: skip
@click.option("--test-fraction", type=Number(0, 1, max_open=True), default=0.0,
              show_default=True,
              help="fraction of fingers for OUT/test, the rest for OUT/train; 0: no split")  # fmt: skip
@click.option(
    "--shards", type=click.IntRange(min=1), help="also write WebDataset shards of this many images each"
)
@click.option("--processes", "--workers", "processes", cls=RenamedOption, type=click.IntRange(min=1),
              default=usable_cores(), show_default="usable CPU cores",
              help="worker processes that decode, extract and write")  # fmt: skip
def prepare(raw: Path, out: Path, shards: int | None, processes: int, **settings: Any) -> None:
    """Make a dataset for training from the raw scans in the folder RAW.

    Each print is found and cropped to a window of --size around it; its minutiae are extracted and drawn as a
    map. OUT gets images/, templates/ and maps/, with --ridge-maps also ridges/ (in train/ and test/ with
    --test-fraction), metadata.jsonl, and prepare.json, which reports what was found and what was skipped and
    why; skipped.txt lists the skipped files, one per line. The command can be interrupted at any time; run it
    again to resume.

    Exit code 0: all images are in the dataset; 3: some were skipped; 2: none could be used.

    \b
    Examples: NIST SD4; a database whose files state no resolution; mixed scanners
      fg-train prepare sd4/png_txt --out prints --test-fraction 0.1
      fg-train prepare FVC2002/DB1_B --ppi 500 --out prints
      fg-train prepare scans --resample --finger-pattern '^([^/]+)/' --out prints
    """
    options = PrepareOptions(**settings)
    _refuse_bad(raw, out)
    load_extractor(options.extractor)
    if options.ignore_file_ppi and options.ppi is None:
        raise BadOption("ignore-file-ppi", None, "give the resolution of the files with --ppi")
    found, unread, others = other_files(raw)
    paths = sorted([*find_images(raw, unread), *found])
    if not paths:
        if unread:
            path, reason = min(unread.items())
            raise BadInput(f"{raw}: contains no image that can be used ({path.relative_to(raw)}: {reason})")
        raise BadInput(
            f"{raw}: contains no image; give a folder of PNG, TIFF, BMP, JPEG, JPEG 2000 or WSQ files"
        )
    fingers = fingers_of(paths, raw, options.finger_pattern)
    if options.test_fraction and options.finger_pattern is None:
        refuse_nameless(paths, raw)
    # Checking is quick: a process for less than so many files would take longer to start.
    checked = dict(_with_bar("checking", partial(check, options), paths, min(processes, len(paths) // 100)))
    planned = plan(raw, checked, fingers, options)
    click.get_current_context().with_resource(locked(out))
    keep_metadata(out, options.as_json(), ["."])
    tasks = [Task(path, each, out / planned.parts[key], key) for key, (path, each) in planned.kept.items()]
    _refuse_strangers(tasks, options)
    kept = [task for task in tasks if is_done(task, options)]
    verified = _with_bar(
        "verifying", partial(is_intact_task, options), kept, min(processes, len(kept) // 100)
    )
    intact = {task.key for task, whole in verified if whole is True}  # and no line about a crash
    missing = [task for task in tasks if task.key not in intact]
    skipped = {**unread, **planned.skipped}
    for task, reason in _with_bar("preparing", partial(convert, options), missing, processes):
        if reason:
            skipped[task.source] = reason
    done = [task for task in tasks if task.source not in skipped]
    _report(raw, out, options, planned, done, skipped)
    if shards:
        for part in sorted({task.folder.relative_to(out) for task in done}):
            write_shards(find_samples(out / part), out / SHARDS / part, shards)
            write_atomically(out / SHARDS / part / INDEX, (out / part / INDEX).read_bytes())
    if not done:
        path, reason = min(skipped.items())
        raise BadInput(
            f"{raw}: none of its {len(paths)} images can be used ({path.relative_to(raw)}: {reason})"
        )
    count = len({planned.fingers[task.key] for task in done})
    say(f"{out}: {len(done)} images of {count} fingers, {len(skipped)} skipped")
    if len(planned.findings["ppi"]) > 1:
        mixed = ", ".join(f"{each} ({number})" for each, number in planned.findings["ppi"].items())
        say(f"mixed resolutions in ppi, now all {options.target_ppi}: {mixed}", err=True)
    if several := planned.findings["same_image_under_different_fingers"]:
        say(f"{several} images occur under the names of different fingers", err=True)
    if others:
        kinds = ", ".join(
            f"{suffix or 'without extension'} ({count})" for suffix, count in sorted(others.items())
        )
        say(f"{others.total()} files are no images and were left alone: {kinds}", err=True)
    if skipped:
        say(f"{out / SKIPPED} lists the skipped files with the reasons", err=True)
        raise SystemExit(SOME_SKIPPED)


def _refuse_bad(raw: Path, out: Path) -> None:
    if not raw.is_dir():
        found = "is not a folder" if raw.exists() else "no such folder"
        raise BadInput(f"{raw}: {found}; give a folder of scans")
    if out.resolve().is_relative_to(raw.resolve()):
        raise BadOption("out", out, f"lies in {raw}, whose images are read; choose another --out")


def _refuse_strangers(tasks: Sequence[Task], options: PrepareOptions) -> None:
    """BadInput if the dataset holds an image that its raw folder no longer accounts for."""
    expected = {task.files(options)["images"] for task in tasks}
    for folder in {task.folder for task in tasks}:
        for path in find_images(folder / "images"):
            if path not in expected:
                raise BadInput(
                    f"{path}: its raw file is gone or no longer used; remove it or choose another --out"
                )


def _crashed(item: object) -> str:
    """The result for a file on which a process died."""
    return "its decoder crashed or ran out of memory; repair or remove it"


def _with_bar(name: str, function: Any, items: Sequence[Any], processes: int) -> Any:
    """`in_processes` with a progress bar."""
    with (
        tqdm(desc=name, total=len(items), unit="image", delay=0.5, leave=False) as bar,
        closing(
            in_processes(function, items, max(1, min(processes, len(items))), on_crash=_crashed)
        ) as results,
    ):
        for each in results:
            yield each
            bar.update()


def _report(
    raw: Path,
    out: Path,
    options: PrepareOptions,
    planned: Plan,
    done: Sequence[Task],
    skipped: dict[Path, str],
) -> None:
    """Write the index of each part, the report and the list of what was skipped."""
    parts: dict[str, dict[str, int]] = {}
    for folder in sorted({task.folder for task in done}):
        rows = [_row(task, options, raw, planned) for task in done if task.folder == folder]
        write_atomically(folder / INDEX, "".join(json.dumps(row) + "\n" for row in rows).encode())
        name = folder.relative_to(out).as_posix() if folder != out else "all"
        parts[name] = {"images": len(rows), "fingers": len({row["finger"] for row in rows})}
    reasons = [
        {"file": path.relative_to(raw).as_posix(), "reason": reason}
        for path, reason in sorted(skipped.items())
    ]
    report = {**options.as_json(), "parts": parts, **planned.findings, "skipped": reasons}
    write_atomically(out / REPORT, json.dumps(report, indent=2).encode() + b"\n")
    lines = "".join(f"{printable(each['file'])}: {each['reason']}\n" for each in reasons)
    write_atomically(out / SKIPPED, lines.encode())


def _row(task: Task, options: PrepareOptions, raw: Path, planned: Plan) -> dict[str, str]:
    """The line of an image in the index, as `fg-train synthesize-data` has it."""
    names = {"images": "image", "templates": "template", "maps": "map", "ridges": "ridges"}
    files = {
        names[kind]: path.relative_to(task.folder).as_posix() for kind, path in task.files(options).items()
    }
    source = task.source.relative_to(raw).as_posix()
    return {**files, "finger": planned.fingers[task.key], "source": source}
