"""Files and folders that appear whole or not at all, and the folder for what can be made again."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import shutil
import sys
import threading
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import BadInput

PARTIAL = re.compile(r"\.(.+)\.(\d+)\.(\d+)")
"""Names that `replacing` gives to files while they are written: `.NAME.PROCESS.THREAD`."""

AT_FDCWD, RENAME_NOREPLACE, RENAME_EXCHANGE = -100, 1, 2  # renameat2(2) of Linux
RENAME_SWAP, RENAME_EXCL = 2, 4  # renamex_np(2) of macOS


def user_cache() -> Path:
    """The folder of this user in which FingerGen keeps what can be made again (XDG base directories)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fingergen"


@contextmanager
def replacing(path: Path, new: bool = False, flush: bool = True) -> Iterator[Path]:
    """Write a file or folder under a temporary name beside `path`; it gets its name when the block has ended.

    The content reaches the disk before the rename, so that even after a power failure `path` is either as it
    was or whole. After an error in the block, `path` is as it was and the temporary file is removed.

    Args:
        path: the file or folder to write or replace; the folder that it is in must exist.
        new: do not replace what another process may have put there in the meantime.
        flush: False leaves it to `flush_folder` to get many files' content to the disk; until then, a power
            failure may leave an incomplete file.

    Yields:
        The temporary path, at which the block must make a file, or a folder with files that are flushed.

    Raises:
        FileExistsError: `new`, and `path` exists.
        OSError: of the block or of the rename, naming `path` instead of the temporary file.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")  # see PARTIAL
    try:
        _remove(temporary)
        yield temporary
        if flush and not temporary.is_dir():
            _flush(temporary)
        if new:
            _move_new(temporary, path)
        elif temporary.is_dir():
            _move_folder(temporary, path)
        else:
            temporary.replace(path)
    except OSError as error:  # a full disk names no file, other failures the temporary one
        if error.filename not in (None, str(temporary), temporary):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):  # there is none
            _remove(temporary)


def write_atomically(path: Path, content: bytes, new: bool = False, flush: bool = True) -> None:
    """Write or replace the file `path`: it has `content` or, after any failure, is as it was.

    Args:
        path: as of `replacing`.
        content: of the file.
        new: as of `replacing`.
        flush: as of `replacing`.

    Raises:
        FileExistsError: `new`, and `path` exists.
        OSError: naming `path`.
    """
    with replacing(path, new, flush) as temporary:
        temporary.write_bytes(content)


def flush_folder(folder: Path, names: Iterable[str]) -> None:
    """Get the content of files to the disk that were written without.

    Linux writes all of a file system at once (syncfs(2)), which takes a hundredth of the time that file by
    file takes.

    Args:
        folder: that they lie in, on one file system.
        names: of all of them, relative to it.

    Raises:
        OSError: if the disk does not take them.
    """
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None) if sys.platform != "win32" else None
    if syncfs is None:
        for name in names:
            _flush(folder / name)
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if syncfs(descriptor):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(folder))
    finally:
        os.close(descriptor)


def make_folder(folder: Path, option: str = "--out") -> None:
    """Make a folder that files are to be written into, where it is not there.

    Args:
        folder: with its parents.
        option: by which it is chosen.

    Raises:
        BadInput: it cannot be made or written into.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise BadInput(f"{folder}: cannot be written ({error.strerror}); give another {option}") from error


@contextmanager
def locked(folder: Path, shared: bool = False) -> Iterator[None]:
    """Keep other processes that call this from writing into a folder in the block.

    The lock is the operating system's, on the folder itself: it leaves no file, and ends with the process
    that holds it, however it ends. Where there is none (Windows, some network file systems),
    nothing is kept out.

    Args:
        folder: is made; an empty one that was not there before does not stay.
        shared: with others that call it so.

    Raises:
        BadInput: another process holds it, or the folder cannot be made.
    """
    made = not folder.exists()
    make_folder(folder)
    descriptor = _lock(folder, shared)
    try:
        yield
    finally:
        if made:
            with suppress(OSError):  # it is not empty
                folder.rmdir()
        if descriptor is not None:
            os.close(descriptor)


