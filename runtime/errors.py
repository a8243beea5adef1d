"""Errors that a command line shows as one line."""

from __future__ import annotations

import atexit
import gc
import os
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

if TYPE_CHECKING:  # click is imported by command lines only, so that `import fingergen.runtime` stays quick
    import click

    Command = TypeVar("Command", bound=click.Command)

TRACEBACK_VARIABLE = "FINGERGEN_TRACEBACK"


# What to install for each program; the runtime alone, which everybody has, runs fg-run.
EXTRAS = {"fg-train": "train", "fg-export": "export", "fg-bench": "bench"}


class FingerGenError(Exception):
    """A failure with a message for the user; command lines print it and exit with 1."""

    exit_code = 1


class BadInput(FingerGenError):
    """Input that the user can fix: the message names the file, the field and the fix; exit code 2."""

    exit_code = 2


class BadOption(BadInput):
    """A bad value of an option; a configuration file that gave it can then be named instead.

    Args:
        option: The option's name without leading dashes, such as `map-size`.
        value: What was given; None: the message does without it.
        problem: What is wrong and what to give instead.
    """

    def __init__(self, option: str, value: object, problem: str) -> None:
        self.option = option
        self.detail = f": {problem}" if value is None else f" {value}: {problem}"
        self._given = option, value, problem
        super().__init__(f"--{option}{self.detail}")

    def __reduce__(self) -> tuple[type[BadOption], tuple[str, object, str]]:
        return type(self), self._given  # worker processes raise it too


class Incomplete(FingerGenError):
    """A bulk run that made all but what its message and the lines before it name; exit code 3."""

    exit_code = 3


def printable(text: str) -> str:
    """Text for a terminal: one line, with escape sequences from files as visible text."""
    return visible(" ".join(text.split()))


def visible(line: str) -> str:
    """A line with what a terminal would not show, or would obey, as visible text."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in line)


def say(line: str, err: bool = False) -> None:
    """Print a line that holds names of files or text from them, on standard error with `err`."""
    import click

    click.echo(visible(line), err=err)


def command_line_errors(command: Command) -> Command:
    """Give a program's outermost click command errors of one line on stderr instead of tracebacks.

    Put it above `@click.group()` or `@click.command()`. Exit codes: 2 for `BadInput` and wrong usage, 130 for
    Ctrl-C, 1 for all else. `FINGERGEN_TRACEBACK=1` in the environment prints tracebacks too. With
    `standalone_mode=False` the command raises as click has it.
    """
    run = command.main

    def main(
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        if not standalone_mode:
            return run(args, prog_name, complete_var, standalone_mode=False, **extra)
        atexit.register(gc.freeze)  # its memory goes with the process, without a last look for garbage
        program = prog_name or os.path.basename(sys.argv[0])
        warnings.showwarning = _show_warning
        try:
            code = run(args, program, complete_var, standalone_mode=False, **extra)
        except Exception as error:
            _fail(program, error)
        sys.exit(code if isinstance(code, int) else 0)

    command.main = main  # type: ignore[method-assign]
    return command


def missing_package(program: str, error: ModuleNotFoundError) -> str:
    """A line for a package that `program` needs and that is not installed."""
    extra = EXTRAS.get(program, "dev")
    return f"needs {error.name}, which is not installed: pip install 'fingergen[{extra}]'"


def _show_warning(message: Warning | str, category: type[Warning], *where: object, **more: object) -> None:
    """A warning from Python code as a line for the user, who has no use for the place in our files."""
    kind = "warning" if issubclass(category, UserWarning) else category.__name__
    say(f"{kind}: {printable(str(message))}", err=True)


def _fail(program: str, error: Exception) -> NoReturn:
    import click

    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        sys.exit(error.exit_code)
    if os.environ.get(TRACEBACK_VARIABLE):
        import traceback

        traceback.print_exception(error)
    if isinstance(error, click.Abort):  # what click makes of Ctrl-C
        print(f"{program}: interrupted", file=sys.stderr)
        sys.exit(130)
    message, code = _message(program, error)
    print(f"{program}: error: {printable(message)}", file=sys.stderr)
    sys.exit(code)


def _message(program: str, error: Exception) -> tuple[str, int]:
    """The line to show for an error, and the exit code."""
    import click

    if isinstance(error, click.UsageError):
        hint = f" (see {error.ctx.command_path} --help)" if error.ctx else ""
        return error.format_message() + hint, error.exit_code
    if isinstance(error, click.ClickException):
        return error.format_message(), error.exit_code
    if isinstance(error, FingerGenError):
        return str(error), error.exit_code
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}", 1
    if isinstance(error, ModuleNotFoundError) and not (error.name or "fingergen").startswith("fingergen"):
        return missing_package(program, error), 1
    if isinstance(error, MemoryError):
        return f"out of memory: {error}" if str(error) else "out of memory", 1
    return f"{type(error).__name__}: {error} (set {TRACEBACK_VARIABLE}=1 to see where)", 1
