"""Layouts, shards, pairs and checks of datasets; on small windows of grown fingers, which need no bundle."""

import csv
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from fingergen.runtime.cli import main
from fingergen.runtime.datasets import layouts, plan, request, writer
from fingergen.runtime.datasets.impressions import Made
from fingergen.runtime.datasets.pairs import genuine, impostor
from fingergen.runtime.fingers import FingerPosition, make_finger, sample_pattern
from fingergen.runtime.images import read_image, read_provenance
from fingergen.runtime.minutiae import Template, read_template
from fingergen.runtime.records.image import LIVE_PLAIN, LIVE_ROLLED
from fingergen.runtime.records.io import read_record

FEW = 3  # fingers per part in these tests
PROGRAM = """
import sys
import fingergen.runtime.cli
from fingergen.runtime.datasets import layouts, plan, writer
layouts.PART = plan.PART = writer.PART = int(sys.argv.pop(1))
fingergen.runtime.cli.main(prog_name="fg-run")
"""


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch):
    for module in (layouts, plan, writer):
        monkeypatch.setattr(module, "PART", FEW)


def dataset(*arguments: object, code: int = 0) -> Result:
    words = ["dataset", "--renderer", "sensor", "--window", 64, 64, "--threads", 2, *arguments]
    result = CliRunner().invoke(main, list(map(str, words)))
    assert result.exit_code == code, result.output
    return result


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_layout_fvc_has_the_competitions_names_and_pairs(tmp_path: Path):
    size = ("--fingers", 13, "--impressions", 2)
    dataset(*size, "--layout", "fvc", "--database", 3, "--pairs", "--out", tmp_path)
    a, b = tmp_path / "DB3_A", tmp_path / "DB3_B"
    assert sorted(path.name for path in a.glob("*.png")) == [
        f"{f}_{i}.png" for f in (1, 2, 3) for i in (1, 2)
    ]
    assert len(list(b.glob("*.png"))) == 20 and (b / "13_2.json").is_file()
    assert (a / "genuine.csv").read_text().splitlines()[:2] == ["file,other", "1_1.png,1_2.png"]
    assert (a / "impostor.csv").read_text().splitlines()[1:] == [
        "1_1.png,2_1.png",
        "1_1.png,3_1.png",
        "2_1.png,3_1.png",
    ]
    assert len((b / "impostor.csv").read_text().splitlines()) == 1 + 45
    rows = table(tmp_path / "impressions.csv")
    assert rows[-1]["file"] == "DB3_B/13_2.png" and rows[-1]["seed"] == "12"


def test_pairs_are_those_of_the_protocol_or_evenly_spread():
    assert len(list(genuine(range(100), 8))) == 2800  # FVC: 100 fingers of 8 impressions
    every = list(impostor(range(100)))
    assert len(set(every)) == len(every) == 4950
    assert every == [((i, 1), (j, 1)) for i in range(100) for j in range(i + 1, 100)]
    some = list(impostor(range(100000), 1000))
    assert len(set(some)) == 1000 and all(one < other < (100000, 0) for one, other in some)


def test_shards_are_tar_files_of_webdataset(tmp_path: Path):
    formats = ("--template-format", "xyt", "--template-format", "iso19794-2-2005")
    dataset("--fingers", 4, "--layout", "shards", *formats, "--out", tmp_path)
    assert sorted(path.name for path in (tmp_path / "shards").iterdir()) == ["0000000.tar", "0000001.tar"]
    rows = table(tmp_path / "impressions.csv")
    assert [row["shard"] for row in rows] == ["shards/0000000.tar"] * 6 + ["shards/0000001.tar"] * 2
    with tarfile.open(tmp_path / "shards/0000001.tar") as tar:
        assert tar.getnames() == [
            f"00000003_{i}.{kind}" for i in (1, 2) for kind in ("xyt", "fmr", "meta.json", "png")
        ]
        member = tar.extractfile("00000003_2.png")
        assert member is not None
        image = member.read()
        meta = tar.extractfile("00000003_2.meta.json")
        assert meta is not None and json.loads(meta.read())["class"] == rows[-1]["class"]
    assert hashlib.sha256(image).hexdigest() == rows[-1]["sha256"].split()[0]


