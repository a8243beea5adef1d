"""Command-line options made from the fields of a configuration."""

import re
from collections.abc import Callable
from dataclasses import field, fields
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
Config = TypeVar("Config")


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


def take(config: type[Config], options: dict[str, Any]) -> Config:
    """A `config` of those of the options that are its fields; they are removed from `options`."""
    return config(**{each.name: options.pop(each.name) for each in fields(config)})  # type: ignore[arg-type]


class Window(click.ParamType):
    """`256` or `300x400`: width and height in pixels."""

    name = "side"

    def __init__(self, smallest: int, largest: int):
        self._smallest, self._largest = smallest, largest

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        match = re.fullmatch(r"(\d+)(?:x(\d+))?", str(value))
        sides = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not all(self._smallest <= side <= self._largest for side in sides):
            bounds = f"{self._smallest} to {self._largest}"
            self.fail(f"{value}: give a side, or WIDTHxHEIGHT, of {bounds} pixels", param, ctx)
        return sides
