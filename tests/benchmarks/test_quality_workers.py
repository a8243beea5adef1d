"""Worker processes of `fg-bench quality` on their cores."""

import os
import time

import pytest

from fingergen.benchmarks.quality import workers


def test_fewer_workers_than_cores_take_the_idlest(monkeypatch: pytest.MonkeyPatch):
    readings = iter([{0: 100, 1: 50, 2: 7}, {0: 120, 1: 51, 2: 17}])
    monkeypatch.setattr(workers, "_busy_ticks", lambda: next(readings))
    assert workers._idlest_first([0, 1, 2]) == [1, 2, 0]


def test_busy_cores_count_on():
    before = workers._busy_ticks()
    deadline = time.process_time() + 0.1
    while time.process_time() < deadline:
        pass
    after = workers._busy_ticks()
    assert os.sched_getaffinity(0) <= before.keys() == after.keys()
    assert sum(after.values()) >= sum(before.values()) + 5  # hundredths of a second
    assert all(after[core] >= before[core] for core in before)
