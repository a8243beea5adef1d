"""Stages on threads: everything passes once, little is held, errors and leaving end all threads."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import pytest

from fingergen.runtime.pipeline.stages import Pipeline, Stage


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def test_every_item_passes_once() -> None:
    stages = [
        Stage("split", lambda n: [n] * (n % 3), threads=3, room=2),  # none, one or two for each
        Stage("square", lambda n: [n * n], threads=2, room=5),
    ]
    expected = Counter(n * n for n in range(200) for _ in range(n % 3))
    assert Counter(Pipeline(range(200), stages)) == expected


def test_one_thread_each_keeps_the_order() -> None:
    stages = [Stage(name, lambda n: [n + 1], threads=1, room=1) for name in "ab"]
    assert list(Pipeline(range(50), stages)) == list(range(2, 52))
    assert list(Pipeline([], stages)) == []


def test_threads_of_a_stage_work_at_once() -> None:
    together = threading.Barrier(2, timeout=30)

    def meet(item: int) -> list[int]:
        together.wait()
        return [item]

    assert sorted(Pipeline(range(6), [Stage("meet", meet, threads=2, room=1)])) == list(range(6))


def test_stages_work_at_once() -> None:
    """An item's second stage meets the next item's first."""
    together = threading.Barrier(2, timeout=30)

    def meet(item: int, alone: int) -> list[int]:
        if item != alone:
            together.wait()
        return [item]

    stages = [
        Stage("first", lambda n: meet(n, alone=0), threads=1, room=4),
        Stage("second", lambda n: meet(n, alone=6), threads=1, room=4),
    ]
    assert list(Pipeline(range(7), stages)) == list(range(7))


def test_few_items_are_held() -> None:
    taken: list[int] = []

    def source() -> Iterator[int]:
        for n in range(10**6):
            taken.append(n)
            yield n

    with closing(iter(Pipeline(source(), [Stage("pass", lambda n: [n], threads=2, room=3)]))) as results:
        for _ in range(10):
            next(results)
        time.sleep(0.2)
        assert len(taken) <= 10 + 2 + 2 + 3 + 1  # given, waiting, in hand, finished, offered


@pytest.mark.parametrize("place", ["source", "first", "last"])
def test_the_first_error_ends_all(place: str) -> None:
    def fail_at_20(name: str, n: int) -> int:
        if name == place and n >= 20:
            raise ValueError(f"{name} {n}")
        return n

    stages = [Stage(name, lambda n, name=name: [fail_at_20(name, n)], 2, 2) for name in ("first", "last")]
    source = (fail_at_20("source", n) for n in range(10**6))
    given = 0
    with pytest.raises(ValueError, match=f"{place} 2"):
        for _ in Pipeline(source, stages):
            given += 1
    assert given <= 20


def test_closing_ends_all_threads() -> None:
    with closing(iter(Pipeline(iter(int, 1), [Stage("pass", lambda n: [n], 3, 1)]))) as results:
        assert next(results) == 0


def test_time_is_accounted_for() -> None:
    def slowly(n: int) -> list[int]:
        time.sleep(0.02)
        return [n]

    pipeline = Pipeline(
        range(10),
        [Stage("quick", lambda n: [n], threads=1, room=1), Stage("slow", slowly, threads=2, room=1)],
    )
    began = time.perf_counter()
    assert len(list(pipeline)) == 10
    seconds = time.perf_counter() - began
    quick, slow = pipeline.spent["quick"], pipeline.spent["slow"]
    assert slow.working >= 10 * 0.02 and quick.working < slow.working
    assert quick.blocked > 0.02  # it waits for the slow one
    for name, threads in (("quick", 1), ("slow", 2)):
        spent = pipeline.spent[name]
        assert spent.working + spent.starved + spent.blocked <= threads * seconds * 1.01
