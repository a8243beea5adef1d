"""Custom ops: C++/CUDA kernels with thin bindings, and their NumPy references.

The bindings are built when the package is installed (`setup.py`, through CMake). Where a compiler or headers
were missing the install goes on without them: models then run on the local functions that every file carries,
and `library` says what was missing.
"""

import json
from pathlib import Path
from typing import NamedTuple

__all__ = ["C_API", "LIBRARIES", "LibraryNotBuilt", "LibraryStatus", "library", "status"]

LIBRARIES = ("onnxruntime", "tensorrt")
C_API = "c_api"  # libfingergen, of runtime/c_api: built with them, without kernels

_HERE = Path(__file__).parent
_REPORT = _HERE / "build_report.json"  # written by setup.py


class LibraryNotBuilt(RuntimeError):
    """The library was not built with this install; the message gives the reason and the fix."""


class LibraryStatus(NamedTuple):
    """What the install made of one library.

    Attributes:
        name: As `library` takes it.
        path: The file; None where it was not built.
        cuda: Whether it has CUDA kernels.
        reason: Why it was not built, or has none.
        fix: What to do about it.
    """

    name: str
    path: Path | None
    cuda: bool
    reason: str | None
    fix: str | None


def library(name: str) -> Path:
    """Where a library is that was built with this install.

    Args:
        name: `onnxruntime` (custom ops), `tensorrt` (plugins) or `c_api` (libfingergen).

    Returns:
        The file.

    Raises:
        LibraryNotBuilt: With the reason and the fix.
        ValueError: For another name.
    """
    found = status(name)
    if found.path is None:
        raise LibraryNotBuilt(f"the {name} ops library was not built: {found.reason}; {found.fix}")
    return found.path


def status(name: str) -> LibraryStatus:
    """What the install made of a library.

    Args:
        name: `onnxruntime`, `tensorrt` or `c_api`.

    Returns:
        Its status, whether it was built or not.

    Raises:
        ValueError: For another name.
    """
    if name not in (*LIBRARIES, C_API):
        raise ValueError(f"no library {name!r}: choose one of {', '.join((*LIBRARIES, C_API))}")
    path = _HERE / ("libfingergen.so" if name == C_API else f"libfingergen_{name}.so")
    try:
        entry = json.loads(_REPORT.read_text(encoding="utf-8"))[name]
    except (OSError, ValueError, KeyError):
        entry = {"reason": "this install ran no build", "fix": "run `pip install .` again in the source tree"}
    return LibraryStatus(
        name=name,
        path=path if path.is_file() else None,
        cuda=path.is_file() and bool(entry.get("cuda")),
        reason=entry.get("reason"),
        fix=entry.get("fix"),
    )
