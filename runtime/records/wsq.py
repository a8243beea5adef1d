"""WSQ images (FBI IAFIS-IC-0110), by the package `wsq`; decoded in a process apart.

Its decoder is NBIS's C code, which a damaged file can crash; a dataset must outlive its worst file.
"""

from __future__ import annotations

import importlib.util
import os
import re
import resource
import struct
import subprocess
import sys
import threading
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput

START_OF_IMAGE = b"\xff\xa0"
_COMMENT = b"\xff\xa8"  # marker
SMALLEST = 32  # pixels per side that the encoder's six levels of filters take
_RATIO = 0.75  # bits per pixel: 15:1
_ANSWER = struct.Struct("<IIi")  # width, height, ppi (-1: the file does not state it); 0 x 0: not decoded
_SIZE = struct.Struct("<I")
_MEMORY = 2 << 30  # bytes that the decoder may have: a damaged header can ask for all there is

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
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # the C code prints there
            )
        asked, answered = cast(BinaryIO, _decoder.stdin), cast(BinaryIO, _decoder.stdout)
        try:
            asked.write(_SIZE.pack(len(content)) + content)
            asked.flush()
            width, height, ppi = _ANSWER.unpack(_read(answered, _ANSWER.size))
            pixels = _read(answered, width * height)
        except (OSError, EOFError):
            _decoder.kill()
            _decoder.wait()
            _decoder = None
            raise ValueError("damaged WSQ data, its decoder crashed") from None
    if not pixels:
        raise ValueError("damaged or truncated WSQ data")
    return np.frombuffer(pixels, np.uint8).reshape(height, width), float(ppi) if ppi > 0 else None


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


def _read(stream: BinaryIO, size: int) -> bytes:
    content = stream.read(size)
    if len(content) < size:
        raise EOFError("the other side has ended")
    return content


def _serve(asked: BinaryIO, answered: BinaryIO) -> None:
    """Decode what is asked until the asking process ends."""
    import _wsq

    while header := asked.read(_SIZE.size):
        content = _read(asked, *_SIZE.unpack(header))
        try:
            pixels, width, height, ppi = _wsq.decompress(content)
        except Exception:
            pixels, width, height, ppi = b"", 0, 0, -1
        answered.write(_ANSWER.pack(width, height, ppi) + pixels)
        answered.flush()


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    with os.fdopen(os.dup(1), "wb") as channel:
        os.dup2(2, 1)  # what the C code prints must not stand among the answers
        _serve(sys.stdin.buffer, channel)
