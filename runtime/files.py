"""Files and folders that appear whole or not at all, and the folder for what can be made again."""

from __future__ import annotations

import ctypes
import errno
import glob
import os
import re
import shutil
import sys
import threading
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL = re.compile(r"\.(.+)\.(\d+)\.(\d+)")
"""Names that `replacing` gives to files while they are written: `.NAME.PROCESS.THREAD`."""

AT_FDCWD, RENAME_EXCHANGE = -100, 2  # renameat2(2) of Linux
RENAME_SWAP = 2  # renamex_np(2) of macOS


def user_cache() -> Path:
    """The folder of this user in which FingerGen keeps what can be made again (XDG base directories)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fingergen"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file or folder under a temporary name beside `path`; it gets its name when the block has ended.

    The content reaches the disk before the rename, so that even after a power failure `path` is either as it
    was or whole. After an error in the block, `path` is as it was and the temporary file is removed.

    Args:
        path: the file or folder to write or replace; the folder that it is in must exist.

    Yields:
        The temporary path, at which the block must make a file, or a folder with files that are flushed.

    Raises:
        OSError: of the block or of the rename, naming `path` instead of the temporary file.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")  # see PARTIAL
    _remove(temporary)
    try:
        yield temporary
        if temporary.is_dir():
            _move_folder(temporary, path)
        else:
            _flush(temporary)
            temporary.replace(path)
    except OSError as error:  # a full disk names no file, other failures the temporary one
        if error.filename not in (None, str(temporary), temporary):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        _remove(temporary)


def write_atomically(path: Path, content: bytes) -> None:
    """Write or replace the file `path`: it has `content` or, after any failure, is as it was.

    Raises:
        OSError: naming `path`.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content)


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


def recover_folder(path: Path) -> None:
    """Tidy up after killed processes that were writing the folder `path` with `replacing`.

    Where they had taken the old folder away and not yet put the new one in its place, the old one gets its
    name back; this happens only on file systems that cannot exchange two names. What else they left goes.
    """
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


def _exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two folders in one step; False where the system or file system cannot."""
    if sys.platform == "win32":
        return False
    library = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(one), os.fsencode(other)
    if hasattr(library, "renameat2"):
        failed = library.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE)
    elif hasattr(library, "renamex_np"):
        failed = library.renamex_np(*names, RENAME_SWAP)
    else:
        return False
    if failed and (code := ctypes.get_errno()) not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        raise OSError(code, os.strerror(code), str(other))
    return not failed
