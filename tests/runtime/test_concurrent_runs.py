"""Two processes that write at the same time: what one has written the other does not replace, and says so."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fingergen.runtime.datasets import DatasetRequest
from fingergen.runtime.datasets import folder as folder_module
from fingergen.runtime.datasets.layouts import LAYOUTS
from fingergen.runtime.datasets.table import write_settings
from fingergen.runtime.errors import BadInput
from fingergen.runtime.files import locked, write_atomically
from fingergen.runtime.images import read_image, read_provenance
from fingergen.runtime.minutiae import Minutia, Template, write_template
from fingergen.runtime.records import read_record

from .. import tiny_bundle
from ..processes import both, contents, ended, start

HOLD = """
import sys
from pathlib import Path
from fingergen.runtime.files import locked
with locked(Path(sys.argv[1]), shared=len(sys.argv) > 2):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle.write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


def holder(folder: Path, *shared: str) -> subprocess.Popen[bytes]:
    """Another process that holds the lock of a folder, until its input ends."""
    command = [sys.executable, "-c", HOLD, str(folder), *shared]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"locked\n"
    return process


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such lock")
def test_a_lock_keeps_others_out_and_ends_with_its_process(tmp_path: Path):
    folder = tmp_path / "set"
    with holder(folder) as process:
        for shared in (False, True):
            with (
                pytest.raises(BadInput, match="set: another process is writing there"),
                locked(folder, shared),
            ):
                pass
        process.kill()
    with locked(folder):
        (folder / "a").touch()
    with holder(folder, "shared") as process:
        with locked(folder, shared=True):
            pass
        with pytest.raises(BadInput), locked(folder):
            pass
        process.communicate(b"")
    assert [path.name for path in folder.iterdir()] == ["a"]


def test_a_lock_leaves_no_folder_that_was_not_there(tmp_path: Path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "set"):
        raise ZeroDivisionError
    (tmp_path / "empty").mkdir()
    with locked(tmp_path / "empty"):
        pass
    (tmp_path / "file").touch()
    for wrong in ("file", "file/set"):
        with pytest.raises(BadInput, match=rf"{wrong}: cannot be written \("), locked(tmp_path / wrong):
            pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file"]


@pytest.mark.parametrize("in_one_step", [True, False])
def test_of_many_that_write_a_new_file_one_does(tmp_path: Path, monkeypatch, in_one_step: bool):
    if not in_one_step:
        monkeypatch.setattr("fingergen.runtime.files._rename", lambda *_: False)
    path, refused = tmp_path / "a", []
    ready = threading.Barrier(8 if in_one_step else 1)

    def write(number: int) -> None:
        ready.wait()
        try:
            write_atomically(path, bytes([number]) * 1000, new=True)
        except FileExistsError as error:
            assert error.filename == str(path)
            refused.append(number)

    if in_one_step:
        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    else:
        for number in range(8):
            write(number)
    (winner,) = set(range(8)) - set(refused)
    assert path.read_bytes() == bytes([winner]) * 1000
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


SET = ["dataset", "--renderer", "sensor", "--window", 64, 64, "--fingers", 12, "--impressions", 2]


@pytest.mark.slow
def test_two_data_sets_in_one_folder(tmp_path: Path):
    out, alone = tmp_path / "set", tmp_path / "alone"
    ends = both("fg-run", [*SET, "--out", out], [*SET, "--seed", 500, "--out", out])
    assert [code for code, _ in ends] == [0, 2] and len(ends[1][1]) == 1, ends
    seed = 0 if (out / "00000000_1.png").exists() else 500
    assert ended(start("fg-run", *SET, "--seed", seed, "--out", alone)) == (0, [])
    assert contents(out) == contents(alone)


def test_a_shard_may_begin_while_another_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    request = DatasetRequest(4, renderer="sensor")
    settings = request.open(None, 1).settings
    layout = LAYOUTS["flat"](tmp_path, request.plan((2, 2)))
    monkeypatch.setattr(  # the other one comes between the first look and the last
        folder_module,
        "_refuse_other_images",
        lambda layout: write_settings(layout.folder, settings, new=True),
    )
    folder_module.open_folder(layout, settings, overwrite=False, resume=False)
    with pytest.raises(BadInput, match="exists already"):
        whole = LAYOUTS["flat"](tmp_path, request.plan())
        folder_module.open_folder(whole, settings, overwrite=False, resume=False)


