"""The house rules: who may import whom, lint, types, and a runtime that stays light."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import fingergen
import fingergen.runtime

ROOT = Path(__file__).parent.parent
PARTS = ("runtime", "export", "training", "cpp_ops", "benchmarks")


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a console script of this environment from the repository's root."""
    return subprocess.run(
        [str(Path(sys.executable).with_name(command[0])), *command[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package `fingergen` as an installation lays it out, for tools that read files."""
    folder = tmp_path_factory.mktemp("package")
    for name, source in [(".", "src/fingergen"), *zip(PARTS, PARTS, strict=True)]:
        for path in (ROOT / source).rglob("*.py"):
            link = folder / "fingergen" / name / path.relative_to(ROOT / source)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
    return folder


def test_import_rules(package: Path):
    result = run("lint-imports", "--config", "pyproject.toml", "--no-cache", PYTHONPATH=str(package))
    assert result.returncode == 0, result.stdout + result.stderr


def test_lint():
    result = run("ruff", "check", "--no-cache", ".")
    assert result.returncode == 0, result.stdout
    result = run("ruff", "format", "--check", "--no-cache", ".")
    assert result.returncode == 0, result.stdout + result.stderr


def test_types(package: Path):
    result = run("mypy", "-p", "fingergen", MYPYPATH=str(package))
    assert result.returncode == 0, result.stdout + result.stderr


def test_version_has_one_source():
    assert fingergen.__version__ == fingergen.runtime.__version__ == version("fingergen")


def test_runtime_imports_no_heavy_library():
    code = "import sys, fingergen.runtime.cli; print(sorted({'torch', 'onnx', 'scipy'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("program", ["fg-train", "fg-export", "fg-run", "fg-bench"])
def test_program_shows_its_help(program: str):
    result = run(program, "--help")
    assert result.returncode == 0
    assert "Usage:" in result.stdout
