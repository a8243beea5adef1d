"""Memory of tensors on a CPU."""

import ctypes
import platform

# Of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
MOST = 2**31 - 1  # what an int holds


def reuse_freed_memory() -> None:
    """Have glibc keep the memory of freed tensors for the next ones, of any size; without glibc, nothing.

    By default it returns blocks of 32 MiB and more to the kernel at once, which fills each new one with
    zeros, page by page. A training step then takes up to twice as long. In return the process holds as much
    memory as it ever needed, and up to twice as much, for blocks of other sizes leave gaps.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, MOST)
        mallopt(M_TRIM_THRESHOLD, MOST)
