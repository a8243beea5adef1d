"""Configuration files: the options of a command, in YAML.

Keys are the command's option names with underscores. What the command line gives goes first. Values are
converted and checked by the options themselves, so there is no second list of fields anywhere.
"""

import difflib
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import yaml
from click.core import ParameterSource

from fingergen.runtime.errors import BadInput, BadOption, printable, say
from fingergen.runtime.files import write_atomically

_FILE = "fingergen.configuration"  # key of the file's path in a context's meta


class ConfigurableCommand(click.Command):
    """A command that also has `--config FILE` and `--write-config FILE`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += [
            _file_option(
                "--config", _use_file, "YAML file of options; options on the command line take precedence"
            ),
            _file_option(
                "--write-config", _write_file, "write all options with explanations as YAML, and exit"
            ),
        ]

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command.

        Raises:
            BadInput: As the command raises it; a bad option that the file gave is named by file and key.
        """
        try:
            return super().invoke(ctx)
        except BadOption as error:
            key = _key_in_file(ctx, error.option)
            if key is None:
                raise
            raise BadInput(f"{ctx.meta[_FILE]}: {key}{error.detail}") from error


def _file_option(name: str, use: Callable[..., None], help: str) -> click.Option:
    # Eager: the file's values must be there before the options are read.
    kind = click.Path(path_type=Path)
    return click.Option([name], type=kind, is_eager=True, expose_value=False, callback=use, help=help)


def read_configuration(path: Path) -> dict[str, Any]:
    """Read a YAML file of options.

    Args:
        path: The file, in UTF-8. No object is constructed from it but plain values.

    Returns:
        Option names, with underscores, and values; empty for an empty file.

    Raises:
        BadInput: If the file cannot be read, is no YAML, holds a key twice or is no mapping; names the file
            and, where YAML knows it, the line.
    """
    try:
        with path.open(encoding="utf-8") as file:
            content = yaml.load(file, _Loader)  # noqa: S506  (a SafeLoader: plain values only)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); give a YAML file of options") from None
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise BadInput(f"{path}: {line}{printable(str(error.problem))}; correct the YAML") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not UTF-8 text (byte {error.start + 1}); save it as UTF-8") from None
    except (yaml.YAMLError, ValueError) as error:
        raise BadInput(f"{path}: not YAML ({printable(str(error))}); correct it") from None
    except RecursionError:
        raise BadInput(f"{path}: not YAML of options (nested too deeply); correct the YAML") from None
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise BadInput(f"{path}: must contain lines of the form 'option: value'")
    return {key.replace("-", "_"): value for key, value in content.items()}


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            mark = key_node.start_mark
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key must be a name", problem_mark=mark)
            key = key_node.value.replace("-", "_")  # both are the same option
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"'{key_node.value}' occurs twice", problem_mark=mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _options(command: click.Command) -> dict[str, click.Option]:
    """The options of a command that a file may give, by key."""
    options = (each for each in command.params if isinstance(each, click.Option) and each.expose_value)
    return {_key(option): option for option in options}


def _key(option: click.Option) -> str:
    return _as_key(max(option.opts, key=len))


def _as_key(name: str) -> str:
    return name.lstrip("-").replace("-", "_")


def _use_file(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    """Make the values of the file the defaults of the options."""
    if path is None:
        return
    options = _options(context.command)
    # A file may also give an option by a former name, as the command line may.
    former = {_as_key(name): option for option in options.values() for name in option.opts}
    options = {**former, **options}
    defaults = {}
    for key, value in read_configuration(path).items():
        if key not in options:
            near = difflib.get_close_matches(key, options, n=1)
            hint = f"did you mean '{near[0]}'?" if near else "--write-config shows them all"
            raise BadInput(f"{path}: '{key}' is not an option of {context.command_path}: {hint}")
        option = options[key]
        try:
            words = _words(option, value)
            option.type_cast_value(context, words)
        except click.UsageError as error:
            raise BadInput(f"{path}: {key}: {error.message}") from None
        defaults[option.name or key] = words
    context.default_map = defaults
    context.meta[_FILE] = path


def _words(option: click.Option, value: Any) -> Any:
    """A value as the option would get it from the command line. UsageError if it cannot be given there."""
    if option.is_flag:
        if not isinstance(value, bool):
            raise click.UsageError(f"must be true or false, not {value!r}")
        return value
    if option.multiple or option.nargs != 1:
        if not isinstance(value, list):
            raise click.UsageError(f"must be a list, not {value!r}")
        return [_word(each) for each in value]
    return _word(value)


def _word(value: Any) -> str:
    # As text, because click would take 8.5 for the whole number 8, and true for 1.
    if value is None:
        raise click.UsageError("has no value; give one or remove the line")
    if isinstance(value, bool | list | dict):
        kinds = {bool: "true or false", list: "a list", dict: "a mapping"}
        raise click.UsageError(f"must be a single value, not {kinds[type(value)]}")
    return str(value)


def _key_in_file(context: click.Context, name: str) -> str | None:
    """The key of the option `name` in the configuration file; None if the file did not give it."""
    option = _options(context.command).get(_as_key(name))
    if option and context.get_parameter_source(option.name or "") is ParameterSource.DEFAULT_MAP:
        return _key(option)
    return None


def _write_file(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    """Write all options with their documentation and defaults, and leave the program."""
    if path is None:
        return
    text = "\n".join(_lines(context, _options(context.command))) + "\n"
    if path.exists():
        raise BadInput(f"{path}: is there already; choose another --write-config")
    try:
        write_atomically(path, text.encode())
    except OSError as error:
        raise BadInput(
            f"{path}: cannot be written ({error.strerror}); choose another --write-config"
        ) from None
    say(f"{path}: {context.command_path} --config {path}")
    context.exit()


def _lines(context: click.Context, options: Mapping[str, click.Option]) -> Iterator[str]:
    yield f"# Options of {context.command_path}. Those on the command line go first."
    yield "# Lines that begin with '#' stand for options that are not given."
    for key, option in options.items():
        _, help = option.get_help_record(context) or ("", "")
        yield ""
        yield from textwrap.wrap(help, 100, initial_indent="# ", subsequent_indent="# ")
        default = option.to_info_dict()["default"]  # None where there is none, whatever click's version
        # A default described in words depends on the machine.
        if default is None or isinstance(option.show_default, str) or option.required:
            yield f"# {key}: {option.make_metavar(context)}"
        else:
            yield yaml.safe_dump({key: _plain(default)}, allow_unicode=True).rstrip()


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if isinstance(value, bool | int | float | str) else str(value)
