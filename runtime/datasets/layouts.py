"""Where the files of a dataset go: a flat folder, the folders of the FVC competitions, or tar files.

A part's files arrive in any order, on any thread. In folders each is written as it comes. A tar file gets
them in the order of the part, so that the same set has the same bytes, and appears when the part is whole.
"""

from __future__ import annotations

import io
import tarfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ..errors import BadInput
from ..files import flush_folder, remove_partial, replacing, write_atomically
from .plan import PART, Entry, Plan
from .table import PARTS, SETTINGS, TABLE, part_of_table

FVC_TRAINING = 10  # fingers of DBn_B, as in the FVC competitions


class Layout(ABC):
    """Names and writes the files of a set in `folder`."""

    def __init__(self, folder: Path, plan: Plan, database: int = 1) -> None:
        self.folder = folder
        self.plan = plan
        self.database = database

    @abstractmethod
    def name(self, entry: Entry) -> str:
        """The name of an impression's files, relative to the folder, without extension."""

    @abstractmethod
    def folders(self) -> Sequence[str]:
        """Folders that images or tar files lie in, relative to the folder of the set."""

    def shard(self, part: int) -> str:
        """The tar file of a part; empty where files lie in folders."""
        return ""

    def begin(self, part: int, order: Sequence[Entry]) -> None:
        """`order`: the impressions of a part that will be stored."""
        for name in self.folders():
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def store(self, part: int, entry: Entry, files: Mapping[str, bytes]) -> None:
        """Write an impression's files, their contents by name; the last name is the image's."""

    def end(self, part: int) -> None:  # noqa: B027 - most layouts have nothing left to do
        """All impressions of a part are stored."""

    def close(self) -> None:  # noqa: B027
        """Leave nothing of parts that have not ended."""

    @abstractmethod
    def size(self, part: int, name: str) -> int | None:
        """Bytes of a stored file; None where it is not there."""

    @abstractmethod
    def read(self, part: int, name: str) -> bytes:
        """Content of a stored file."""

    @abstractmethod
    def owner(self, file: str) -> int | None:
        """The part of a file in one of `folders`; None for a file that this set does not have."""

    def sweep(self) -> None:
        """Remove what killed runs have left of this shard's files."""
        for name in self.folders():
            remove_partial(self.folder / name, _Own(self.plan, self.owner))
        remove_partial(self.folder / PARTS, _Own(self.plan, part_of_table))
        if self.plan.shard == (1, 1):
            remove_partial(self.folder, (SETTINGS, TABLE))


@dataclass(frozen=True)
class _Own:
    """The names of files of parts that this shard makes."""

    plan: Plan
    owner: Callable[[str], int | None]

    def __contains__(self, name: object) -> bool:
        return self.owner(str(name)) in self.plan.own_parts