@pytest.mark.parametrize("layout", ["flat", "shards"])
def test_any_number_of_shards_make_the_same_set(tmp_path: Path, layout: str):
    size = ("--fingers", 8, "--layout", layout)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    dataset(*size, "--out", whole)
    for number in (3, 1, 2):  # in one folder, in any order
        dataset(*size, "--shard", f"{number}/3", "--out", parts)
        assert (parts / "impressions.csv").exists() == (number == 2)
    assert contents(parts) == contents(whole)
    for number in (1, 2):  # in folders of their own
        dataset(*size, "--shard", f"{number}/2", "--out", tmp_path / str(number))
    merged = tmp_path / "merged"
    assert "some shards are missing" in dataset("--merge", tmp_path / "1", "--out", merged).output
    result = dataset("--merge", tmp_path / "1", "--merge", tmp_path / "2", "--out", merged)
    assert "1 parts added, the set is whole" in result.output
    assert contents(merged) == contents(whole)
    other = tmp_path / "other"
    dataset(*size, "--seed", 50, "--shard", "1/2", "--out", other)
    message = dataset("--merge", other, "--out", merged, code=2).output
    assert "first_seed" in message and contents(merged) == contents(whole)


@pytest.mark.parametrize("layout", ["flat", "shards"])
def test_verify_finds_what_is_not_as_it_was_written(tmp_path: Path, layout: str):
    whole = tmp_path / "whole"
    size = ("--fingers", 4, "--layout", layout)
    dataset(*size, "--out", whole)
    before = contents(whole)
    assert "8 images, all as they were written" in dataset("--verify", "--out", whole).output
    assert "leave out --fingers" in dataset(*size, "--verify", "--resume", "--out", whole, code=2).output
    victim = whole / ("00000001_2.png" if layout == "flat" else "shards/0000000.tar")
    content = bytearray(victim.read_bytes())
    content[content.index(b"IDAT") + 8] ^= 1
    victim.write_bytes(content)
    damaged = "00000001_2.png" if layout == "flat" else "00000000_1.png"
    assert damaged in dataset("--verify", "--out", whole, code=3).output
    dataset(*size, "--resume", "--out", whole)  # it has its size, and not its hash
    assert contents(whole) == before
    victim.unlink()
    assert "is not there" in dataset("--verify", "--out", whole, code=3).output
    assert ("1 images" if layout == "flat" else "6 images") in dataset(
        *size, "--resume", "--out", whole
    ).output
    assert contents(whole) == before


def test_a_set_grows_within_parts_that_are_whole(tmp_path: Path):
    grown, whole = tmp_path / "grown", tmp_path / "whole"
    dataset("--fingers", 4, "--impressions", 1, "--out", grown)
    dataset("--fingers", 5, "--impressions", 2, "--resume", "--shard", "1/2", "--out", grown)
    assert not (grown / "impressions.csv").exists()  # the parts of the other shard have not grown
    dataset("--fingers", 5, "--impressions", 2, "--resume", "--shard", "2/2", "--out", grown)
    dataset("--fingers", 5, "--impressions", 2, "--out", whole)
    assert contents(grown) == contents(whole)


def test_a_damaged_manifest_is_one_line(tmp_path: Path):
    dataset("--fingers", 1, "--out", tmp_path)
    part = tmp_path / "parts/0000000.csv"
    whole = part.read_text()
    for damage in ("", "a,b\n1,2\n", whole[:-300] + "\n", whole.replace("00000000_1.png ", "../../x ")):
        part.write_text(damage)
        message = dataset("--fingers", 1, "--out", tmp_path, "--resume", code=2).output
        assert "--resume" in message and len(message.splitlines()) == 1


