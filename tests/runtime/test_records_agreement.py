"""Readers that others wrote find what FingerGen writes: the short form of `python -m tests.agreement`."""

import pytest

from .. import agreement


def test_all_readers_agree(capsys: pytest.CaptureFixture[str]):
    assert agreement.run(1), capsys.readouterr().out
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.endswith("1 of 1") for line in lines) >= len(agreement.FORMATS) + len(agreement.WRITABLE)
