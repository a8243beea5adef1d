"""`fg-train prepare`: files of every kind, read or listed with the reason."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fingergen.runtime.images import read_image
from fingergen.runtime.minutiae import Minutia, MinutiaType, Template
from fingergen.training.data.storage import find_samples

from . import raw_scans
from .raw_scans import content, run, save, scan, skipped

EXTRACTORS = raw_scans.__name__

# -- bad folders --------------------------------------------------------------------------------------------


def test_damaged_files_are_listed_and_skipped(raw):
    sound = (raw / "0_0.png").read_bytes()
    (raw / "a.png").write_bytes(b"")
    (raw / "b.png").write_bytes(sound[: len(sound) // 2])
    (raw / "c.wsq").write_bytes(b"\xff\xa0nonsense")
    (raw / "d.tif").write_text("a note")
    (raw / "e.txt").write_text("labels are no images")
    save(raw / "f.png", Image.new("L", (300, 300), 240))
    result = run(raw)
    assert result.exit_code == 3
    assert "6 images of 3 fingers, 5 skipped" in result.stdout
    assert "skipped.txt lists the skipped files" in result.stderr
    reasons = skipped(raw)
    assert list(reasons) == ["a.png", "b.png", "c.wsq", "d.tif", "f.png"]
    assert reasons["a.png"] == "not a readable image (it is empty)"
    assert reasons["f.png"] == "no fingerprint: nothing but an even surface"
    assert len(find_samples(raw.parent / "out")) == 6
    before = content(raw.parent / "out")
    assert run(raw).exit_code == 3
    assert content(raw.parent / "out") == before


def test_folders_that_cannot_be_read_are_listed_and_skipped(raw, monkeypatch):
    save(raw / "locked/6_1.png", scan(6))
    (raw / "locked").chmod(0)
    plain = os.scandir

    def scandir(path):
        if path == raw / "locked":  # root has the right
            raise PermissionError(13, "Permission denied")
        return plain(path)

    monkeypatch.setattr(os, "scandir", scandir)
    result = run(raw)
    assert result.exit_code == 3 and "6 images of 3 fingers, 1 skipped" in result.stdout
    assert skipped(raw) == {"locked": "cannot be read (Permission denied); make it readable or remove it"}
    for path in raw.glob("*.png"):
        path.unlink()
    result = run(raw)
    assert result.exit_code == 2 and "locked: cannot be read" in result.stderr


def test_names_that_are_no_text_are_listed_and_skipped(raw):
    for name in (b"no\xfftext_1.png", b"two\nlines_1.png"):
        Path(os.fsdecode(bytes(raw) + b"/" + name)).write_bytes((raw / "0_0.png").read_bytes())
    save(raw / "Fingerabdr\u00fccke \u2603\u3000_1.png", scan(50))  # spaces and all, but text
    result = run(raw, "--extractor", "none")
    assert result.exit_code == 3
    assert "7 images of" in result.stdout and "2 skipped" in result.stdout
    lines = (raw.parent / "out" / "skipped.txt").read_text().splitlines()
    assert [line.partition(": ")[0] for line in lines] == [r"'no\udcfftext_1.png'", r"'two\nlines_1.png'"]


def test_names_too_long_to_write_are_listed_and_skipped(raw):
    for length in (200, 201):
        save(raw / f"{'x' * (length - 2)}_1.png", scan(50 + length))
    assert run(raw).exit_code == 3
    assert skipped(raw) == {f"{'x' * 199}_1.png": "its name has more than 200 bytes; rename it"}


def test_resolutions(raw):
    save(raw / "1000.png", scan(10, ppi=1000), 1000)
    save(raw / "none.png", scan(11), None)
    save(raw / "72.png", scan(12), 72)
    scan(13).save(raw / "oblong.png", dpi=(500, 1000))
    assert run(raw).exit_code == 3
    assert skipped(raw) == {
        "1000.png": "has 1000 ppi instead of 500; --resample converts it",
        "72.png": "has 72 ppi, which no fingerprint has; --ppi N --ignore-file-ppi overrides it",
        "none.png": "states no resolution; --ppi N gives that of such files",
        "oblong.png": "has 500 x 1000 ppi instead of 500; --resample converts it",
    }
    out = raw.parent / "out2"
    result = run(raw, "--resample", "--ppi", 500, out=out)
    assert result.exit_code == 3
    assert "mixed resolutions in ppi, now all 500: 1000 (1), 500 (7), 500 x 1000 (1)" in result.stderr
    report = json.loads((out / "prepare.json").read_text())
    assert [each["file"] for each in report["skipped"]] == ["72.png"]
    assert report["ppi"] == {"1000": 1, "500": 7, "500 x 1000": 1}
    # A print of twice the resolution has the same ridges once it is resampled.
    periods = [
        np.abs(np.fft.rfft(read_image(out / f"images/{name}.png")[60:132, 96] - 128.0))[1:].argmax()
        for name in ("1000", "none")
    ]
    assert periods[0] == periods[1]
    out = raw.parent / "out3"
    assert run(raw, "--ppi", 500, "--ignore-file-ppi", out=out).exit_code == 0


def test_color(raw):
    tinted = np.stack([np.asarray(scan(20))] * 3, axis=-1) // np.array([1, 2, 3], np.uint8)
    save(raw / "tinted.png", Image.fromarray(tinted))
    save(raw / "gray.png", scan(21).convert("RGB"))
    assert run(raw, "--color", "refuse").exit_code == 3
    assert skipped(raw) == {"tinted.png": "in color; --color gray converts it"}
    assert run(raw, "--colour", "grey", out=raw.parent / "gray").exit_code == 0  # as it was once spelled
    assert json.loads((raw.parent / "gray/prepare.json").read_text())["color"] == 1
    assert read_image(raw.parent / "gray/images/tinted.png").ndim == 2


def test_light_ridges(raw):
    dark, light = raw.parent / "dark/1_1.png", raw.parent / "light/1_1.png"
    save(dark, scan(1))
    save(light, Image.fromarray(255 - np.asarray(scan(1))))
    assert run(dark.parent, out=raw.parent / "a").exit_code == 0
    assert run(light.parent, "--invert", out=raw.parent / "b").exit_code == 0
    assert np.array_equal(*(read_image(raw.parent / name / "images/1_1.png") for name in "ab"))


def test_duplicates(raw):
    (raw / "2_7.png").write_bytes((raw / "2_0.png").read_bytes())
    Image.open(raw / "0_0.png").save(raw / "9_0.bmp", dpi=(500, 500))  # other bytes, the same pixels
    save(raw / "1_1.tif", scan(30))
    result = run(raw)
    assert result.exit_code == 3
    assert "1 images occur under the names of different fingers" in result.stderr
    assert skipped(raw) == {
        "1_1.tif": "has the name of 1_1.png but for the extension",
        "2_7.png": "the same image as 2_0.png",
        "9_0.bmp": "the same image as 0_0.png, though of another finger by its name",
    }
    report = json.loads((raw.parent / "out/prepare.json").read_text())
    assert {"files": ["0_0.png", "9_0.bmp"], "fingers": ["0", "9"]} in report["same_image"]


def test_fingers_that_share_an_image_are_split_together(raw):
    for number in range(6, 40):
        save(raw / f"{number // 2}_{number % 2}.png", scan(number))
    assert run(raw, "--test-fraction", 0.5, "--extractor", "none").exit_code == 0
    sides = {
        part: {s.key.split("_")[0] for s in find_samples(raw.parent / "out" / part)}
        for part in ("train", "test")
    }
    one, other = min(sides["train"]), min(sides["test"])
    (raw / f"{other}_5.png").write_bytes((raw / f"{one}_0.png").read_bytes())
    assert run(raw, "--test-fraction", 0.5, "--extractor", "none", out=raw.parent / "out2").exit_code == 3
    parts = {
        part
        for part in ("train", "test")
        for s in find_samples(raw.parent / "out2" / part)
        if s.key.split("_")[0] in (one, other)
    }
    assert len(parts) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "{raw}/out"], "lies in"),
        (["--size", "20"], "give a side, or WIDTHxHEIGHT, of 64 to 4096 pixels"),
        (["--extractor", "magic"], "--extractor magic: give leader, mindtct, none or module:function"),
        (["--extractor", "os:nothing"], "--extractor os:nothing: cannot be imported"),
        (["--extractor", "no_such_module:f"], "--extractor no_such_module:f: cannot be imported"),
        (["--extractor", f"{EXTRACTORS}:MIDDLE"], "is not a function"),
        (["--extractor", f"{EXTRACTORS}:wrong_size"], "must return a Template of the image's size"),
        (["--extractor", f"{EXTRACTORS}:failing"], "none of its 6 images can be used (0_0.png: its minutiae"),
        (["--finger-pattern", "x(y)"], "--finger-pattern x(y): is not found in '0_0' nor in any other name"),
        (["--ignore-file-ppi"], "--ignore-file-ppi: give the resolution of the files with --ppi"),
        (["--target-ppi", "1000"], "none of its 6 images can be used (0_0.png: has 500 ppi instead of 1000"),
        (["--test-fraction", "1.5"], "1.5 is not in the range"),
    ],
)
def test_mistakes_get_one_line(raw, words, message):
    result = run(raw, *(word.format(raw=raw) for word in words))
    assert result.exit_code == 2
    *bars, line = result.stderr.splitlines()
    assert message in line
    assert all("image/s" in bar or not bar.strip() for bar in bars)


def test_an_empty_folder_and_none_at_all(tmp_path):
    (tmp_path / "raw").mkdir()
    assert "contains no image" in run(tmp_path / "raw").stderr
    assert "no such folder" in run(tmp_path / "none").stderr
    assert not (tmp_path / "out").exists()


def test_a_configuration_file(raw):
    file = raw.parent / "prepare.yaml"
    file.write_text("background: keep\ntest_fraction: 0.4\n")
    assert run(raw, "--config", file).exit_code == 0
    image = read_image(raw.parent / "out/train/images" / os.listdir(raw.parent / "out/train/images")[0])
    assert image[0].mean() < 245  # paper


# -- files of every kind ------------------------------------------------------------------------------------


def test_every_image_is_read_or_listed(raw):
    """By its content, whatever its name; only what is no image is left alone."""
    for number, suffix in enumerate((".pgm", ".jp2", ".webp", ".gif", ".ppm", ".jpeg")):
        save(raw / f"{20 + number}_0{suffix}", scan(20 + number), ppi=None)
    scan(30).save(raw / "30_0.dat", format="PNG")
    scan(31).save(raw / "31_0", format="TIFF")
    (raw / "40_0.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    (raw / "41_0.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    (raw / "42_0.scan").write_bytes(bytes(128) + b"DICM" + bytes(40))
    (raw / "43_0.png").symlink_to("nowhere.png")
    (raw / "44_0.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    (raw / "0_0.txt").write_text("class: whorl")
    result = run(raw, "--ppi", 500, "--extractor", "none")
    assert result.exit_code == 3
    assert set(skipped(raw)) == {"40_0.heic", "41_0.eps", "42_0.scan", "43_0.png", "44_0.png"}
    keys = {sample.key for sample in find_samples(raw.parent / "out")}
    numbers = (*range(20, 26), 30, 31)
    assert keys == {f"{i}_{j}" for i in range(3) for j in range(2)} | {f"{number}_0" for number in numbers}
    assert "1 files are no images and were left alone: .txt (1)" in result.stderr


def test_odd_images_do_not_end_a_run(raw):
    """Beside good ones: too large, cut off, of no name that the pattern fits, too fine to be resampled."""
    save(raw / "50_0.png", Image.new("1", (8200, 8200)), ppi=500)
    (raw / "51_0.png").write_bytes((raw / "0_0.png").read_bytes()[:-300])
    save(raw / "note.png", scan(52))
    save(raw / "53_0.png", Image.new("L", (4000, 4000), 7), ppi=101)
    result = run(
        raw, "--resample", "--target-ppi", 1000, "--finger-pattern", r"^(\d+)_", "--extractor", "none"
    )
    assert result.exit_code == 3
    reasons = skipped(raw)
    assert set(reasons) == {"50_0.png", "51_0.png", "53_0.png", "note.png"}
    assert "more than 64 Mi" in reasons["50_0.png"] and "more than 64 Mi" in reasons["53_0.png"]
    assert "is not found in its name" in reasons["note.png"]


def crowded(image: np.ndarray, ppi: float) -> Template:
    """More minutiae than a record carries, where the first of two impressions was given."""
    height, width = image.shape
    count = 300 if image[80:110, 80:110].mean() > 140 else 3
    return Template(width, height, ppi, (Minutia(width / 2, height / 2, 0, MinutiaType.ENDING),) * count)


def test_a_template_that_its_format_cannot_carry(raw):
    save(raw / "7_0.png", Image.fromarray((np.asarray(scan(3)) // 2 + 120).astype(np.uint8)))
    result = run(raw, "--format", "iso19794-2-2005", "--extractor", f"{__name__}:crowded")
    assert result.exit_code == 3
    assert skipped(raw)["7_0.png"].startswith(
        "its template cannot be written as iso19794-2-2005 (300 minutiae"
    )
    assert not (raw.parent / "out/images/7_0.png").exists()


def test_the_highest_level_of_16_bits_is_named(raw):
    Image.fromarray(np.full((300, 300), 4095, np.uint16)).save(raw / "9_0.png", dpi=(500, 500))
    stored = np.asarray(scan(9)).astype(np.int64) * 4095 // 255  # 12 bits in 16
    Image.fromarray(stored.astype(np.uint16)).save(raw / "9_1.png", dpi=(500, 500))
    assert run(raw).exit_code == 3
    reason = "nothing but an even surface; the highest level of its 16 bits is 4095 of 65535"
    assert skipped(raw) == {"9_0.png": f"no fingerprint: {reason}"}