class Countless:
    """A maker of fingers without end, until it has been asked for enough."""

    def __init__(self, enough: int) -> None:
        self.enough = enough

    def images(self, entries, use) -> Iterator:
        template = Template(8, 8)
        for count, entry in enumerate(entries):
            if count == self.enough:
                raise KeyboardInterrupt
            yield use(entry, Made(np.zeros((8, 8), np.uint8), template, {}, {}, ""))


def test_ten_million_fingers_begin_at_once_in_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(request, "SensorMaker", lambda *_: Countless(20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    words = ["dataset", "--renderer", "sensor", "--fingers", str(10**7), "--impressions", "8"]
    result = CliRunner().invoke(main, [*words, "--out", str(tmp_path)])
    assert result.exit_code != 0 and len(list(tmp_path.glob("*.png"))) == 20
    assert time.monotonic() - began < 10  # 0.1 s alone on a machine
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


def start(out: Path, *arguments: object) -> subprocess.Popen[str]:
    words = ["--renderer", "sensor", "--window", "64", "64", "--threads", "2", "--out", str(out)]
    command = [sys.executable, "-c", PROGRAM, str(plan.PART), "dataset", *words, *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def wait_for_images(out: Path, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while len(list(out.rglob("*.png"))) + 9 * len(list(out.rglob(".*.tar.*"))) < count:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "layout"),
    [
        ("SIGKILL", -9, "flat"),
        ("SIGKILL", -9, "fvc"),
        ("SIGKILL", -9, "shards"),
        ("SIGTERM", 143, "shards"),
        ("SIGINT", 130, "flat"),
    ],
)
def test_ended_by_a_signal_and_continued(tmp_path: Path, number: str, code: int, layout: str):
    out, whole = tmp_path / "set", tmp_path / "whole"
    size = ("--fingers", 24, "--impressions", 1, "--layout", layout)
    with start(out, *size) as process:
        wait_for_images(out, 5, process)
        process.send_signal(getattr(signal, number))
        _, message = process.communicate(timeout=60)
    assert process.returncode == code
    assert not (out / "impressions.csv").exists()
    if number != "SIGKILL":
        assert len(message.strip().splitlines()) == 1 and not list(out.rglob(".*"))
    dataset(*size, "--out", out, "--resume")
    dataset(*size, "--out", whole)
    assert contents(out) == contents(whole)


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["flat", "shards"])
def test_subjects_with_transactions_are_killed_and_continued(
    tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch
):
    for module in (layouts, plan, writer):
        monkeypatch.setattr(module, "PART", 10)
    out, whole = tmp_path / "set", tmp_path / "whole"
    size = ("--subjects", 3, "--impressions", 2, "--rolled", 1, "--transactions", "--layout", layout)
    with start(out, *size) as process:
        deadline = time.monotonic() + 120
        while not list(out.rglob("*.an2")):  # of the first part
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.001)
        process.kill()
    assert not (out / "impressions.csv").exists()
    dataset(*size, "--out", out, "--resume")
    dataset(*size, "--out", whole)
    assert contents(out) == contents(whole)


def test_a_full_disk_is_one_line_and_the_set_is_continued(tmp_path: Path):
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("mounts a small file system, as root only")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], capture_output=True
    ).returncode:
        pytest.skip("may not mount a file system")
    try:
        size = ("--fingers", 12, "--layout", "flat")
        message = dataset(*size, "--out", disk / "set", code=1).output
        assert "No space left on device" in message and len(message.splitlines()) == 1
        assert not list(disk.rglob(".*"))
        shutil.copytree(disk / "set", tmp_path / "set")
    finally:
        subprocess.run(["umount", disk], check=True)
    dataset(*size, "--out", tmp_path / "set", "--resume")
    dataset(*size, "--out", tmp_path / "whole")
    assert contents(tmp_path / "set") == contents(tmp_path / "whole")


