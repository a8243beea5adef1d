"""WSQ images (FBI IAFIS-IC-0110), by the package `wsq`; decoded in a process apart.

Its decoder is NBIS's C code, which a damaged file can crash; a dataset must outlive its worst file: see
`wsq_decoder.py`.
"""

from __future__ import annotations

import importlib.util
import os
import re
import struct
import subprocess
import sys
import threading
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from . import wsq_decoder
from .wsq_decoder import ANSWER, CRASHED, SIZE, read

START_OF_IMAGE = b"\xff\xa0"
_COMMENT = b"\xff\xa8"  # marker
SMALLEST = 32  # pixels per side that the encoder's six levels of filters take
_RATIO = 0.75  # bits per pixel: 15:1

_lock = threading.Lock()
_decoder: subprocess.Popen[bytes] | None = None


def decode_wsq(content: bytes) -> tuple[NDArray[np.uint8], float | None]:
    """Pixels uint8 (H, W), and the pixels per inch of the NIST comment if it states them.

    ValueError for what is no sound WSQ image, BadInput where the package is missing.
    """
    global _decoder
    _check_package()
    with _lock:
        if _decoder is None:
            _decoder = subprocess.Popen(
                [sys.executable, "-P", wsq_decoder.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # the C code prints there
            )
        asked, answered = cast(BinaryIO, _decoder.stdin), cast(BinaryIO, _decoder.stdout)
        try:
            asked.write(SIZE.pack(len(content)) + content)
            asked.flush()
            width, height, ppi = ANSWER.unpack(read(answered, ANSWER.size))
            pixels = read(answered, width * height)
        except (OSError, EOFError):
            _decoder.kill()
            _decoder.wait()
            _decoder = None
            ppi, pixels = CRASHED, b""
    if ppi == CRASHED:
        raise ValueError("damaged WSQ data, its decoder crashed")
    if not pixels:
        raise ValueError("damaged or truncated WSQ data")
    return np.frombuffer(pixels, np.uint8).reshape(height, width), float(ppi) if ppi > 0 else None


def _forget() -> None:
    """In a fork of this process: its decoder answers the process that has started it."""
    global _decoder, _lock
    _decoder, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def encode_wsq(pixels: NDArray[np.uint8], ppi: float) -> bytes:
    """Pixels uint8 (H, W) → a WSQ file of 0.75 bits per pixel, whose NIST comment states `ppi`.

    BadInput for an image that the encoder does not take, or where the package is missing.
    """
    _check_package()
    import _wsq

    if min(pixels.shape) < SMALLEST:
        size = f"{pixels.shape[1]} x {pixels.shape[0]}"
        raise BadInput(
            f"image of {size} pixels: WSQ takes {SMALLEST} or more per side; choose another compression"
        )
    try:
        content: bytes = _wsq.compress(np.ascontiguousarray(pixels).tobytes(), *pixels.shape, _RATIO)
    except Exception as error:  # the package has no class of its own
        raise BadInput(f"WSQ does not take this image ({error}): choose another compression") from None
    return _stating(content, ppi)


def _stating(content: bytes, ppi: float) -> bytes:
    """A WSQ file with `ppi` in its NIST comment, where the encoder always writes 500."""
    start = content.index(_COMMENT) + len(_COMMENT)
    (length,) = struct.unpack_from(">H", content, start)
    comment = re.sub(rb"\nPPI \d+", b"\nPPI %d" % round(ppi), content[start + 2 : start + length])
    return content[:start] + struct.pack(">H", 2 + len(comment)) + comment + content[start + length :]


def _check_package() -> None:
    if importlib.util.find_spec("_wsq") is None:
        raise BadInput(
            "WSQ images need the package wsq: pip install 'fingergen[records]', or pip install wsq"
        )
