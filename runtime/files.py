"""Files appear whole or not at all; and where those go that can be made again."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Collection
from pathlib import Path

PARTIAL = re.compile(r"\.(.+)\.\d+\.\d+")  # what `write_atomically` calls a file until it is whole


def user_cache() -> Path:
    """Where FingerGen keeps what can be made again, for this user."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fingergen"


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` beside `path`, then rename it into place; on failure `path` is as it was."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")  # see PARTIAL
    try:
        beside.write_bytes(content)
        beside.replace(path)
    except OSError as error:  # a full disk names no file, other failures the temporary one
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        beside.unlink(missing_ok=True)


def remove_partial(folder: Path, names: Collection[str]) -> None:
    """Remove from `folder` what a killed process left of files of these names that it was writing."""
    for path in folder.glob(".*"):
        found = PARTIAL.fullmatch(path.name)
        if found and found[1] in names:
            path.unlink(missing_ok=True)
