"""WSQ images are decoded in processes of their own, which damaged files may crash or keep busy."""

import os
import subprocess
import sys

import numpy as np
import pytest

from fingergen.runtime.records import wsq
from fingergen.runtime.records.wsq_decoder import ANSWER, CRASHED, SIZE

y, x = np.mgrid[:256, :256] - 128
SOUND = wsq.encode_wsq((127.5 + 110 * np.cos(np.hypot(x, y) * 2 * np.pi / 9)).astype(np.uint8), 500)


def test_damaged_files_never_crash_the_program():
    """The decoder is C code."""
    wsq.decode_wsq(SOUND)
    decoder, reasons = wsq._decoder, set()
    for place in (10, 463, 465, 1311, *range(70, 470, 5)):
        for value in (0, 255):
            damaged = bytearray(SOUND)
            damaged[place] = value
            try:
                wsq.decode_wsq(bytes(damaged))
            except ValueError as error:
                reasons.add(str(error))
    assert wsq.decode_wsq(SOUND)[0].shape == (256, 256)
    assert reasons == {"damaged WSQ data, its decoder crashed", "damaged or truncated WSQ data"}
    assert wsq._decoder is decoder  # each crashed in a fork


def test_a_killed_decoder_costs_one_file():
    wsq.decode_wsq(SOUND)
    assert wsq._decoder
    wsq._decoder.kill()
    with pytest.raises(ValueError, match="its decoder crashed"):
        wsq.decode_wsq(SOUND)
    assert wsq.decode_wsq(SOUND)[0].shape == (256, 256)


def test_an_image_that_takes_without_end_is_given_up():
    code = """
import sys, types
def decompress(content):
    while content == b"endless": pass
    return b"1234", 2, 2, 500
sys.modules["_wsq"] = types.SimpleNamespace(decompress=decompress)
from fingergen.runtime.records import wsq_decoder
wsq_decoder.SECONDS = 1
wsq_decoder.serve(sys.stdin.buffer, sys.stdout.buffer)
"""
    asked = b"".join(SIZE.pack(len(each)) + each for each in (b"endless", b"sound"))
    ended = subprocess.run([sys.executable, "-c", code], input=asked, capture_output=True, timeout=60)
    assert ended.stdout == ANSWER.pack(0, 0, CRASHED) + ANSWER.pack(2, 2, 500) + b"1234"


def test_forks_have_decoders_of_their_own():
    other = wsq.encode_wsq(np.tile(np.arange(200, dtype=np.uint8), (100, 1)), 1000)
    wsq.decode_wsq(SOUND)
    children = []
    for _ in range(3):
        child = os.fork()
        if not child:
            code = 1
            try:
                code = int(any(wsq.decode_wsq(other)[0].shape != (100, 200) for _ in range(50)))
            finally:
                os._exit(code)
        children.append(child)
    assert all(wsq.decode_wsq(SOUND)[0].shape == (256, 256) for _ in range(50))
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
