"""What every format of image records shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..errors import BadInput
from .compression import COMPRESSIONS, Compression
from .image import Content, Details, FingerImage, Reading


@dataclass(frozen=True)
class Format:
    """A file format of fingerprint images.

    Attributes:
        name: As command lines take it.
        description: The standard, as messages and help texts name it.
        extensions: Of files that are taken to be of this format if their content does not say; the first is
            that of files that are written.
        decode: The bytes of a file, and what the caller says about it → its content. Raises BadInput, and
            nothing else, for what cannot be read.
        encode: Content and how it is written → the bytes of a file.
        compressions: Names of those that images in it may have, the default first; empty: it has its own.
        several: Whether a file may hold more than one image.
        states_provenance: Whether a file holds the images' provenance itself.
        states_resolution: Whether a file states its size and resolution itself.
    """

    name: str
    description: str
    extensions: tuple[str, ...]
    decode: Callable[[bytes, Reading], Content]
    encode: Callable[[Content, Details], bytes]
    compressions: tuple[str, ...] = ()
    several: bool = False
    states_provenance: bool = False
    states_resolution: bool = True

    def check(self, content: Content, details: Details) -> None:
        """BadInput if the format cannot carry `content` in the way that `details` says."""
        if not content.images and not content.templates:
            raise BadInput(f"{self.description} holds images, and none is given")
        if not self.several and len(content.images) != 1:
            raise BadInput(f"{self.description} holds one image, not {len(content.images)}")
        if details.compression is not None and details.compression not in self.compressions:
            known = f"one of {', '.join(self.compressions)}" if self.compressions else "none"
            raise BadInput(
                f"{self.description} is not written with compression {details.compression}: give {known}"
            )


def compression_of(details: Details, compressions: tuple[str, ...]) -> Compression:
    """The compression that `details` names, or else a format's default."""
    return COMPRESSIONS[details.compression or compressions[0]]


def the_image(content: Content) -> FingerImage:
    """The image of a format that holds one."""
    (image,) = content.images
    return image