@pytest.mark.slow
def test_two_shards_are_written_at_once_into_one_folder_but_not_replaced(tmp_path: Path):
    out, alone = tmp_path / "set", tmp_path / "alone"
    shards = [[*SET, "--shard", f"{number}/2", "--out", out] for number in (1, 2)]
    ends = both("fg-run", *shards)
    assert [code for code, _ in ends] == [0, 0], ends
    assert ended(start("fg-run", *SET, "--out", alone)) == (0, [])
    assert contents(out) == contents(alone)
    with holder(out, "shared") as process:
        for words in (
            [*shards[0], "--overwrite"],
            [*SET, "--resume", "--out", out],
            ["dataset", "--merge", alone, "--out", out],
        ):
            code, lines = ended(start("fg-run", *words))
            assert code == 2 and len(lines) == 1 and f"{out}: another process is writing there" in lines[0]
        process.communicate(b"")
    assert contents(out) == contents(alone)


@pytest.mark.slow
@pytest.mark.parametrize("image_format", ["png", "bmp"])
def test_two_syntheses_of_the_same_seeds(bundle: Path, tmp_path: Path, image_format: str):
    words = [
        "synth",
        "--count",
        40,
        "--bundle",
        bundle,
        "--format",
        image_format,
        "--out",
        tmp_path / "prints",
    ]
    ends = both("fg-run", [*words, "--truncation", 0.5], [*words, "--truncation", 0.25])
    assert ends[-1][0] == 2, ends
    for code, lines in ends:
        assert len(lines) == (code == 2) and all("exists already" in line for line in lines), lines
    images = sorted((tmp_path / "prints").glob(f"*.{image_format}"))
    for path in images:
        assert read_image(path).shape == (64, 64)
    if ends[0][0] == 0:  # else each was before the other somewhere, and both have stopped
        assert len(images) == 40
        assert len({read_provenance(path)["truncation"] for path in images}) == 1


@pytest.mark.slow
def test_two_bulk_reconstructions_of_the_same_names(bundle: Path, tmp_path: Path):
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
        for number in range(12):
            found = [Minutia(5 + 4 * i + len(folder), 20 + 3 * i, 30 * number) for i in range(6)]
            write_template(
                tmp_path / folder / f"{number}.fmr", Template(64, 64, 500, tuple(found)), "iso19794-2-2005"
            )
    end = ["--bundle", bundle, "--out", tmp_path / "prints"]
    words = [["reconstruct", *sorted((tmp_path / folder).iterdir()), *end] for folder in ("one", "other")]
    ends = both("fg-run", *words)
    assert ends[-1][0] == 2, ends
    for code, lines in ends:
        assert len(lines) == (code == 2) and all("exists already" in line for line in lines), lines
    assert all(read_image(path).shape == (64, 64) for path in (tmp_path / "prints").iterdir())


@pytest.mark.slow
def test_two_conversions_into_one_folder(bundle: Path, tmp_path: Path):
    prints = tmp_path / "prints"
    assert ended(start("fg-run", "synth", "--count", 12, "--bundle", bundle, "--out", prints)) == (0, [])
    inputs = sorted(prints.iterdir())
    words = [
        "convert",
        *inputs,
        "--to",
        "iso19794-4-2011",
        "--out",
        tmp_path / "records",
        "--date",
        "2026-01-01",
    ]
    ends = both("fg-run", [*words, "--position", 1], [*words, "--position", 2])
    records = sorted((tmp_path / "records").glob("*.fir"))
    assert len(records) == len(inputs)
    written = [read_record(path).images[0].position for path in records]
    assert {code for code, _ in ends} <= {0, 3}
    refused = [line for _, lines in ends for line in lines if line.startswith("skipped: ")]
    assert len(refused) == len(inputs) and all("exists already" in line for line in refused)
    assert len(written) == len(inputs) and set(written) <= {1, 2}
