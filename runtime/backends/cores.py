"""CPU cores that this process may use: its affinity, and the quotas of the control groups that it is in.

A container that is given one CPU (`docker run --cpus=1`, a limit in Kubernetes) still sees every core of its
host; the kernel enforces a quota of CPU time. Sources: the kernel's Documentation/admin-guide/cgroup-v2.rst
(`cpu.max`) and Documentation/scheduler/sched-bwc.rst (`cpu.cfs_quota_us`, `cpu.cfs_period_us`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def usable_cores(cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> int:
    """How many threads this process can run at once.

    Args:
        cgroups: where the control groups' file systems are mounted.
        membership: the file that says which groups the process is in.

    Returns:
        The number of cores in the process's affinity, or the tightest CPU quota of its control groups and
        their ancestors (version 1 or 2), rounded up, where that is less; at least 1.
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        cores = os.cpu_count() or 1
    quotas = [math.ceil(quota) for quota in _quotas(cgroups, membership)]
    return max(1, min([cores, *quotas]))


def _quotas(cgroups: Path, membership: Path) -> Iterator[float]:
    """CPU quotas, in cores, of the process's groups and their ancestors."""
    for folder in _folders(cgroups, membership):
        maximum = _text(folder / "cpu.max").split()  # version 2: "max 100000" or "50000 100000"
        quota, period = maximum if len(maximum) == 2 else ("", "")
        if not maximum:  # version 1, where -1 is no quota
            quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
        if quota.isdecimal() and period.isdecimal() and int(quota) and int(period):
            yield int(quota) / int(period)


def _folders(cgroups: Path, membership: Path) -> Iterator[Path]:
    """Folders of the process's groups and their ancestors. Within a container the own group may be mounted as
    the root, whatever its path is outside, so that the root is always among them.
    """
    paths = {"": "/", "cpu": "/"}
    for line in _text(membership).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for controller in controllers.split(","):
            paths[controller] = path
    roots = [(cgroups, paths[""]), (cgroups / "unified", paths[""])]
    roots += [(cgroups / mount, paths["cpu"]) for mount in ("cpu", "cpu,cpuacct")]
    for root, path in roots:
        folder = root / path.strip("/")
        while True:
            yield folder
            if folder == root:
                break
            folder = folder.parent


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
