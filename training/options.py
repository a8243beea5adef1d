"""Command-line options made from the fields of a configuration."""

import math
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import field, fields
from pathlib import Path
from typing import Any, TypeVar

import click

from fingergen.runtime.cli.kit import RenamedOption
from fingergen.runtime.errors import BadOption

LARGEST_BATCH = 1 << 16

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


def run_options(images: int, checkpoint_every: int) -> Callable[[Command], Command]:
    """The options that every training has; `images` and `checkpoint_every`: their defaults."""
    options = (
        click.option("--out", type=click.Path(path_type=Path), required=True,
                     help="run directory; resumes the run in it"),
        click.option("--loader-processes", "--workers", "workers", cls=RenamedOption,
                     type=click.IntRange(min=0), default=0, show_default=True,
                     help="processes that load batches, for a GPU faster than one thread; 0: a thread"),
        click.option("--images", type=click.IntRange(min=1), default=images, show_default=True,
                     help="train until the network has seen this many images"),
        click.option("--checkpoint-every", type=click.IntRange(min=1), default=checkpoint_every,
                     show_default=True, help="images between checkpoints"),
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, …"),
    )  # fmt: skip

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def check_numbers(config: Any, signed: Collection[str] = ()) -> None:
    """BadOption if a fraction, rate or weight of the dataclass `config` is not finite or, but for those in
    `signed`, below 0; or if its seed is no unsigned number of 64 bits."""
    for each in fields(config):
        value = getattr(config, each.name)
        option = each.name.replace("_", "-")
        if isinstance(value, float) and not math.isfinite(value):
            raise BadOption(option, value, "must be a finite number")
        if isinstance(value, float) and value < 0 and each.name not in signed:
            raise BadOption(option, value, "must be 0 or more")
        if each.name == "seed" and not 0 <= value < 2**64:
            raise BadOption(option, value, "must be 0 or more, less than 2^64")


def check_sizes(config: Any, names: Iterable[str], most: int | None = None) -> None:
    """BadOption if one of the fields `names` of the dataclass `config` is less than 1 or more than `most`."""
    for name in names:
        value = getattr(config, name)
        if value < 1 or (most is not None and value > most):
            bounds = "1 or more" if most is None else f"1 to {most}"
            raise BadOption(name.replace("_", "-"), value, f"must be {bounds}")


def refuse_idle(names: Collection[str], needed: str) -> None:
    """BadOption if one of the options `names` of the command that runs is not as by default; without `needed`
    it has no effect. (A file of `--write-config` gives all defaults: these are no mistake.)"""
    context = click.get_current_context()
    for option in context.command.params:
        value = context.params.get(option.name or "")
        if option.name in names and value != option.to_info_dict()["default"]:
            raise BadOption(option.opts[0].lstrip("-"), value, f"has no effect without {needed}; remove it")


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
