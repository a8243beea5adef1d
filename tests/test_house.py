"""The house rules: who may import whom, lint, types, and a runtime that stays light."""

import ast
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import fingergen
import fingergen.runtime

ROOT = Path(__file__).parent.parent
PARTS = ("runtime", "export", "training", "cpp_ops", "benchmarks")
TEXT = (".py", ".md", ".toml", ".yml", ".yaml", ".cff", ".sh", ".txt", ".json", ".cpp", ".cu", ".h", ".cuh")


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a console script of this environment from the repository's root."""
    return subprocess.run(
        [str(Path(sys.executable).with_name(command[0])), *command[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


def test_import_rules(package: Path):
    result = run("lint-imports", "--config", "pyproject.toml", "--no-cache", PYTHONPATH=str(package))
    assert result.returncode == 0, result.stdout + result.stderr


def test_lint():
    result = run("ruff", "check", "--no-cache", ".")
    assert result.returncode == 0, result.stdout
    result = run("ruff", "format", "--check", "--no-cache", ".")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
def test_types(package: Path):
    result = run("mypy", "-p", "fingergen", MYPYPATH=str(package))
    assert result.returncode == 0, result.stdout + result.stderr


def modules() -> list[Path]:
    """Every Python file of the parts."""
    return sorted(path for part in PARTS for path in (ROOT / part).rglob("*.py"))


def test_files_are_short():
    """One concept per file, tests too."""
    files = [*modules(), *(ROOT / "tests").rglob("*.py")]
    long = {str(path): lines for path in files if (lines := len(path.read_text().splitlines())) > 450}
    assert not long


BRITISH = re.compile(
    r"\w*(?:behaviou|colour|favour|grey|labelled|neighbour|(?:normal|optim|quant|recogn|serial)is(?:e|ing|ation)"
    r"|synthesis(?:e|ed|es|ing)\b|centre\b)\w*",
    re.IGNORECASE,
)
# A former spelling of an option, and a name inside graphs that were written with it.
KEPT = ('"--colour"', '"grey"', "`--colour grey`", 'name="normalised"')


def test_spelling_is_american():
    files = [*modules(), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")]
    wrong = []
    for path in files:
        text = path.read_text(encoding="utf-8")
        for each in KEPT:
            text = text.replace(each, "")
        wrong += [f"{path}: {word}" for word in BRITISH.findall(text)]
    assert not wrong


@pytest.mark.parametrize("part", PARTS)
def test_few_files_lie_at_a_parts_top(part: str):
    assert len([path for path in (ROOT / part).iterdir() if path.suffix]) <= 12


def test_no_file_names_the_machine_it_was_made_on():
    """Folders such as a home directory or a shared disk are somebody's, not the project's."""
    places = re.compile(r"/(?:work|root|home|Users)/")
    folders = (*PARTS, "src", "tests", "docs", "examples", ".ci")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in TEXT]
    files += [path for path in ROOT.iterdir() if path.is_file() and path.suffix in TEXT]
    assert not [str(path) for path in files if path != Path(__file__) and places.search(path.read_text())]


def test_nothing_that_is_read_may_run_code():
    """ruff's rules S… cover eval, pickle, YAML and shells; here are the two loaders that take an argument."""
    wrong = []
    for path in modules():
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call):
                given = {word.arg: ast.unparse(word.value) for word in call.keywords}
                unsafe_torch = ast.unparse(call.func) == "torch.load" and given.get("weights_only") != "True"
                if unsafe_torch or given.get("allow_pickle", "False") != "False":
                    wrong.append(f"{path}:{call.lineno}: {ast.unparse(call)}")
    assert not wrong


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
