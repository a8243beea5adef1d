"""A command line's errors: one line on stderr and the right exit code, whatever happens."""

import pickle
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from fingergen.runtime.errors import BadInput, BadOption, FingerGenError, command_line_errors

RAISED = {
    "bad-input": BadInput("a.pt: key 'g': missing;\n  give a generator"),
    "failure": FingerGenError("synthesis.onnx: outside tolerance"),
    "file": FileNotFoundError(2, "No such file or directory", "a.png"),
    "bug": ZeroDivisionError("division by zero"),
    "memory": MemoryError(),
    "package": ModuleNotFoundError("No module named 'torch'", name="torch"),
    "interrupt": KeyboardInterrupt(),
    "exit": SystemExit(7),
}


@command_line_errors
@click.group()
def program() -> None:
    """A program."""


@program.command()
@click.argument("what", type=click.Choice([*RAISED, "nothing"]))
def fail(what: str) -> None:
    """Raise something."""
    if what in RAISED:
        raise RAISED[what]
    click.echo("done")


@pytest.mark.parametrize(
    ("what", "code", "line"),
    [
        ("bad-input", 2, "fg: error: a.pt: key 'g': missing; give a generator"),
        ("failure", 1, "fg: error: synthesis.onnx: outside tolerance"),
        ("file", 1, "fg: error: a.png: No such file or directory"),
        ("bug", 1, "fg: error: ZeroDivisionError: division by zero (set FINGERGEN_TRACEBACK=1 to see where)"),
        ("package", 1, "fg: error: needs torch, which is not installed: pip install 'fingergen[dev]'"),
        ("memory", 1, "fg: error: out of memory"),
        ("interrupt", 130, "fg: interrupted"),
        ("unknown", 2, "fg: error: Invalid value for '{bad-input|"),
    ],
)
def test_one_line(what: str, code: int, line: str):
    result = CliRunner().invoke(program, ["fail", what], prog_name="fg")
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr.strip().startswith(line) and result.stderr.strip().count("\n") == 0


def test_wrong_usage_points_to_help():
    result = CliRunner().invoke(program, ["fail", "--nope"], prog_name="fg")
    assert result.exit_code == 2
    assert result.stderr.strip() == "fg: error: No such option '--nope'. (see fg fail --help)"


def test_traceback_when_asked(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FINGERGEN_TRACEBACK", "1")
    result = CliRunner().invoke(program, ["fail", "bug"], prog_name="fg")
    assert "Traceback" in result.stderr and result.stderr.strip().splitlines()[-1].startswith("fg: error:")


def test_success_help_and_exit_codes():
    runner = CliRunner()
    assert (runner.invoke(program, ["fail", "nothing"]).output) == "done\n"
    assert runner.invoke(program, ["--help"]).exit_code == 0
    assert runner.invoke(program, ["fail", "exit"]).exit_code == 7
    no_command = runner.invoke(program, [])
    assert no_command.exit_code == 2 and "Usage:" in no_command.stderr


def test_other_programs_may_call_without_exit():
    with pytest.raises(BadInput):
        program(["fail", "bad-input"], standalone_mode=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "absent", "extra"), [("training", "yaml", "train"), ("export", "torch", "export")]
)
def test_programs_beside_a_runtime_installed_alone(tmp_path: Path, part: str, absent: str, extra: str):
    (tmp_path / "g.pt").touch()
    code = (
        f"import sys; sys.modules[{absent!r}] = None; from fingergen.{part}.cli import main;"
        f"main(['g.pt', '--out', 'o'], prog_name='fg-{extra}')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    install = f"pip install 'fingergen[{extra}]'"
    line = f"fg-{extra}: error: needs {absent}, which is not installed: {install}"
    assert (done.returncode, done.stderr.strip()) == (1, line)


@pytest.mark.parametrize(("value", "text"), [(7, "--map-size 7: too small"), (None, "--map-size: too small")])
def test_a_bad_option_passes_between_processes(value: object, text: str):
    error = pickle.loads(pickle.dumps(BadOption("map-size", value, "too small")))  # noqa: S301
    assert str(error) == text and (error.option, error.exit_code) == ("map-size", 2)