def remove_partial(folder: Path, names: Container[str] | None = None, recursive: bool = False) -> None:
    """Remove what killed processes have left of files that `replacing` was writing.

    What living processes of this machine are writing stays.

    Args:
        folder: where to look; need not exist.
        names: only the remains of files with these names; None: of all files.
        recursive: look in the folders below `folder` as well.
    """
    for path in folder.rglob(".*") if recursive else folder.glob(".*"):
        found = PARTIAL.fullmatch(path.name)
        if found and (names is None or found[1] in names) and not _is_alive(int(found[2]), int(found[3])):
            _remove(path)


@contextmanager
def temporary_folder(name: str) -> Iterator[Path]:
    """A folder for temporary files that only this user sees; those that killed processes left are removed.

    Args:
        name: says what it is for.

    Yields:
        The folder, which is removed when the block ends.
    """
    import tempfile  # here, so that importing the runtime stays quick

    place = Path(tempfile.gettempdir())
    remove_partial(place, {name})
    folder = place / f".{name}.{os.getpid()}.{threading.get_ident()}"  # see PARTIAL
    _remove(folder)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        _remove(folder)


def recover_folder(path: Path) -> None:
    """Tidy up after killed processes that were writing the folder `path` with `replacing`.

    Where they had taken the old folder away and not yet put the new one in its place, the old one gets its
    name back; this happens only on file systems that cannot exchange two names. What else they left goes.
    """
    import glob  # here, so that importing the runtime stays quick

    for old in sorted(path.parent.glob(f".{glob.escape(path.name)}.*.replaced")):
        if (found := PARTIAL.fullmatch(old.stem)) and not _is_alive(int(found[2]), int(found[3])):
            if os.path.lexists(path):
                _remove(old)
            else:
                old.rename(path)
    remove_partial(path.parent, {path.name})


def _is_alive(process: int, thread: int) -> bool:
    if process == os.getpid():
        return thread in {each.ident for each in threading.enumerate()}
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it belongs to somebody else
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Have the operating system write a file's content to the disk."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _move_folder(temporary: Path, path: Path) -> None:
    """Give `temporary` the name `path`, and the folder that may be there the temporary name."""
    if not os.path.lexists(path):
        temporary.rename(path)
    elif not _exchange(temporary, path):  # where this is not to be had, `path` is absent for a moment
        old = temporary.with_name(f"{temporary.name}.replaced")  # not in PARTIAL: it may be all that is left
        path.rename(old)
        try:
            temporary.rename(path)
        except OSError:
            old.rename(path)
            raise
        _remove(old)


def _move_new(temporary: Path, path: Path) -> None:
    """Give `temporary` the name `path`, which nothing may have."""
    if not _rename(temporary, path, RENAME_NOREPLACE, RENAME_EXCL):
        if os.path.lexists(path):  # without the call, something may still come between this and the next line
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        temporary.rename(path)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two folders in one step; False where the system or file system cannot."""
    return _rename(one, other, RENAME_EXCHANGE, RENAME_SWAP)


def _rename(one: Path, other: Path, linux: int, macos: int) -> bool:
    """Rename with a flag of the system's call; False where the system or file system cannot."""
    if sys.platform == "win32":
        return False
    library = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(one), os.fsencode(other)
    if hasattr(library, "renameat2"):
        failed = library.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], linux)
    elif hasattr(library, "renamex_np"):
        failed = library.renamex_np(*names, macos)
    else:
        return False
    if failed and (code := ctypes.get_errno()) not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        raise OSError(code, os.strerror(code), str(other))
    return not failed


def _lock(folder: Path, shared: bool) -> int | None:
    """A descriptor that holds the lock of a folder; None where the system or file system has none."""
    if sys.platform == "win32":
        return None
    import fcntl

    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            return None
        raise BadInput(
            f"{folder}: another process is writing there; wait for it, or give another --out"
        ) from None
    return descriptor
