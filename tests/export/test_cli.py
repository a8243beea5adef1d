"""`fg-export` on the command line: what it says while it works."""

import sys

import pytest

from fingergen.export import cli


def test_progress_says_how_long_a_step_will_yet_take(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    now = 100.0
    monkeypatch.setattr(cli.time, "monotonic", lambda: now)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    progress = cli.Progress()
    progress("comparing", 0, 40)
    now = 103.0
    progress("comparing", 10, 40)
    now = 112.0
    progress("comparing", 40, 40)
    lines = capsys.readouterr().err.split("\r\x1b[K")
    assert lines[2] == "comparing [######                  ] 10 of 40, 9 s left"
    assert lines[3] == f"comparing [{24 * '#'}] 40 of 40, 12 s\n"


def test_progress_in_a_log_is_a_line_per_step(capsys) -> None:
    progress = cli.Progress()
    for done in range(3):
        progress("comparing", done, 2)
    progress("writing")
    assert capsys.readouterr().err == "comparing …\nwriting …\n"