class Flat(Layout):
    """All files in one folder: `00000005_2.png` is impression 2 of the finger of seed 5.

    They are sure to be on the disk when their part has ended.
    """

    def __init__(self, folder: Path, plan: Plan, database: int = 1) -> None:
        super().__init__(folder, plan, database)
        self._stored: dict[int, list[str]] = {}  # of parts under way

    def name(self, entry: Entry) -> str:
        return f"{self.plan.label(entry.finger):08d}_{entry.impression}"

    def folders(self) -> Sequence[str]:
        return ("",)

    def begin(self, part: int, order: Sequence[Entry]) -> None:
        super().begin(part, order)
        self._stored[part] = []

    def store(self, part: int, entry: Entry, files: Mapping[str, bytes]) -> None:
        for name, content in files.items():
            write_atomically(self.folder / name, content, flush=False)
        self._stored[part].extend(files)

    def end(self, part: int) -> None:
        flush_folder(self.folder, self._stored.pop(part))

    def close(self) -> None:
        self._stored.clear()

    def size(self, part: int, name: str) -> int | None:
        try:
            return (self.folder / name).stat().st_size
        except FileNotFoundError:
            return None

    def read(self, part: int, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def owner(self, file: str) -> int | None:
        seed, _, rest = file.partition("_")
        impression = rest.partition(".")[0]
        if not (seed.isascii() and seed.isdigit() and impression.isascii() and impression.isdigit()):
            return None
        return self._part(int(seed) - self.plan.first_seed, int(impression))

    def _part(self, finger: int, impression: int) -> int | None:
        inside = 0 <= finger < self.plan.fingers and 1 <= impression <= self.plan.impressions
        return finger // PART if inside else None


class Fvc(Flat):
    """As in the FVC competitions: `DB1_A/1_1.png`, counted from 1; the last ten fingers are in `DB1_B`."""

    def __init__(self, folder: Path, plan: Plan, database: int = 1) -> None:
        super().__init__(folder, plan, database)
        if plan.fingers <= FVC_TRAINING:
            raise BadInput(
                f"--layout fvc: {plan.fingers} fingers; give more than the {FVC_TRAINING} of set B"
            )

    def name(self, entry: Entry) -> str:
        part = "B" if entry.finger >= self.plan.fingers - FVC_TRAINING else "A"
        return f"DB{self.database}_{part}/{entry.finger + 1}_{entry.impression}"

    def folders(self) -> Sequence[str]:
        return f"DB{self.database}_A", f"DB{self.database}_B"

    def owner(self, file: str) -> int | None:
        finger, _, rest = file.partition("_")
        impression = rest.partition(".")[0]
        if not (finger.isascii() and finger.isdigit() and impression.isascii() and impression.isdigit()):
            return None
        return self._part(int(finger) - 1, int(impression))


class Shards(Layout):
    """Tar files of WebDataset, one per part; an impression's files have one name and several extensions."""

    def __init__(self, folder: Path, plan: Plan, database: int = 1) -> None:
        super().__init__(folder, plan, database)
        self._under_way: dict[int, _Tar] = {}
        self._lock = threading.Lock()
        self._open: tuple[str, tarfile.TarFile] | None = None

    def name(self, entry: Entry) -> str:
        return f"{self.plan.label(entry.finger):08d}_{entry.impression}"

    def folders(self) -> Sequence[str]:
        return ("shards",)

    def shard(self, part: int) -> str:
        return f"shards/{part:07d}.tar"

    def begin(self, part: int, order: Sequence[Entry]) -> None:
        super().begin(part, order)
        tar = _Tar(self.folder / self.shard(part), order)
        with self._lock:
            self._under_way[part] = tar

    def store(self, part: int, entry: Entry, files: Mapping[str, bytes]) -> None:
        self._under_way[part].add(entry, files)

    def end(self, part: int) -> None:
        with self._lock:
            tar = self._under_way.pop(part)
        tar.finish()

    def close(self) -> None:
        with self._lock:
            left = list(self._under_way.values())
            self._under_way.clear()
        for tar in left:
            tar.discard()
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def size(self, part: int, name: str) -> int | None:
        with self._lock:
            try:
                return self._reader(part).getmember(name).size
            except (KeyError, FileNotFoundError, tarfile.TarError):
                return None

    def read(self, part: int, name: str) -> bytes:
        with self._lock:
            try:
                member = self._reader(part).extractfile(name)
            except (KeyError, tarfile.TarError) as error:
                raise BadInput(
                    f"{self.folder / self.shard(part)}: {error}; remove it and use --resume"
                ) from None
            assert member is not None
            return member.read()

    def owner(self, file: str) -> int | None:
        stem = file.removesuffix(".tar")
        part = int(stem) if stem.isascii() and stem.isdigit() else -1
        return part if part in self.plan.parts else None

    def _reader(self, part: int) -> tarfile.TarFile:
        """The tar file of a part, kept open until another is asked for."""
        path = str(self.folder / self.shard(part))
        if self._open is None or self._open[0] != path:
            if self._open is not None:
                self._open[1].close()
                self._open = None
            self._open = path, tarfile.open(path)  # noqa: SIM115 - closed by `close`
        return self._open[1]


class _Tar:
    """A tar file under way: samples are added in the order of the part, those that come early wait."""

    def __init__(self, path: Path, order: Sequence[Entry]) -> None:
        self._order = [(entry.finger, entry.impression) for entry in order]
        self._next = 0
        self._waiting: dict[tuple[int, int], Mapping[str, bytes]] = {}
        self._lock = threading.Lock()
        self._stack = ExitStack()
        temporary = self._stack.enter_context(replacing(path))
        opened = tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 - on the stack
        self._tar = self._stack.enter_context(opened)

    def add(self, entry: Entry, files: Mapping[str, bytes]) -> None:
        with self._lock:
            self._waiting[entry.finger, entry.impression] = files
            while self._next < len(self._order) and self._order[self._next] in self._waiting:
                for name, content in self._waiting.pop(self._order[self._next]).items():
                    member = tarfile.TarInfo(name)  # its owner and time stay 0
                    member.size, member.mode = len(content), 0o644
                    self._tar.addfile(member, io.BytesIO(content))
                self._next += 1

    def finish(self) -> None:
        self._stack.close()

    def discard(self) -> None:
        """Leave no file."""
        error = _Discarded()
        self._stack.__exit__(_Discarded, error, None)


class _Discarded(Exception):
    """Has `replacing` remove the file under way."""


LAYOUTS: Mapping[str, type[Layout]] = {"flat": Flat, "fvc": Fvc, "shards": Shards}
