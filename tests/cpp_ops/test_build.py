"""The build of the op libraries where something is missing: it never fails, and says what and what to do.

What it builds on a complete machine is what the other tests of the ops run.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fingergen import cpp_ops

SUPPORT = Path(__file__).parents[2] / "cpp_ops" / "build_support"


def build(folder: Path, environment: dict[str, str], before: str = "") -> dict:
    """The report of a build of nothing, in a process of its own; `before` is code to run first."""
    code = f"""
import sys; sys.path.insert(0, {str(SUPPORT)!r})
from pathlib import Path
import headers, libraries
{before}
folder = Path({str(folder)!r})
libraries.build(folder / "source", folder / "work", folder / "target")
"""
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return json.loads((folder / "target" / "build_report.json").read_text())


NO_HEADERS = """
def nowhere(folder, log): raise libraries.CommandFailed("apt-get: no network")
for name, library in libraries.LIBRARIES.items():
    libraries.LIBRARIES[name] = headers.Library(**{**vars(library), "fetch": nowhere, "header": "none.h"})
"""


def test_switched_off(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    stale = tmp_path / "target" / "libfingergen_onnxruntime.so"
    stale.write_bytes(b"")
    report = build(tmp_path, {"FINGERGEN_BUILD_OPS": "0"})
    assert report["onnxruntime"]["reason"] == report["tensorrt"]["reason"] == "FINGERGEN_BUILD_OPS=0 was set"
    assert not stale.exists()


def test_no_compiler(tmp_path: Path) -> None:
    report = build(tmp_path, {"PATH": str(tmp_path)})
    assert report["onnxruntime"]["reason"] == "no C++ compiler was found"
    assert "g++" in report["onnxruntime"]["fix"]


def test_no_headers(tmp_path: Path) -> None:
    compiler = tmp_path / "g++"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    environment = {"PATH": str(tmp_path), "FINGERGEN_TENSORRT_INCLUDE": "/nowhere"}
    report = build(tmp_path, environment, before=NO_HEADERS)
    assert "no ONNX Runtime headers" in report["onnxruntime"]["reason"]
    assert "apt-get: no network" in report["onnxruntime"]["reason"]
    assert "FINGERGEN_ONNXRUNTIME_INCLUDE" in report["onnxruntime"]["fix"]
    assert report["tensorrt"]["reason"] == "FINGERGEN_TENSORRT_INCLUDE=/nowhere has no none.h"


def test_a_build_that_breaks_off(tmp_path: Path) -> None:
    report = build(tmp_path, {"PATH": "/usr/bin"}, before="headers.find = None")
    assert "the build broke off" in report["tensorrt"]["reason"]


def test_the_report_is_what_the_user_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(tmp_path, {"FINGERGEN_BUILD_OPS": "0"})
    monkeypatch.setattr(cpp_ops, "_HERE", tmp_path / "target")
    monkeypatch.setattr(cpp_ops, "_REPORT", tmp_path / "target" / "build_report.json")
    with pytest.raises(cpp_ops.LibraryNotBuilt, match="FINGERGEN_BUILD_OPS=0 was set; unset it and install"):
        cpp_ops.library("onnxruntime")
    (tmp_path / "target" / "build_report.json").unlink()
    with pytest.raises(cpp_ops.LibraryNotBuilt, match="this install ran no build; run `pip install"):
        cpp_ops.library("tensorrt")
