"""Settings and manifests of datasets, damaged or somebody else's: one line that names the file."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from fingergen.runtime.cli import main
from fingergen.runtime.errors import BadInput
from fingergen.runtime.files import write_atomically


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("datasets") / "set"
    words = ["dataset", "--renderer", "sensor", "--window", "64", "64", "--fingers", "2", "--out", str(out)]
    assert CliRunner().invoke(main, words).exit_code == 0
    return out


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "set")
    return tmp_path / "set"


def refused(folder: Path, name: str) -> None:
    """All that reads the set says in one line that a file is wrong, and changes nothing."""
    resumed = ["--renderer", "sensor", "--window", "64", "64", "--fingers", "2", "--resume", "--out", folder]
    merged = ["--merge", folder, "--out", folder.parent / "merged"]
    for words in (resumed, ["--verify", "--out", folder], merged):
        result = CliRunner().invoke(main, ["dataset", *map(str, words)], prog_name="fg-run")
        lines = result.stderr.splitlines()
        assert result.exit_code in (2, 3) and name in lines[0], result.output
        assert len(lines) == (1 if result.exit_code == 2 else 2), result.output
        assert all(line.isprintable() and len(line) < 500 for line in lines)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[
            ("fingers", value)
            for value in (2.0, 1e300, float("nan"), "2", "\x1b[2J", True, 0, -1, 10**18, [2])
        ],
        *[("impressions", value) for value in (10**18, 0, None, {})],
        *[("first_seed", value) for value in (2**64, -1, "0")],
        *[("database", "x"), ("database", 10), ("ppi", "500"), ("ppi", float("nan")), ("subjects", "no")],
        *[("format", ["png"]), ("templates", "json"), ("transactions", 1), ("layout", {})],
    ],
)
def test_settings_of_other_types(copy: Path, field: str, value: object):
    settings = json.loads((copy / "dataset.json").read_text())
    (copy / "dataset.json").write_text(json.dumps({**settings, field: value}))
    refused(copy, "dataset.json")


def test_fingers_that_grew_otherwise_are_not_continued(copy: Path):
    settings = json.loads((copy / "dataset.json").read_text())
    del settings["growth"]
    (copy / "dataset.json").write_text(json.dumps(settings))
    words = ["dataset", "--renderer", "sensor", "--window", "64", "64", "--fingers", "3", "--resume"]
    result = CliRunner().invoke(main, [*words, "--out", str(copy)], prog_name="fg-run")
    assert result.exit_code == 2
    assert "dataset.json: its growth is None, here it is" in result.stderr


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"[" * 100_000, b"null"])
def test_settings_that_are_none(copy: Path, content: bytes):
    (copy / "dataset.json").write_bytes(content)
    refused(copy, "dataset.json")


@pytest.mark.parametrize("finger", ["nan", "-1", "", "9" * 5000, "1.0", "\u0663"])
def test_rows_of_no_finger(copy: Path, finger: str):
    path = copy / "parts/0000000.csv"
    header, row, *rest = path.read_text().splitlines()
    place = header.split(",").index("finger")
    cells = row.split(",")
    cells[place] = finger
    path.write_text("\n".join([header, ",".join(cells), *rest]) + "\n")
    words = ["--renderer", "sensor", "--window", "64", "64", "--fingers", "2", "--resume", "--out", str(copy)]
    for arguments, code in ((words, 2), (["--verify", "--out", str(copy)], 3)):
        result = CliRunner().invoke(main, ["dataset", *arguments], prog_name="fg-run")
        assert result.exit_code == code and "0000000.csv: line 2 is not whole" in result.stderr


def test_a_name_that_is_too_long_is_said_of_the_file(tmp_path: Path):
    path = tmp_path / ("a" * 250)
    with pytest.raises(OSError, match="File name too long") as failed:
        write_atomically(path, b"")
    assert failed.value.filename == str(path) and not isinstance(failed.value, BadInput)
