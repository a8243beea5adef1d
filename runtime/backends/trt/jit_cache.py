"""Kernels that TensorRT-RTX compiled at run time, kept from one process to the next.

An engine of TensorRT-RTX serves many GPUs: what it becomes on one is compiled when a batch size first runs,
which takes seconds. TensorRT-RTX checks itself whether a stored cache is of its version, driver and GPU.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

from ...files import user_cache, write_atomically


class JitCache:
    """The cache of one engine, shared by its execution contexts. A CUDA context must be current."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._cache: Any = None
        self._stored = b""

    def attach(self, config: Any) -> None:
        """Let a runtime configuration, before a context is made of it, read and fill the cache."""
        if not hasattr(config, "create_runtime_cache"):  # an older TensorRT-RTX
            return
        if self._cache is None:
            self._cache = config.create_runtime_cache()
            with contextlib.suppress(OSError):
                stored = self._path.read_bytes()
                if self._cache.deserialize(stored):
                    self._stored = stored
        config.set_runtime_cache(self._cache)

    def save(self) -> None:
        """Write what is new; a cache that cannot be written is no error."""
        serialized = self._cache.serialize() if self._cache is not None else None
        content = bytes(memoryview(serialized)) if serialized is not None else b""
        if content in (b"", self._stored):
            return
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, content)
            self._stored = content


def jit_cache_file(engine_sha256: str, gpu: str) -> Path:
    """Where the cache of an engine lies, for a GPU of this name."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", gpu).strip("-")
    return user_cache() / "jit" / f"{engine_sha256[:16]}-{name}.cache"
