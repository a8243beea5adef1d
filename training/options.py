"""Command-line options made from the fields of a configuration."""

from collections.abc import Callable
from dataclasses import field, fields
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def setting(default: Any, help: str, **click_options: Any) -> Any:
    """A dataclass field that `config_options` makes an option of; `click_options` go to click too."""
    return field(default=default, metadata={"help": help, **click_options})


def config_options(config: type) -> Callable[[Command], Command]:
    """A click option for every `setting` of the dataclass `config`; a bool becomes a flag."""

    def decorate(command: Command) -> Command:
        for each in reversed(fields(config)):
            if each.metadata:
                name = each.name.replace("_", "-")
                # The second form takes back what a configuration file says.
                names = f"--{name}/--no-{name}" if each.type is bool else f"--{name}"
                kind = {"show_default": bool(each.default)}
                if each.type is not bool:
                    kind = {"type": each.type, "show_default": True}
                command = click.option(names, default=each.default, **{**kind, **each.metadata})(command)
        return command

    return decorate
