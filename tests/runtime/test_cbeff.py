"""CBEFF structures of the PIV patron format."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fingergen.runtime import cbeff
from fingergen.runtime.cli import main
from fingergen.runtime.errors import BadInput
from fingergen.runtime.images import read_image
from fingergen.runtime.minutiae import WRITABLE, read_template
from fingergen.runtime.records import FORMATS, FingerImage, decode_record, write_record

SAMPLE = Path(__file__).parents[1] / "data" / "minutiae" / "sample.json"
WHEN = datetime(2005, 12, 15, 17, 35, 30)


def test_header():
    """The fields of SP 800-76, with the date that its text encodes as an example."""
    wrapped = cbeff.wrap(b"record", "ansi378-2004", True, WHEN)
    header, record = wrapped[: cbeff.HEADER], wrapped[cbeff.HEADER :]
    date = bytes.fromhex("14050c0f11231e5a")
    assert record == b"record"
    assert header[:12] == bytes.fromhex("03 0d 00000006 0000 001b 0202")
    assert header[12:20] == header[20:28] == date
    assert header[36:41] == bytes.fromhex("000008 80 fe")
    assert header[41:59] == b"FingerGen" + bytes(9)
    assert header[59:] == bytes(29)


@pytest.mark.parametrize("name", cbeff.IDENTIFIERS)
def test_convert_there_and_back(tmp_path: Path, name: str):
    source = SAMPLE
    if name in FORMATS:
        source = tmp_path / "finger.png"
        write_record(source, FingerImage(np.arange(4800, dtype=np.uint8).reshape(80, 60), 500), "png")
    command = ["convert", str(source), "--to", name, "--cbeff", "--date", "2005-12-15T17:35:30"]
    result = CliRunner().invoke(main, [*command, "--out", str(tmp_path / "there")])
    assert result.exit_code == 0, result.output
    (written,) = (tmp_path / "there").glob(f"{source.stem}.*")
    assert written.read_bytes()[:2] == b"\x03\x0d"
    back = "png" if name in FORMATS else "json"
    command = ["convert", str(written), "--to", back, "--out", str(tmp_path / "back")]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    found = tmp_path / "back" / f"{source.stem}.{back}"
    if name in FORMATS:
        assert (read_image(found) == read_image(source)).all()
    else:
        assert len(read_template(found).minutiae) == len(read_template(SAMPLE).minutiae)


@pytest.mark.parametrize("name", sorted({*FORMATS, *WRITABLE} - cbeff.IDENTIFIERS.keys()))
def test_formats_without_an_identifier_are_refused(tmp_path: Path, name: str):
    command = ["convert", str(SAMPLE), "--to", name, "--cbeff", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2 and f"not {name}" in result.output
    assert not (tmp_path / "out").exists()
    with pytest.raises(BadInput, match="is not wrapped in CBEFF"):
        cbeff.wrap(b"", name, False, WHEN)


def test_damaged_structures_get_one_line():
    for data in (cbeff.wrap(b"", "iso19794-4-2011", False, WHEN), b"\x03" * 200):
        with pytest.raises(BadInput, match=r"^file: [^\n]+$"):
            decode_record(data, "file")
