"""The process that decodes WSQ images for `wsq.py`: a program that imports next to nothing and starts fast.

Each image is decoded in a fork: one that crashes the decoder, or takes without end, costs its fork alone.
"""

from __future__ import annotations

import os
import resource
import struct
import sys
from typing import BinaryIO

SIZE = struct.Struct("<I")  # of the content that follows
ANSWER = struct.Struct("<IIi")  # width, height, ppi (-1: the file does not state it); 0 x 0: not decoded
CRASHED = -2  # in place of the ppi
MEMORY = 2 << 30  # bytes that an image may take: a damaged header can ask for all there is
SECONDS = 120  # of a core that an image may take: 5600 x 5600 pixels, which is near the largest, take 2


def read(stream: BinaryIO, size: int) -> bytes:
    """`size` bytes; EOFError if the other side has ended before."""
    content = stream.read(size)
    if len(content) < size:
        raise EOFError("the other side has ended")
    return content


def serve(asked: BinaryIO, answered: BinaryIO) -> None:
    """Decode what is asked until the asking process ends."""
    import _wsq

    while header := asked.read(SIZE.size):
        content = read(asked, *SIZE.unpack(header))
        if child := os.fork():
            _, status = os.waitpid(child, 0)
            if status:
                answered.write(ANSWER.pack(0, 0, CRASHED))
                answered.flush()
            continue
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        try:
            pixels, width, height, ppi = _wsq.decompress(content)
        except Exception:
            pixels, width, height, ppi = b"", 0, 0, -1
        answered.write(ANSWER.pack(width, height, ppi) + pixels)
        answered.flush()
        os._exit(0)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with os.fdopen(os.dup(1), "wb") as channel:
        os.dup2(2, 1)  # what the C code prints must not stand among the answers
        serve(sys.stdin.buffer, channel)
