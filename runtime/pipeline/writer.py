"""From images to files: the only way from a command's images into its folder."""

from __future__ import annotations

import re
from collections.abc import Container, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, overload

from .. import minutiae
from ..errors import BadInput
from ..files import make_folder, remove_partial, write_atomically
from ..images import FORMATS, Pixels, Provenance, files_of, is_whole, read_provenance, save_image
from .stages import Pipeline, Stage

if TYPE_CHECKING:
    from ..minutiae import Template

VERSIONS = {"fingergen", "Software"}  # of provenance: a newer FingerGen may go on where an older one stopped
NAME_OF_SEED = re.compile(r"\d{8}|[1-9]\d{8,19}", re.ASCII)  # see `Planned.of_seed`


class Planned(NamedTuple):
    """An image to be made: its file name without extension, its label on a sheet, its own provenance."""

    name: str
    label: str
    provenance: Provenance

    @staticmethod
    def of_seed(seed: int) -> Planned:
        """The image of a seed."""
        return Planned(f"{seed:08d}", str(seed), {"seed": str(seed)})


class PlannedSeeds(Sequence[Planned]):
    """The images of seeds, none of which is held: there may be far more than fit into memory."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self.seeds = seeds

    def __len__(self) -> int:
        return len(self.seeds)

    @overload
    def __getitem__(self, index: int) -> Planned: ...
    @overload
    def __getitem__(self, index: slice) -> PlannedSeeds: ...
    def __getitem__(self, index: int | slice) -> Planned | PlannedSeeds:
        if isinstance(index, slice):
            return PlannedSeeds(self.seeds[index])
        return Planned.of_seed(self.seeds[index])

    def __iter__(self) -> Iterator[Planned]:
        return map(Planned.of_seed, self.seeds)

    def named(self, name: str) -> Planned | None:
        """The image with this name; None if it is not among these."""
        if NAME_OF_SEED.fullmatch(name) and int(name) in self.seeds:
            return Planned.of_seed(int(name))
        return None


def write_images(impressions: Iterable[PlannedImage], workers: int) -> Generator[PlannedImage]:
    """Write impressions as they come, on `workers` threads, and hand each on when it is written.

    Few are held at a time; their order is not kept. Raises the first error of a write or of `impressions`.
    Close it (`contextlib.closing`): that ends its threads where the iteration is left early.
    """

    def write(impression: PlannedImage) -> list[PlannedImage]:
        impression.write()
        return [impression]

    yield from Pipeline(impressions, [Stage("write", write, workers, room=4 * workers)])


class Folder(NamedTuple):
    """Where the images of one command go, all of one resolution and with some provenance in common.

    Images that exist are an error, or replaced, or kept if their provenance is what they would get now.

    Attributes:
        path: None: images are not written.
        image_format: One of `images.FORMATS`.
        ppi: Of all images.
        shared: Provenance of all images.
        overwrite: Replace what exists.
        resume: Keep what exists.
        template_formats: Of the templates beside the images, names in `minutiae.WRITABLE`.
    """

    path: Path | None
    image_format: str
    ppi: float
    shared: Provenance
    overwrite: bool = False
    resume: bool = False
    template_formats: Sequence[str] = ()

    def file(self, planned: Planned) -> Path:
        """The file of a planned image."""
        return self._named(planned, FORMATS[self.image_format])

    def templates(self, planned: Planned) -> dict[str, Path]:
        """The files of the templates beside a planned image, by their formats."""
        return {
            each: self._named(planned, minutiae.FORMATS[each].extensions[0]) for each in self.template_formats
        }

    def files(self, planned: Planned) -> list[Path]:
        """All files of a planned image, the image first."""
        return [*files_of(self.file(planned)), *self.templates(planned).values()]

    def _named(self, planned: Planned, extension: str) -> Path:
        return (self.path or Path()) / f"{planned.name}{extension}"

    def provenance(self, planned: Planned) -> Provenance:
        """All that a planned image's file says."""
        return {**self.shared, **planned.provenance}

    def impression(self, planned: Planned, image: Pixels, template: Template | None = None) -> PlannedImage:
        """A planned image with its place and all that its file says; `template`: of those beside it."""
        return PlannedImage(self, planned, image, template)

    def is_missing(self, planned: Planned) -> bool:
        """Whether an image is to be made: it or its template is absent, or it is damaged or to be replaced.

        Raises:
            BadInput: It exists and may neither be replaced nor kept.
        """
        path = self.file(planned)
        if self.path is None or self.overwrite:
            return True
        there = [each for each in self.files(planned) if each.exists()]
        if there and not self.resume:
            raise BadInput(f"{there[0]}: exists already (--overwrite replaces, --resume keeps what is there)")
        if path not in there or not is_whole(path):  # as a full disk or a power failure may leave it
            return True
        found = read_provenance(path)
        wanted = self.provenance(planned)
        for key in sorted((found.keys() | wanted.keys()) - VERSIONS):
            if found.get(key) != wanted.get(key):
                raise BadInput(
                    f"{path}: its {key} is {found.get(key)}, here it is {wanted.get(key)}: --resume keeps"
                    " only images that the same command made; give another --out, or --overwrite"
                )
        return not set(self.templates(planned).values()).issubset(there)

    def check(self, planned: PlannedSeeds) -> None:
        """Look, before the work, whether the folder holds an image that may neither be replaced nor kept.

        It reads the folder's names instead of asking for each image, of which there may be very many; with
        --resume it looks into one image that exists, and `is_missing` into the others when their turn comes.

        Raises:
            BadInput: There is such an image.
        """
        if self.path is None or self.overwrite or not self.path.is_dir():
            return
        files = FilesOfSeeds(planned, self)
        for path in self.path.iterdir():
            if (found := files.image_of(path.name)) is not None:
                self.is_missing(found)
                return

    def refuse_inputs(
        self, planned: Iterable[Planned], inputs: Iterable[Path], other: Sequence[Path]
    ) -> None:
        """`BadInput` if a planned image or a file of `other`, to be written too, is one of those read."""
        read = {path.resolve() for path in inputs}
        written = list(other)
        for path in map(self.file, planned) if self.path else ():
            written += files_of(path)
        for path in written:
            if path.resolve() in read:
                raise BadInput(f"{path}: is read and would be replaced; give another --out or --grid")

    def make(self, names: Container[str]) -> None:
        """Make the folder, without what a killed run left of files with these names.

        Raises:
            BadInput: It cannot be written into.
        """
        if self.path is not None:
            make_folder(self.path)
            remove_partial(self.path, names)