class Picky:
    """A gate that refuses the first draws of some impressions."""

    def check(self, made: Made) -> tuple[bool, dict[str, str]]:
        level = int(made.pixels.astype(int).sum()) % 4
        return level > 0, {"nfiq2": str(level)}


@pytest.mark.parametrize("layout", ["flat", "shards"])
def test_what_a_gate_refuses_is_drawn_again_the_same_in_any_shard(tmp_path: Path, layout: str, monkeypatch):
    monkeypatch.setattr(request, "_open_gate", lambda *_: Picky())
    size = ("--fingers", 7, "--gate", "nfiq2=1", "--layout", layout)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    output = dataset(*size, "--out", whole).output
    rows = table(whole / "impressions.csv")
    again = [row for row in rows if row["attempts"] != "1"]
    assert again and f"{sum(int(row['attempts']) - 1 for row in rows)} made again" in output
    assert {row["nfiq2"] for row in rows} == {"1", "2", "3"}
    for number in (2, 1):
        dataset(*size, "--shard", f"{number}/2", "--out", parts)
    assert contents(parts) == contents(whole)
    seed, impression, attempts = (int(again[0][key]) for key in ("seed", "impression", "attempts"))
    taken = make_finger(seed, (64, 64)).impression(impression - 1 + (attempts - 1) * plan.ATTEMPT)
    assert f"{taken.capture.rotation:.6g}" == again[0]["rotation"]


def test_the_gate_of_nist(tmp_path: Path):
    pytest.importorskip("nbis", reason="the extra eval is not installed")
    words = [
        "dataset",
        "--renderer",
        "sensor",
        "--window",
        "256",
        "256",
        "--fingers",
        "1",
        "--preset",
        "easy",
    ]
    gate = ["--gate", "recall=0.5,spurious=0.5,nfiq2=5", "--out", str(tmp_path)]
    result = CliRunner().invoke(main, [*words, *gate])
    assert result.exit_code == 0, result.output
    for row in table(tmp_path / "impressions.csv"):
        assert 0.5 <= float(row["recall"]) <= 1 and 0 <= float(row["spurious"]) <= 0.5
        assert 5 <= int(row["nfiq2"]) <= 100
    assert json.loads((tmp_path / "dataset.json").read_text())["gate"]["recall"] == 0.5
    for wrong in ("recall", "recall=2", "beauty=1", "nfiq2=5,nfiq2=6", "nfiq2=nan"):
        message = CliRunner().invoke(main, [*words, "--gate", wrong, "--out", str(tmp_path / "x")]).output
        assert "--gate" in message and not (tmp_path / "x").exists()


def test_the_gate_refuses_what_is_no_print():
    pytest.importorskip("nbis", reason="the extra eval is not installed")
    from fingergen.runtime.datasets.gate import NistGate

    nothing = Made(np.full((192, 192), 255, np.uint8), Template(192, 192), {}, {}, "")
    assert NistGate({"recall": 0.0, "nfiq2": 0.0}, 500.0).check(nothing) == (False, {})


def test_subjects_have_ten_fingers_each_with_classes_of_their_position(tmp_path: Path):
    dataset("--subjects", 2, "--impressions", 1, "--out", tmp_path)
    rows = table(tmp_path / "impressions.csv")
    assert [row["subject"] for row in rows] == ["0"] * 10 + ["1"] * 10
    assert [row["position"] for row in rows] == 2 * [position.value for position in FingerPosition]
    for row in rows:
        kind = sample_pattern(int(row["seed"]), position=FingerPosition(row["position"])).kind
        assert row["class"] == kind.value
    assert read_provenance(tmp_path / "00000011_1.png")["position"] == "right-index"
    dataset("--subjects", 3, "--impressions", 1, "--resume", "--out", tmp_path)
    assert "30 images" in dataset("--verify", "--out", tmp_path).output
    assert "--subjects" in dataset("--subjects", 1, "--fingers", 3, "--out", tmp_path / "x", code=2).output


