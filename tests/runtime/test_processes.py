"""Worker processes end with the process that started them, however that ends."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PARENT = """
import os, time
from fingergen.runtime.processes import worker_processes

def work(seconds):
    print(os.getpid(), flush=True)
    time.sleep(seconds)

if __name__ == "__main__":
    with worker_processes(2) as pool:
        list(pool.map(work, [600, 600]))
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_no_worker_outlives_its_parent(end: signal.Signals, tmp_path: Path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        workers = [int(parent.stdout.readline()) for _ in range(2)]
        parent.send_signal(end)
        assert parent.wait(60) == -end
    deadline = time.monotonic() + 60
    while any(map(_runs, workers)):
        assert time.monotonic() < deadline, "a worker waits for work that no one will give it"
        time.sleep(0.05)


def _runs(process: int) -> bool:
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"  # ended, if no one has asked how
