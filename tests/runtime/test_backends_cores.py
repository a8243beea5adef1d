"""The cores that a process may use, under quotas as containers have them."""

import os
from pathlib import Path

import pytest

from fingergen.runtime.backends.cores import usable_cores


@pytest.fixture(autouse=True)
def sixteen_cores(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(16)))


@pytest.fixture
def machine(tmp_path: Path):
    """Count cores with these control group files and this membership."""

    def count(membership: str, **files: str) -> int:
        own = tmp_path / "membership"
        own.write_text(membership)
        for name, content in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return usable_cores(tmp_path / "cgroup", own)

    return count


@pytest.mark.parametrize(
    ("maximum", "expected"),
    [
        ("max 100000", 16),
        ("100000 100000", 1),
        ("150000 100000", 2),
        ("1000 100000", 1),
        ("9000000 100000", 16),
    ],
)
def test_version_2(machine, maximum: str, expected: int):
    assert machine("0::/\n", **{"cpu.max": maximum}) == expected


def test_tightest_of_the_ancestors(machine):
    files = {"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000", "a/b/c/cpu.max": "500000 100000"}
    assert machine("0::/a/b/c\n", **files) == 3


@pytest.mark.parametrize(("quota", "expected"), [("-1", 16), ("200000", 2), ("50000", 1)])
@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
def test_version_1(machine, mount: str, quota: str, expected: int):
    files = {f"{mount}/docker/1/cpu.cfs_quota_us": quota, f"{mount}/docker/1/cpu.cfs_period_us": "100000"}
    assert machine("4:memory:/x\n2:cpu,cpuacct:/docker/1\n", **files) == expected


def test_own_group_mounted_as_the_root(machine):
    """In a container, the path of the membership may be the host's."""
    files = {"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}
    assert machine("3:cpu:/kubepods/pod1/abc\n", **files) == 2


@pytest.mark.parametrize("content", ["", "rubbish", "max", "0 0", "-5 100", "1e3 5"])
def test_strange_files_are_no_quota(machine, content: str):
    assert machine("no membership", **{"cpu.max": content}) == 16


def test_without_control_groups(tmp_path: Path):
    assert usable_cores(tmp_path / "nothing", tmp_path / "nowhere") == 16
