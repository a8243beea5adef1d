"""`fg-run convert`."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from fingergen.runtime.cli import main
from fingergen.runtime.images import read_image
from fingergen.runtime.minutiae import WRITABLE, Minutia, Template, read_template, write_template
from fingergen.runtime.records import FORMATS, Details, FingerImage, read_record, write_record

SAMPLE = Path(__file__).parents[1] / "data" / "minutiae" / "sample.json"
PROVENANCE = {"synthetic": "yes", "fingergen": "0.1.0"}


def convert(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["convert", *map(str, arguments)])


@pytest.fixture
def print_file(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "finger.png"
    path.parent.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (70, 60)).astype(np.uint8)
    write_record(path, FingerImage(pixels, 500, provenance=PROVENANCE), "png")
    return path


@pytest.mark.parametrize("name", FORMATS)
def test_there_and_back(print_file, tmp_path, name):
    there = convert(print_file, "--to", name, "--out", tmp_path / "there", "--position", 3)
    assert there.exit_code == 0, there.output
    extension = FORMATS[name].extensions[0]
    back = convert(tmp_path / "there" / f"finger{extension}", "--to", "png", "--out", tmp_path / "back")
    assert back.exit_code == 0, back.output
    found = tmp_path / "back" / "finger.png"
    assert read_record(found).images[0].provenance.items() >= PROVENANCE.items()
    if name in ("jp2", "wsq", "ansi-nist"):
        assert read_image(found).shape == (70, 60)
    else:
        assert np.array_equal(read_image(found), read_image(print_file))


@pytest.mark.parametrize("name", WRITABLE)
def test_templates(tmp_path, name):
    result = convert(SAMPLE, "--to", name, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    (written,) = tmp_path.iterdir()
    assert len(read_template(written, name).minutiae) == len(read_template(SAMPLE).minutiae)


def test_a_quoted_pattern_stands_for_its_files(tmp_path):
    for name in ("b.json", "a.json", "a[1].json", "c.txt"):
        (tmp_path / name).write_bytes(SAMPLE.read_bytes())
    result = convert(tmp_path / "*.json", tmp_path / "a[1].json", "--to", "xyt", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.xyt", "a[1].xyt", "b.xyt"]
    result = convert(tmp_path / "*.fmr", "--to", "xyt", "--out", tmp_path / "out")
    assert result.exit_code == 2 and "*.fmr: cannot be read" in result.stderr


def test_a_template_too_wide_for_a_card_is_named(tmp_path):
    wide = tmp_path / "wide.json"
    write_template(wide, Template(2000, 600, 500, (Minutia(100, 20, 0), Minutia(1000, 500, 0))))
    result = convert(wide, "--to", "iso19794-2-card-compact", "--out", tmp_path / "out")
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert f"{wide}, as wide.iso-fmc-cs: minutia 2 is at (50.8, 25.4) mm" in result.stderr
    assert "up to 25.5 mm: write iso19794-2-card-normal" in result.stderr
    result = convert(wide, "--to", "iso19794-2-card-normal", "--out", tmp_path / "out")
    assert result.exit_code == 0 and len(list((tmp_path / "out").iterdir())) == 1


def test_an_image_and_its_template_go_into_one_transaction(print_file, tmp_path):
    template = print_file.with_suffix(".json")
    template.write_bytes(SAMPLE.read_bytes())
    assert convert(print_file, template, "--to", "ansi-nist", "--out", tmp_path / "t").exit_code == 0
    transaction = tmp_path / "t" / "finger.an2"
    content = read_record(transaction)
    assert len(content.images) == len(content.templates) == 1
    assert convert(transaction, "--to", "ansi378-2009", "--out", tmp_path / "t").exit_code == 0
    found = read_template(tmp_path / "t" / "finger.ansi2009")
    assert len(found.minutiae) == len(read_template(SAMPLE).minutiae)


def test_several_images_become_several_files(tmp_path):
    images = [FingerImage(np.full((40, 40), level, np.uint8), 500) for level in (10, 20)]
    write_record(tmp_path / "both.fir", images, "iso19794-4-2011", Details())
    result = convert(tmp_path / "both.fir", "--to", "bmp", "--out", tmp_path)
    assert result.output == f"{tmp_path}: 2 files written as bmp\n"
    assert [read_image(tmp_path / f"both_{n}.bmp")[0, 0] for n in (1, 2)] == [10, 20]


def test_the_same_bytes_for_the_same_date(print_file, tmp_path):
    for name in "ab":
        date = "2026-01-02" if name == "a" else "2026-01-02T00:00:00"
        convert(print_file, "--to", "ansi-nist", "--date", date, "--out", tmp_path / name)
    assert (tmp_path / "a/finger.an2").read_bytes() == (tmp_path / "b/finger.an2").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--to", "xyt", "--out", "OUT"), "finger.png: holds no minutiae, only images"),
        (("--to", "png", "--out", "IN", "--overwrite"), "finger.png: is read and would be replaced"),
        (("--to", "bmp", "--compression", "wsq", "--out", "OUT"), "is not written with compression wsq"),
        (("--to", "ansi-nist", "--record-type", "4", "--image-ppi", "1000", "--out", "OUT"), "write Type-14"),
    ],
)
def test_what_is_refused(print_file, tmp_path, arguments, message):
    places = {"OUT": str(tmp_path / "out"), "IN": str(print_file.parent)}
    before = print_file.read_bytes()
    result = convert(print_file, *(places.get(each, each) for each in arguments))
    assert result.exit_code != 0 and message in result.output
    assert print_file.read_bytes() == before
    assert not list((tmp_path / "out").glob("*"))


def test_a_bad_file_costs_itself_alone(print_file, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    result = convert(bad, print_file, "--to", "wsq", "--out", tmp_path / "out")
    assert "skipped:" in result.output and "bad.png" in result.output
    assert [path.name for path in (tmp_path / "out").glob("*.wsq")] == ["finger.wsq"]
    again = convert(print_file, "--to", "wsq", "--out", tmp_path / "out")
    assert "exists already" in again.output
    assert convert(print_file, "--to", "wsq", "--out", tmp_path / "out", "--overwrite").exit_code == 0


def test_what_a_killed_run_left_goes(print_file, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    nobody = 2**22 + 1  # above every process number of Linux
    for name in (".finger.bmp", ".finger.bmp.json", ".other.bmp"):
        (out / f"{name}.{nobody}.1").write_bytes(b"BM")
    assert convert(print_file, "--to", "bmp", "--out", out).exit_code == 0
    left = sorted(path.name for path in out.iterdir())
    assert left == [f".other.bmp.{nobody}.1", "finger.bmp", "finger.bmp.json"]


def test_a_folder_that_cannot_be_written_ends_the_run(print_file, tmp_path):
    (tmp_path / "taken").touch()
    result = convert(print_file, print_file, "--to", "pgm", "--out", tmp_path / "taken" / "out")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert "cannot be written (Not a directory); give another --out" in line
