"""libfingergen: the C interface makes the pixels of the Python runtime, and reports what is wrong."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fingergen
import fingergen.runtime as fgr
from fingergen import cpp_ops
from fingergen.runtime.c_api import FOLDER, PKG_CONFIG, onnxruntime_library

from ..tiny_bundle import write_tiny_bundle
from .c_library import BAD_INPUT, Loaded

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "c"
HEADERS = ROOT / "build" / "cpp_ops" / "headers" / "onnxruntime"  # where a build in the source tree puts them
LIBRARY = cpp_ops.status("c_api").path

if LIBRARY is None:
    pytest.skip("libfingergen was not built with this install", allow_module_level=True)


@pytest.fixture(scope="module", params=[1, 3], ids=["gray", "color"])
def bundle(request, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("c") / "bundle", channels=request.param)


@pytest.fixture
def loaded(bundle: Path) -> Iterator[Loaded]:
    found = Loaded(bundle)
    assert found.status == 0, found.line
    yield found
    found.close()


def test_pixels_are_those_of_the_runtime(bundle, loaded):
    with fgr.load(bundle) as model:
        assert (loaded.info.width, loaded.info.height, loaded.info.ppi) == (64, 64, model.ppi())
        for seed in (0, 7, 2**64 - 1):
            for truncation in (None, 0.3, 1.0):
                found = loaded.synthesize(seed, truncation)
                assert loaded.status == 0 and np.array_equal(found, model.synthesize([seed], truncation)[0])


def test_versions(loaded):
    loaded.library.fingergen_version.restype = ctypes.c_char_p
    assert loaded.library.fingergen_version().decode() == fingergen.__version__
    assert loaded.library.fingergen_abi() == 1


def test_wrong_arguments(loaded):
    loaded.synthesize(1, size=5)
    assert loaded.status == BAD_INPUT and loaded.line.startswith("pixels: has 5 bytes, an image needs ")
    loaded.synthesize(1, truncation=np.nan)
    assert (loaded.status, loaded.line) == (BAD_INPUT, "truncation: must be a finite number")
    assert loaded.library.fingergen_load(None, None, None, None, 0) == BAD_INPUT


def changed(bundle: Path, folder: Path, file: str, old: bytes, new: bytes) -> Path:
    """A copy of a bundle in which a file says something else."""
    copy = folder / "changed"
    shutil.copytree(bundle, copy)
    path = copy / file
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    return copy


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("bundle.json", b"{", b"[", "bundle.json: not JSON: "),
        (
            "bundle.json",
            b'"style_dim": 32',
            b'"style_dim": -1',
            "bundle.json: field style_dim is not a whole",
        ),
        ("bundle.json", b'"noise": "const"', b'"noise": "ridges"', "ridge_noise is missing"),
        ("bundle.json", b'"latents.npz"', b'"../latents.npz"', "leads out of the bundle"),
        ("mapping.onnx", b"z", b"y", "mapping.onnx: is not the file that bundle.json lists"),
        ("latents.npz", b"PK", b"KP", "latents.npz: is not the file that bundle.json lists"),
    ],
)
def test_a_wrong_bundle_gets_one_line(bundle, tmp_path, file, old, new, message):
    found = Loaded(changed(bundle, tmp_path, file, old, new))
    assert found.status == BAD_INPUT and not found.model
    assert message in found.line and "\n" not in found.line


@pytest.mark.parametrize("file", ["bundle.json", "mapping.onnx"])
def test_files_of_a_bundle_that_are_none_are_named(bundle, tmp_path, file):
    shutil.copytree(bundle, tmp_path / "copy")
    path = tmp_path / "copy" / file
    path.unlink()
    path.mkdir()
    found = Loaded(tmp_path / "copy")
    assert found.status == BAD_INPUT and f"{file}: cannot be read" in found.line
    path.rmdir()
    path.symlink_to("/dev/zero")  # whose end never comes
    found = Loaded(tmp_path / "copy")
    assert found.status == BAD_INPUT and f"{file}: cannot be read" in found.line


def test_a_graph_that_is_not_listed_is_named(bundle, tmp_path):
    found = Loaded(
        changed(bundle, tmp_path, "bundle.json", b'"mapping": "mapping.onnx"', b'"m": "mapping.onnx"')
    )
    assert found.status == BAD_INPUT and found.line.endswith("bundle.json: graphs: field mapping is missing")


def test_a_line_is_printable_utf_8(loaded):
    name = b"a\x1b[2J\x07\x7f\n\xff\xc2\x9b\xed\xa0\x80\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xe2"
    found = Loaded(Path(os.fsdecode(b"/nowhere/" + name)))
    shown = r"a\x1b[2J\x07\x7f \xff\xc2\x9b\xed\xa0\x80é€😀\xe2"
    assert found.status == BAD_INPUT and f"/nowhere/{shown}/bundle.json" in found.line
    for size in range(1, 60):  # no character is cut in two
        found.library.fingergen_load(
            b"/" + b"\xe2\x82\xac" * 20, None, ctypes.byref(found.model), found.error, size
        )
        assert found.error.value.decode().replace("€", "") in ("/", "")


def test_a_missing_runtime_is_named(bundle):
    found = Loaded(bundle, onnxruntime=b"/nowhere/libonnxruntime.so")
    assert found.status == BAD_INPUT and "pip install onnxruntime" in found.line


def compiled(source: Path, program: Path, *options: str) -> Path:
    """An example, built with what pkg-config would say."""
    compiler = ["cc"] if source.suffix == ".c" else ["c++", "-std=c++17", "-pthread"]
    assert LIBRARY is not None
    places = [
        f"-I{FOLDER / 'include'}",
        *(options or (f"-L{LIBRARY.parent}", f"-Wl,-rpath,{LIBRARY.parent}")),
    ]
    command = [
        *compiler,
        "-Wall",
        "-Wextra",
        "-Werror",
        str(source),
        *places,
        "-lfingergen",
        "-o",
        str(program),
    ]
    subprocess.run(command, check=True)
    return program


def run(program: Path, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "FINGERGEN_ONNXRUNTIME": str(onnxruntime_library()), **environment}
    return subprocess.run(
        [str(program), *map(str, arguments)], env=variables, capture_output=True, text=True, timeout=300
    )


def checksum(image: np.ndarray) -> int:
    total = 0
    for value in image.ravel().tolist():
        total = (total * 31 + value) % 2**64
    return total


needs_compiler = pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")


@needs_compiler
def test_c_example(tmp_path):
    program = compiled(EXAMPLES / "synthesize.c", tmp_path / "synthesize")
    constant = write_tiny_bundle(tmp_path / "tiny")
    bundle = changed(constant, tmp_path, "bundle.json", b'"noise": "const"', b'"noise": "random"')
    result = run(program, bundle, 7, tmp_path / "7.pgm")
    assert result.returncode == 0, result.stderr
    with fgr.load(bundle) as model:  # its noise is drawn from the seed
        assert np.array_equal(np.asarray(Image.open(tmp_path / "7.pgm")), model.synthesize([7])[0])
    wrong = run(program, tmp_path, 7, tmp_path / "8.pgm")
    assert wrong.returncode == BAD_INPUT and "bundle.json: cannot be read" in wrong.stderr


@needs_compiler
def test_cpp_example(bundle, tmp_path):
    result = run(compiled(EXAMPLES / "threads.cpp", tmp_path / "threads"), bundle, 12)
    assert result.returncode == 0, result.stderr
    with fgr.load(bundle) as model:
        expected = [f"{seed} {checksum(image)}" for seed, image in enumerate(model.synthesize(range(12)))]
    assert result.stdout.splitlines() == expected


@pytest.mark.skipif(shutil.which("cmake") is None, reason="no CMake")
def test_cmake_package(tmp_path):
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.18)\nproject(example C)\nfind_package(fingergen REQUIRED)\n"
        f"add_executable(example {EXAMPLES / 'synthesize.c'})\n"
        "target_link_libraries(example fingergen::fingergen)\n"
    )
    place = subprocess.run(
        [sys.executable, "-m", "fingergen.runtime.c_api"], check=True, capture_output=True, text=True
    ).stdout.strip()
    build = tmp_path / "build"
    command = ["cmake", "-S", str(tmp_path), "-B", str(build), f"-DCMAKE_PREFIX_PATH={place}"]
    subprocess.run(command, check=True, capture_output=True)
    subprocess.run(["cmake", "--build", str(build)], check=True, capture_output=True)
    assert "usage" in run(build / "example").stderr


@pytest.mark.skipif(shutil.which("pkg-config") is None, reason="no pkg-config")
def test_pkg_config():
    result = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "fingergen"],
        env={**os.environ, "PKG_CONFIG_PATH": str(PKG_CONFIG)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert "-lfingergen" in result.stdout and "include" in result.stdout


def test_the_pkg_config_file_has_the_version():
    assert f"Version: {fingergen.__version__}\n" in (PKG_CONFIG / "fingergen.pc").read_text()
