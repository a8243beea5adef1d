"""Files appear whole or not at all; and where those go that can be made again."""

from __future__ import annotations

import os
import threading
from pathlib import Path


def user_cache() -> Path:
    """Where FingerGen keeps what can be made again, for this user."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fingergen"


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` beside `path`, then rename it into place; on failure `path` is as it was."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
