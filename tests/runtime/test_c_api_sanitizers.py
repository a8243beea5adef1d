"""libfingergen and its examples under the compilers' sanitizers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import fingergen
from fingergen.runtime.bundle.bundle import DEMO

from ..tiny_bundle import write_tiny_bundle
from .c_library import BAD_INPUT
from .test_c_api import EXAMPLES, HEADERS, ROOT, compiled, run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not HEADERS.is_dir() or shutil.which("cmake") is None, reason="no headers or CMake"),
]


def built(folder: Path, sanitizers: str) -> list[str]:
    """The library, built with sanitizers; the options that a program compiles with."""
    settings = {
        "FINGERGEN_C_API_INCLUDE": HEADERS,
        "FINGERGEN_NPYRANDOM": Path(np.__file__).parent / "random" / "lib" / "libnpyrandom.a",
        "FINGERGEN_VERSION": fingergen.__version__,
        "FINGERGEN_SANITIZE": sanitizers,
    }
    options = [f"-D{name}={value}" for name, value in settings.items()]
    source = ["-S", str(ROOT / "runtime" / "c_api"), "-B", str(folder)]
    subprocess.run(["cmake", *source, *options], check=True, capture_output=True)
    subprocess.run(["cmake", "--build", str(folder), "--parallel", "2"], check=True, capture_output=True)
    return [f"-fsanitize={sanitizers}", f"-L{folder}", f"-Wl,-rpath,{folder}"]


def test_addresses_and_undefined_behavior(tmp_path):
    """Both examples, on sound bundles and on broken ones."""
    options = built(tmp_path / "build", "address,undefined")
    # ONNX Runtime keeps what it has registered until the process ends.
    quiet = {"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "halt_on_error=1"}
    threads = compiled(EXAMPLES / "threads.cpp", tmp_path / "threads", *options)
    fingers = compiled(EXAMPLES / "impressions.c", tmp_path / "impressions", *options)
    once = compiled(EXAMPLES / "synthesize.c", tmp_path / "synthesize", *options)
    bundle = write_tiny_bundle(tmp_path / "bundle")
    result = run(threads, bundle, 8, **quiet)
    assert result.returncode == 0 and not result.stderr, result.stderr[-3000:]
    assert len(result.stdout.splitlines()) == 8
    result = run(fingers, DEMO, 3, tmp_path, **quiet)
    assert result.returncode == 0 and not result.stderr, result.stderr[-3000:]
    whole = (bundle / "bundle.json").read_bytes()
    for quarters in range(4):
        (bundle / "bundle.json").write_bytes(whole[: len(whole) * quarters // 4])
        result = run(once, bundle, 1, tmp_path / "x.pgm", **quiet)
        assert result.returncode == BAD_INPUT and "bundle.json" in result.stderr, result.stderr[-3000:]


def test_threads(tmp_path):
    """No data race of ours; ONNX Runtime was not built with the sanitizer, which cannot see how it
    synchronizes, so that reports from inside it are left out."""
    options = built(tmp_path / "build", "thread")
    (tmp_path / "suppressions").write_text("called_from_lib:libonnxruntime.so\nmutex:__run_exit_handlers\n")
    program = compiled(EXAMPLES / "threads.cpp", tmp_path / "threads", *options)
    result = run(program, DEMO, 6, TSAN_OPTIONS=f"halt_on_error=1 suppressions={tmp_path / 'suppressions'}")
    assert result.returncode == 0 and "ThreadSanitizer" not in result.stderr, result.stderr[-4000:]
    assert len(result.stdout.splitlines()) == 6
