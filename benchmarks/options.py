"""Option types that the commands of `fg-bench` share."""

from __future__ import annotations

from typing import Any

import click


class Listed(click.ParamType):
    """A comma-separated list of words among `choices`, or of whole numbers from 1 to 4096."""

    def __init__(self, name: str, choices: tuple[str, ...] = ()) -> None:
        self.name = name
        self._choices = choices

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[Any]:
        if not isinstance(value, str):
            return value
        words = list(dict.fromkeys(word.strip() for word in value.split(",")))
        for word in words:
            if self._choices and word not in self._choices:
                self.fail(f"{word!r}: choose among {', '.join(self._choices)}", param, ctx)
            if not self._choices and not (word.isascii() and word.isdecimal() and 1 <= int(word) <= 4096):
                self.fail(f"{word!r}: write numbers from 1 to 4096, such as 1,8,64", param, ctx)
        return words if self._choices else [int(word) for word in words]
