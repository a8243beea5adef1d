"""ONNX Runtime's telemetry is off in every program of ours: nothing is kept, nothing is sent."""

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .. import tiny_bundle
from ..processes import printed

ROOT = Path(__file__).parents[2]
PARTS = ("runtime", "export", "training", "cpp_ops", "benchmarks", "tests")
LIBRARY = ROOT / "runtime" / "backends" / "ort" / "library.py"
WITHOUT_NETWORK = ("unshare", "--map-root-user", "--net")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle.write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


def synthesize(bundle: Path, out: Path, home: Path) -> subprocess.CompletedProcess[str]:
    """Run `fg-run synth` without a network, at home in `home`."""
    if (
        not shutil.which("unshare")
        or subprocess.run([*WITHOUT_NETWORK, "true"], capture_output=True).returncode
    ):
        pytest.skip("this machine does not permit network namespaces (unshare --net)")
    kept = {
        key: value
        for key, value in os.environ.items()
        if key not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    }
    program = Path(sys.executable).with_name("fg-run")
    return subprocess.run(
        [*WITHOUT_NETWORK, program, "synth", "--bundle", bundle, "--seeds", "0", "--out", out],
        env=kept | {"HOME": str(home)},
        capture_output=True,
        text=True,
    )


def test_nothing_is_kept_at_home(bundle: Path, tmp_path: Path):
    home = tmp_path / "home"
    home.mkdir()
    result = synthesize(bundle, tmp_path / "out", home)
    assert (result.returncode, result.stderr) == (0, "")
    assert list(home.rglob("*")) == []


def test_home_that_cannot_be_written_to_is_not_warned_about(bundle: Path, tmp_path: Path):
    result = synthesize(bundle, tmp_path / "out", Path("/proc"))  # where root cannot write either
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(("given", "expected"), [(None, "1"), ("0", "0")])
def test_variable_is_set_where_the_user_has_not(given: str | None, expected: str):
    code = (
        "from fingergen.runtime.backends.ort.library import onnxruntime; import os;"
        "print(os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    assert printed(code, "ORT_DISABLE_TELEMETRY", given) == expected


def imported(tree: ast.AST) -> Iterator[str]:
    """Top-level packages that the code imports when it runs, not for its types alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]
        yield from imported(node)


def test_onnxruntime_is_imported_in_one_place():
    files = [path for part in PARTS for path in (ROOT / part).rglob("*.py")]
    importing = [
        path for path in files if "onnxruntime" in imported(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert importing == [LIBRARY]