class PlannedImage(NamedTuple):
    """An image that was planned, and its place."""

    folder: Folder
    planned: Planned
    image: Pixels
    template: Template | None = None

    @property
    def path(self) -> Path:
        """Path of its file; see `Folder.file`."""
        return self.folder.file(self.planned)

    def write(self) -> None:
        """Write its templates and then the image file, each atomically, as `images.save_image` does.

        Raises:
            BadInput: another process has written one in the meantime that may neither be replaced nor kept.
        """
        folder = self.folder
        if self.template is not None:
            for name, path in folder.templates(self.planned).items():
                write_atomically(path, minutiae.FORMATS[name].encode_carried(self.template))
        content = self.path, self.image, folder.ppi, folder.provenance(self.planned)
        try:
            save_image(*content, new=not folder.overwrite)
        except FileExistsError:
            if folder.is_missing(self.planned):  # a damaged one
                save_image(*content)


class FilesOfSeeds(Container[str]):
    """Names of the files of planned images in a folder."""

    def __init__(self, planned: PlannedSeeds, folder: Folder) -> None:
        self._planned = planned
        self._folder = folder

    def image_of(self, name: str) -> Planned | None:
        """The planned image that a file with this name belongs to; None if it belongs to none."""
        planned = self._planned.named(name.partition(".")[0])
        if planned is None or name not in {path.name for path in self._folder.files(planned)}:
            return None
        return planned

    def __contains__(self, name: object) -> bool:
        return self.image_of(str(name)) is not None