def test_rolled_impressions_show_more_of_the_sides(tmp_path: Path):
    dataset(
        "--fingers",
        1,
        "--impressions",
        2,
        "--rolled",
        1,
        "--window",
        512,
        512,
        "--contact",
        1,
        "--out",
        tmp_path,
    )
    rows = table(tmp_path / "impressions.csv")
    assert [row["impression_type"] for row in rows] == ["rolled", "plain"]
    rolled, plain = (json.loads(row["outline"])[2] for row in rows)  # half widths
    assert 1.2 < rolled / plain < 1.7
    assert read_provenance(tmp_path / "00000000_1.png")["impression_type"] == "rolled"
    assert "impression_type" not in read_provenance(tmp_path / "00000000_2.png")
    counts = [len(json.loads((tmp_path / row["template"]).read_text())["minutiae"]) for row in rows]
    assert counts[0] > counts[1]


@pytest.mark.parametrize("layout", ["flat", "shards"])
def test_each_subject_has_a_transaction(tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch):
    for module in (layouts, plan, writer):
        monkeypatch.setattr(module, "PART", 10)
    whole, shared = tmp_path / "whole", tmp_path / "shared"
    size = ("--subjects", 2, "--impressions", 2, "--rolled", 1, "--transactions", "--layout", layout)
    dataset(*size, "--out", whole)
    assert sorted(path.name for path in (whole / "transactions").iterdir()) == ["0000000.an2", "0000001.an2"]
    content = read_record(whole / "transactions/0000001.an2")
    assert [image.position for image in content.images] == [p for p in range(1, 11) for _ in (1, 2)]
    assert [image.impression_type for image in content.images] == [LIVE_ROLLED, LIVE_PLAIN] * 10
    rows = table(whole / "impressions.csv")[20:]
    if layout == "flat":
        for image, template, row in zip(content.images, content.templates, rows, strict=True):
            np.testing.assert_array_equal(image.pixels, np.asarray(read_image(whole / row["file"])))
            assert len(template.minutiae) == len(read_template(whole / row["template"]).minutiae)
    for number in (1, 2):
        dataset(*size, "--shard", f"{number}/2", "--out", shared / str(number))
    merged = tmp_path / "merged"
    dataset("--merge", shared / "1", "--merge", shared / "2", "--out", merged)
    assert contents(merged) == contents(whole)
    before = contents(whole)
    (whole / "transactions/0000001.an2").unlink()
    assert "0000001.an2: is not there" in dataset("--verify", "--out", whole, code=3).output
    dataset(*size, "--resume", "--out", whole)
    assert contents(whole) == before
    (whole / "transactions/0000000.an2").write_bytes(b"x")
    assert "0000000.an2: is not as it was written" in dataset("--verify", "--out", whole, code=3).output
    assert "--subjects" in dataset("--fingers", 2, "--transactions", "--out", tmp_path / "x", code=2).output


def test_a_template_format_that_ends_before_the_image(tmp_path: Path):
    """The second impression of this finger has a minutia beyond the 25.5 mm of the compact card format."""
    words = ("--renderer", "sensor", "--preset", "easy", "--seed", "3", "--fingers", "1")
    formats = ("--template-format", "json", "--template-format", "iso19794-2-card-compact")
    result = CliRunner().invoke(main, ["dataset", *words, *formats, "--out", str(tmp_path / "set")])
    assert result.exit_code == 0, result.output
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "set").glob("*.iso-fmc-cs")}
    counts = {
        number: len(read_template(tmp_path / "set" / f"00000003_{number}.json").minutiae) for number in (1, 2)
    }
    assert sizes == {"00000003_1.iso-fmc-cs": 3 * counts[1], "00000003_2.iso-fmc-cs": 3 * (counts[2] - 1)}
