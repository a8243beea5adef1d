"""The files of a dataset, in a folder or in WebDataset shards, behind one face.

A shard is a tar archive whose members of one name but for what follows the first dot make a sample:
`0001_01.png` with `0001_01.json` or `0001_01.map.png`. Shards are read at random, by the places of their
members, instead of as streams with a shuffle buffer (as the library `webdataset` does): a batch must follow
from the seed and the count of images alone, so that a killed run continues with the images it would have had.
"""

import io
import os
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from fingergen.runtime.errors import BadInput
from fingergen.runtime.files import replacing
from fingergen.runtime.images import is_whole
from fingergen.runtime.minutiae import FORMATS, decode_template

IMAGE_SUFFIXES = (
    *(".png", ".tif", ".tiff", ".bmp", ".jpg", ".jpeg", ".wsq"),  # in the order of preference in a shard
    *(".jp2", ".j2k", ".pgm", ".ppm", ".pbm", ".pnm", ".webp", ".gif"),
)
TEMPLATE_SUFFIXES = tuple(sorted({e for known in FORMATS.values() for e in known.extensions}))
MAP, RIDGES = ".map", ".ridges"  # before the suffix of a minutiae map or ridge map in a shard


@dataclass(frozen=True)
class StoredFile:
    """A file, or the part of one that is a tar archive's member `member`."""

    path: Path
    member: str = ""
    offset: int = 0
    size: int = -1

    def __str__(self) -> str:
        return f"{self.path}: {self.member}" if self.member else str(self.path)

    @property
    def name(self) -> str:
        return self.member or self.path.name

    def read(self) -> bytes:
        """Its bytes; BadInput if it cannot be read."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                return file.read(self.size)
        except OSError as error:
            raise BadInput(f"{self.path}: cannot be read ({error.strerror})") from error


@dataclass(frozen=True)
class Sample:
    """An image with, if they are there, its template, its minutiae map and its ridge map.

    key: the image's path below the dataset's folder, without extension.
    """

    key: str
    image: StoredFile
    template: StoredFile | None = None
    map: StoredFile | None = None
    ridges: StoredFile | None = None


def is_intact(path: Path) -> bool:
    """Whether an image or a template is there and can be read to its end, for what continues a dataset."""
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return is_whole(path)
    try:
        decode_template(path.read_bytes(), path, on_warning=lambda _: None)
    except (BadInput, OSError):
        return False
    return True


def find_samples(data: Path) -> list[Sample]:
    """The samples of a dataset, sorted by key.

    data: a folder of images (below `images`, if it has that folder) with `templates`, `maps` and `ridges`; a
    folder of shards, or one shard. Of a dataset that is split it is the part `train`. BadInput if there is
    no image.
    """
    if data.is_dir() and not (data / "images").is_dir() and (data / "train").is_dir():
        data = data / "train"
    if data.suffix == ".tar" and data.is_file():
        samples = _samples_in_shards([data])
    elif not data.is_dir():
        found = "is not a folder" if data.exists() else "no such folder"
        raise BadInput(f"{data}: {found}; give a folder of images or of shards with --data")
    elif shards := sorted(data.glob("*.tar")):
        samples = _samples_in_shards(shards)
    else:
        samples = _samples_in_folder(data)
    if not samples:
        raise BadInput(f"{data}: holds no image ({', '.join(IMAGE_SUFFIXES)}); give another --data")
    return sorted(samples, key=lambda sample: (sample.key, sample.image.path))


def find_images(folder: Path, unreadable: dict[Path, str] | None = None) -> list[Path]:
    """The image files below a folder, sorted; hidden ones, such as macOS leaves beside others, are not, nor
    what hidden folders hold.

    Links to folders are followed, each folder once. BadInput if a folder cannot be read; with `unreadable`,
    folders below `folder` that cannot be read go there instead, with the reason.
    """
    return _files(folder, IMAGE_SUFFIXES, unreadable)


def find_files(folder: Path, unreadable: dict[Path, str] | None = None) -> list[Path]:
    """All files below a folder, sorted, but hidden ones; links and `unreadable` as in `find_images`."""
    return sorted(_walk(folder, unreadable))


def write_shards(samples: Sequence[Sample], folder: Path, size: int) -> list[Path]:
    """Write samples to `folder`/000000.tar and so on, `size` a shard; each appears whole or not at all.

    The same samples give the same bytes. Returns the shards.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shards = []
    for number, start in enumerate(range(0, len(samples), size)):
        shard = folder / f"{number:06d}.tar"
        with replacing(shard) as temporary, tarfile.open(temporary, "w") as archive:
            for sample in samples[start : start + size]:
                _add(archive, sample)
        shards.append(shard)
    return shards


