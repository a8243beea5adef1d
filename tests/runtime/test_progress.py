"""Progress of long runs in a log file: a line now and then, with the time that is left."""

import pytest

from fingergen.runtime.cli import progress
from fingergen.runtime.cli.progress import ImageProgress


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(progress, "time", found)
    return found


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.splitlines()[-1]


def test_a_line_every_ten_seconds(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    shown = ImageProgress(100, "images of prints")
    for second in range(1, 26):
        clock.now = second
        shown.made(2)
    shown.close()
    assert capsys.readouterr().err.splitlines() == [
        "20 of 100 images of prints (20.0%), 2.0 images/s, 0:00:40 left",
        "40 of 100 images of prints (40.0%), 2.0 images/s, 0:00:30 left",
    ]


def test_what_is_kept_takes_no_time(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    shown = ImageProgress(1000)
    shown.kept(800)
    clock.now = 20
    shown.made(5)
    assert last_line(capsys) == "805 of 1000 images (80.5%), 0.25 images/s, 0:13:00 left"


def test_a_beginning_out_of_a_cache_is_forgotten(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    shown = ImageProgress(1000)
    shown.made(900)  # at once
    for second in range(10, 101, 10):
        clock.now = second
        shown.made(1)
    assert last_line(capsys) == "910 of 1000 images (91.0%), 0.1 images/s, 0:15:00 left"


def test_a_run_of_nothing_new_has_a_rate(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    shown = ImageProgress(3600, "fingers")
    clock.now = 10
    shown.kept(10)
    assert last_line(capsys) == "10 of 3600 fingers (0.3%), 1.0 fingers/s, 0:59:50 left"
