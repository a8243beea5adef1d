"""Runs the worker in a process of its own.

Two reasons. The ONNX parser of TensorRT-RTX opens `libtensorrt_rtx.so`, a name that the wheel does not ship
(only `libtensorrt_rtx.so.1`), and the process dies at the first plugin. A folder of links by the short names
mends that, if the loader knows it before the process starts: no package folder is written to, and nobody has
to set a variable. And should the builder die all the same, what dies is the worker.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from fingergen.runtime.backends.trt.flavors import Flavor
from fingergen.runtime.errors import FingerGenError

WORKER = Path(__file__).with_name("worker.py")


def run_worker(flavor: Flavor, request: dict[str, Any], subject: str | None = None) -> dict[str, Any]:
    """The worker's result of a request; `FingerGenError` with the subject and the reason if it failed."""
    with tempfile.TemporaryDirectory(prefix="fingergen-engine-") as folder:
        result = Path(folder) / "result.json"
        links = Path(folder) / "libraries"
        links.mkdir()
        _link_by_short_names(flavor.library_folder, links)
        request = request | {"module": flavor.module, "result": str(result)}
        path = os.pathsep.join(filter(None, [str(links), os.environ.get("LD_LIBRARY_PATH")]))
        worker = subprocess.run(
            [sys.executable, "-P", str(WORKER)],
            input=json.dumps(request),
            env=os.environ | {"LD_LIBRARY_PATH": path},
            capture_output=True,
            encoding="utf-8",
            errors="replace",
        )
        content = json.loads(result.read_text(encoding="utf-8")) if worker.returncode == 0 else {}
    if worker.returncode != 0:
        content = {"error": _death(worker.returncode, worker.stderr)}
    if "error" in content:
        raise FingerGenError(": ".join(filter(None, [flavor.title, subject, content["error"]])))
    return content


def _link_by_short_names(libraries: Path | None, links: Path) -> None:
    """For every `lib….so.N` a link `lib….so`."""
    for library in sorted(libraries.glob("*.so.*")) if libraries else ():
        link = links / f"{library.name.partition('.so.')[0]}.so"
        if not link.exists():
            link.symlink_to(library)


def _death(code: int, stderr: str) -> str:
    last = (stderr.strip().splitlines() or ["it said nothing"])[-1]
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"the builder died ({how}): {last}"
