"""`fg-run convert`: fingerprint images and templates from one format to another."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import click

from .. import cbeff
from ..errors import BadInput, FingerGenError, say
from ..files import remove_partial, write_atomically
from ..minutiae import FORMATS as TEMPLATE_FORMATS
from ..minutiae import WRITABLE, Template, encode_template, is_template_file, read_template
from ..records import COMPRESSIONS, FORMATS, Content, Details, encode_record, read_record
from ..records.image import POSITIONS
from ..records.io import note_path
from .kit import FILE, FOLDER, Number, expanded, list_bad, warn
from .output import progress
from .templates import TemplateReading, template_reading

TRANSACTION = "ansi-nist"


@dataclass(frozen=True)
class Target:
    """A format that is written, of images or of templates."""

    name: str
    details: Details
    position: int | None
    in_cbeff: bool

    @property
    def extension(self) -> str:
        """File extension of the format, with its dot."""
        formats = FORMATS if self.name in FORMATS else TEMPLATE_FORMATS
        return formats[self.name].extensions[0]

    def parts(self, content: Content) -> Iterator[Content]:
        """Content as it goes into files, one each; BadInput if the format has no place for it."""
        if self.name in FORMATS:
            images = content.images
            if self.position is not None:
                images = tuple(replace(image, position=self.position) for image in images)
            templates = content.templates if self.name == TRANSACTION else ()
            if not images and not templates:
                raise BadInput("holds no image, only minutiae: fg-run reconstruct makes images of templates")
            if FORMATS[self.name].several:
                yield Content(images, templates)
            else:
                yield from (Content((image,)) for image in images)
            return
        if not content.templates:
            raise BadInput("holds no minutiae, only images: extract them with other software")
        yield from (Content(templates=(template,)) for template in content.templates)

    def write(self, path: Path, content: Content, source: Path, overwrite: bool) -> None:
        """Write one file in the format, atomically, and the note beside it, if there is one; `source`: whose
        content it is, which errors name."""
        try:
            data, note = self._encoded(content)
        except BadInput as error:
            raise BadInput(f"{source}, as {path.name}: {error}") from None
        try:
            if note is not None:
                write_atomically(note_path(path), note, new=not overwrite)
            write_atomically(path, data, new=not overwrite)
        except FileExistsError as error:
            raise BadInput(f"{error.filename}: exists already (--overwrite replaces it)") from None

    def _encoded(self, content: Content) -> tuple[bytes, bytes | None]:
        """The bytes of a file and of the note beside it, if there is one."""
        extended, note = False, None
        if self.name in FORMATS:
            data, note = encode_record(content, self.name, self.details)
        else:
            (template,) = content.templates
            data, extended = encode_template(template, self.name), bool(template.cores or template.deltas)
        if self.in_cbeff:
            data = cbeff.wrap(data, self.name, extended, self.details.captured)
        return data, note


@click.command()
@click.argument("inputs", metavar="FILE...", nargs=-1, required=True, type=FILE, callback=expanded)
@click.option("--to", required=True, type=click.Choice([*FORMATS, *WRITABLE]), help="Format that is written.")
@click.option("--out", required=True, type=FOLDER, help="Directory for the files; made if it is not there.")
@click.option(
    "--from",
    "source",
    type=click.Choice([*FORMATS, *TEMPLATE_FORMATS]),
    help="Format that is read.  [default: by content and extension]",
)
@click.option(
    "--compression",
    type=click.Choice(list(COMPRESSIONS)),
    help="Of images in records; jp2 and wsq are at 15:1.  [default: none; in ansi-nist wsq]",
)
@click.option(
    "--image-size",
    type=(click.IntRange(1), click.IntRange(1)),
    metavar="WIDTH HEIGHT",
    help="Of raw images.",
)
@click.option(
    "--image-ppi",
    type=Number(1, 10000),
    help="Resolution of the images, whatever they say; needed where they do not say it.",
)
@click.option(
    "--position",
    type=click.IntRange(POSITIONS.start, POSITIONS.stop - 1),
    help="Which finger: 0 unknown, 1-5 right thumb to little finger, 6-10 left.  [default: as the file says]",
)
@click.option(
    "--record-type",
    type=click.Choice(["14", "4"]),
    default="14",
    show_default=True,
    help="Of images in ansi-nist; 4 is for receivers of before 2000.",
)
@click.option(
    "--date",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    help="Capture date in records, UTC.  [default: now]",
)
@click.option(
    "--cbeff",
    "in_cbeff",
    is_flag=True,
    help="Wrap records in CBEFF, the PIV patron format of NIST SP 800-76, not signed: of "
    + ", ".join(cbeff.IDENTIFIERS)
    + ".",
)
@click.option("--overwrite", is_flag=True, help="Replace what exists.")
@template_reading
def convert(
    inputs: Sequence[Path],
    to: str,
    out: Path,
    source: str | None,
    compression: str | None,
    image_size: tuple[int, int] | None,
    image_ppi: float | None,
    position: int | None,
    record_type: str,
    date: datetime | None,
    in_cbeff: bool,
    overwrite: bool,
    reading: TemplateReading,
) -> None:
    """Convert fingerprint images and templates between formats.

    Images: PNG, TIFF, BMP, PGM, raw, JPEG 2000, WSQ, ISO/IEC 19794-4 and 39794-4 records, ANSI/NIST-ITL
    transactions. Templates: those that FingerGen writes. Records in CBEFF are read too. An ANSI/NIST-ITL
    transaction holds both: files of one name, such as finger.png and finger.fmr, go into one, and can be
    extracted from it. A file with several images becomes several files where the format holds one. Files that
    cannot be used are listed on standard error, the others are done, and the exit code is 3. For more files
    than a shell can pass, quote the pattern: 'prints/*.png'.

    \b
    Examples:
      fg-run convert prints/*.png --to wsq --out wsq
      fg-run convert finger.png finger.fmr --to ansi-nist --out transactions
      fg-run convert finger.an2 --to ansi378-2009 --out templates
      fg-run convert finger.fmr --to ansi378-2004 --cbeff --out cards
      fg-run convert scan.raw --image-size 500 600 --image-ppi 500 --to iso19794-4-2011 --out records
    """
    if in_cbeff and to not in cbeff.IDENTIFIERS:
        raise click.UsageError(f"--cbeff: wraps {', '.join(cbeff.IDENTIFIERS)}, not {to}")
    when = datetime.now(UTC) if date is None else date
    target = Target(to, Details(compression, when, int(record_type)), position, in_cbeff)

    def read(path: Path) -> Content:
        if source in TEMPLATE_FORMATS or (source is None and is_template_file(path)):
            return Content(templates=(_template(path, source, reading),))
        return read_record(path, source, size=image_size, ppi=image_ppi)

    written: dict[Path, Path] = {}
    bad = []
    groups, given = _groups(inputs, to).values(), {each.resolve() for each in inputs}
    with progress(groups, len(groups), "files") as bar:
        for paths in bar:
            try:
                contents = [read(path) for path in paths]
                merged = Content(
                    tuple(image for content in contents for image in content.images),
                    tuple(template for content in contents for template in content.templates),
                )
                for path, part in _named(paths[0], target, merged, out):
                    _check_place(path, paths[0], given, written, overwrite)
                    _write(target, path, part, paths[0], overwrite)
                    written[path] = paths[0]
            except BadInput as error:
                if len(inputs) == 1:
                    raise
                bad.append(str(error))
    remove_partial(out, {each.name for path in written for each in (path, note_path(path))})
    say(f"{out}: {len(written)} {'file' if len(written) == 1 else 'files'} written as {to}")
    list_bad(bad, len(inputs))


def _write(target: Target, path: Path, content: Content, source: Path, overwrite: bool) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        target.write(path, content, source, overwrite)
    except OSError as error:  # no place for the other files either
        place = error.filename or path
        raise FingerGenError(f"{place}: cannot be written ({error.strerror}); give another --out") from None


def _template(path: Path, source: str | None, reading: TemplateReading) -> Template:
    width, height = reading.template_size or (None, None)
    template = read_template(
        path,
        source or reading.template_format,
        width=width,
        height=height,
        ppi=reading.template_ppi,
        view=reading.view,
        strict=reading.strict,
        on_warning=warn,
    )
    if (count := len(template.minutiae)) < reading.min_minutiae:
        raise BadInput(f"{path}: holds {count} minutiae, fewer than --min-minutiae {reading.min_minutiae}")
    return template


def _groups(inputs: Sequence[Path], to: str) -> dict[str, list[Path]]:
    """Files that are written together: those of one name for a transaction, else each by itself."""
    groups: dict[str, list[Path]] = {}
    for path in inputs:
        groups.setdefault(path.stem if to == TRANSACTION else str(path), []).append(path)
    return groups


def _named(source: Path, target: Target, content: Content, out: Path) -> Iterator[tuple[Path, Content]]:
    try:
        parts = list(target.parts(content))
    except BadInput as error:
        raise BadInput(f"{source}: {error}") from None
    for number, part in enumerate(parts, 1):
        name = source.stem if len(parts) == 1 else f"{source.stem}_{number}"
        yield out / f"{name}{target.extension}", part


def _check_place(
    path: Path, source: Path, given: Container[Path], written: dict[Path, Path], overwrite: bool
) -> None:
    """BadInput if `path` is `given`, was written for another file, or exists and is not to be replaced."""
    if path.resolve() in given or note_path(path).resolve() in given:
        raise BadInput(f"{path}: is read and would be replaced; give another --out")
    if path in written:
        raise BadInput(f"{source}: its file would be named as that of {written[path]}; rename one")
    if path.exists() and not overwrite:
        raise BadInput(f"{path}: exists already (--overwrite replaces it)")
