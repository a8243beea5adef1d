"""The house rules: who may import whom, lint, types, and a runtime that stays light."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_import_rules():
    result = run("lint-imports", "--config", "pyproject.toml", "--no-cache")
    assert result.returncode == 0, result.stdout + result.stderr


def test_lint():
    result = run("ruff", "check", "--no-cache", ".")
    assert result.returncode == 0, result.stdout


def test_types(tmp_path):
    # Where an editable install puts the parts is known to Python's import alone, not to mypy.
    (tmp_path / "fingergen").symlink_to(ROOT)
    parts = (argument for part in PARTS for argument in ("-p", f"fingergen.{part}"))
    result = run("mypy", *parts, MYPYPATH=str(tmp_path))
    assert result.returncode == 0, result.stdout + result.stderr


def test_runtime_imports_no_heavy_library():
    code = "import sys, fingergen.runtime.cli; print(sorted({'torch', 'onnx', 'scipy'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("program", ["fg-train", "fg-export", "fg-run", "fg-bench"])
def test_program_shows_its_help(program: str):
    result = run(program, "--help")
    assert result.returncode == 0
    assert "Usage:" in result.stdout
