"""`python -m tests.cpp_ops.work_split`: the longest path through an image's layers with so many threads.

Pieces of work are timed one after the other on one thread, so that neither the number of cores here nor what
else runs on them matters. What threads cost each other, in memory and in waking up, is not in it.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
import tempfile
from pathlib import Path

OPS = Path(__file__).parents[2] / "cpp_ops"
HARNESS = Path(__file__).parent / "harness" / "work_split.cpp"
THREADS = (1, 2, 4, 8, 16)
SIZES = {  # channels of the layers of 4, 8, ... pixels
    "demo": (48, 48, 48, 48, 48, 32, 16),
    "published size": (512, 512, 512, 512, 512, 256, 128),
}


def main(rounds: int) -> None:
    """Print the longest paths of both sizes, in milliseconds; the least of `rounds` times of each piece."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "work_split.so"
        sources = [HARNESS, *sorted((OPS / "styled_conv").glob("*.cpp"))]
        command = ["g++", "-std=c++17", "-O3", "-fno-trapping-math", "-Wno-psabi", "-shared", "-fPIC"]
        subprocess.run([*command, f"-I{OPS}", *map(str, sources), "-o", str(library)], check=True)
        work_split = ctypes.CDLL(str(library)).work_split
    work_split.restype = ctypes.c_int64
    threads = (ctypes.c_int64 * len(THREADS))(*THREADS)
    for name, widths in SIZES.items():
        total, waits = [0.0] * len(THREADS), 0
        for layer, outputs in enumerate(widths):
            layers = [(False, outputs, 4 << layer)]
            if layer:
                layers.insert(0, (True, widths[layer - 1], 2 << layer))
            for up, inputs, size in layers:
                paths = (ctypes.c_double * len(THREADS))()
                sizes = (ctypes.c_int64 * 4)(outputs, inputs, size, size)
                waits += work_split(
                    sizes, ctypes.c_int64(up), ctypes.c_int64(rounds), threads, len(THREADS), paths
                )
                total = [sum(pair) for pair in zip(total, paths, strict=True)]
        print(f"{name}: threads wait for each other {waits} times")
        for count, seconds in zip(THREADS, total, strict=True):
            faster = total[0] / seconds
            print(f"  {count:2} threads: {1000 * seconds:7.1f} ms, {faster:5.2f} times as fast as one")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
