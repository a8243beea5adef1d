"""Processes that work through many items."""

import os
import signal

from fingergen.training.data.pool import in_processes


def crash(item: int) -> int:
    if item in (3, 17):
        os.kill(os.getpid(), signal.SIGKILL)
    return item * item


def test_a_process_that_dies_costs_its_item_alone():
    results = dict(in_processes(crash, range(24), 2, on_crash=lambda item: -1))
    assert results == {item: -1 if item in (3, 17) else item * item for item in range(24)}
