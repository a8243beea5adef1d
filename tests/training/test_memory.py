"""Memory of tensors on a CPU."""

import platform
import subprocess
import sys

import pytest

# Faults of 20 blocks of 64 MiB, one after the other.
FAULTS = """
import resource
from fingergen.training.memory import reuse_freed_memory
if {reuse}: reuse_freed_memory()
for _ in range(20): b"x" * 2**26
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator alone is told")
def test_freed_memory_is_reused_not_zeroed_again():
    def faults(reuse: bool) -> int:
        code = FAULTS.format(reuse=reuse)
        return int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)

    assert faults(reuse=True) < faults(reuse=False) / 3
