"""What a file format of templates is, to those that read and write files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..template import Template


@dataclass(frozen=True)
class Defaults:
    """Image size in pixels and resolution, for a file that does not tell them; None: not known."""

    width: int | None = None
    height: int | None = None
    ppi: float | None = None

    @property
    def size(self) -> tuple[int, int, float]:
        """(width, height, ppi); where not known, 512 x 512 at 500 ppi, the size of a SynFing impression."""
        return (
            512 if self.width is None else self.width,
            512 if self.height is None else self.height,
            500.0 if self.ppi is None else self.ppi,
        )


@dataclass(frozen=True)
class Format:
    """A file format of minutiae templates.

    extensions: of the files that are taken to be of this format if neither caller nor content tells.
    decode: the bytes of a file → a Template a finger view; BadInput, and nothing else, for whatever is wrong.
    encode: Template → the bytes of a file; BadInput for what the format cannot carry.
    """

    name: str
    description: str
    extensions: tuple[str, ...]
    decode: Callable[[bytes, Defaults], tuple[Template, ...]]
    encode: Callable[[Template], bytes]