def _files(folder: Path, suffixes: Iterable[str], unreadable: dict[Path, str] | None = None) -> list[Path]:
    known = set(suffixes)
    return sorted(path for path in _walk(folder, unreadable) if path.suffix.lower() in known)


def _walk(folder: Path, unreadable: dict[Path, str] | None = None) -> Iterator[Path]:
    """The files below a folder that are not hidden; none if it is not there.

    What links lead to comes after everything that is really there, so that a folder beside a link to it has
    its own name. A link up the tree, to a folder that holds `folder`, leads nowhere.
    """
    if not folder.is_dir():
        return
    seen = {_identity(each) for each in (folder.resolve(), *folder.resolve().parents)}
    waiting: list[Path] = [folder]
    links: list[Path] = []
    while waiting or links:
        here = waiting.pop() if waiting else links.pop(0)
        try:
            if here != folder:
                if (identity := _identity(here)) in seen:
                    continue
                seen.add(identity)
            with os.scandir(here) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    path = here / entry.name
                    if entry.name.startswith("."):
                        continue
                    if path.is_dir() if entry.is_symlink() else entry.is_dir():
                        (links if entry.is_symlink() else waiting).append(path)
                    # A link that leads nowhere is a file that cannot be read, not one that is not there.
                    elif (path.is_file() or not path.exists()) if entry.is_symlink() else entry.is_file():
                        yield path
        except OSError as error:
            reason = f"cannot be read ({error.strerror}); make it readable or remove it"
            if unreadable is None or here == folder:
                raise BadInput(f"{here}: {reason}") from error
            unreadable[here] = reason


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _samples_in_folder(folder: Path) -> list[Sample]:
    whole = (folder / "images").is_dir()
    images = folder / "images" if whole else folder
    partners = {}
    kinds = {"templates": TEMPLATE_SUFFIXES, "maps": IMAGE_SUFFIXES, "ridges": IMAGE_SUFFIXES}
    for kind, suffixes in kinds.items():
        root = folder / kind
        files = _files(root, suffixes) if whole and root.is_dir() else []
        partners[kind] = {_key(path, root): StoredFile(path) for path in files}
    samples = []
    for image in find_images(images):
        key = _key(image, images)
        stored = StoredFile(image)
        samples.append(Sample(key, stored, *(partners[kind].get(key) for kind in kinds)))
    return samples


def _key(path: Path, root: Path) -> str:
    return path.relative_to(root).with_suffix("").as_posix()


def _samples_in_shards(shards: Iterable[Path]) -> list[Sample]:
    with ThreadPoolExecutor() as pool:
        return [sample for samples in pool.map(_samples_in_shard, shards) for sample in samples]


def _samples_in_shard(shard: Path) -> list[Sample]:
    groups: dict[str, dict[str, StoredFile]] = {}
    try:
        length = shard.stat().st_size
        with tarfile.open(shard, "r:") as archive:
            for member in archive:
                if not member.isfile():
                    continue
                if member.offset_data + member.size > length:
                    raise tarfile.ReadError("unexpected end of data")
                folder, _, name = member.name.rpartition("/")
                key, _, extension = name.partition(".")
                stored = StoredFile(shard, member.name, member.offset_data, member.size)
                group = groups.setdefault(f"{folder}/{key}" if folder else key, {})
                group[f".{extension.lower()}"] = stored
    except (OSError, tarfile.TarError) as error:
        reason = f"not a readable tar archive without compression ({error})"
        raise BadInput(f"{shard}: {reason}; repair or remove it") from error
    samples = []
    for key, group in groups.items():
        maps, ridges = ([mark + each for each in IMAGE_SUFFIXES] for mark in (MAP, RIDGES))
        image, *partners = (
            next((group[suffix] for suffix in suffixes if suffix in group), None)
            for suffixes in (IMAGE_SUFFIXES, TEMPLATE_SUFFIXES, maps, ridges)
        )
        if image:
            samples.append(Sample(unquote(key), image, *partners))
    return samples


def _add(archive: tarfile.TarFile, sample: Sample) -> None:
    parts = ((sample.image, ""), (sample.template, ""), (sample.map, MAP), (sample.ridges, RIDGES))
    for file, mark in parts:
        if file:
            # What follows the first dot is the extension, so that a name's own dots must not stand there.
            key = quote(sample.key, safe="/ ").replace(".", "%2E")
            member = tarfile.TarInfo(f"{key}{mark}{Path(file.member or file.path).suffix.lower()}")
            content = file.read()
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
