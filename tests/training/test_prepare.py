"""`fg-train prepare`: segmentation, bad folders, resuming, the split, and what the trainers read of it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from fingergen.runtime.errors import command_line_errors
from fingergen.runtime.fingers import make_finger, take_impression
from fingergen.runtime.images import read_image
from fingergen.runtime.minutiae import Minutia, MinutiaType, Template, minutiae_map, read_template
from fingergen.training.commands.prepare import prepare
from fingergen.training.data.datasets import ImageFolder
from fingergen.training.data.pairs import PairFolder
from fingergen.training.data.pool import in_processes
from fingergen.training.data.prepare.ridges import ridge_map
from fingergen.training.data.prepare.segmentation import NoPrint, foreground
from fingergen.training.data.storage import find_samples

PROGRAM = command_line_errors(prepare)
MIDDLE = f"{__name__}:middle"  # an extractor of one's own
torch.set_num_threads(1)


def middle(image: np.ndarray, ppi: float) -> Template:
    """A minutia in the middle, which lies on the print, and one in the corner, which does not."""
    height, width = image.shape
    places = ((width / 2, height / 2), (0, 0))
    return Template(width, height, ppi, tuple(Minutia(*at, 30.0, MinutiaType.ENDING) for at in places))


def wrong_size(image: np.ndarray, ppi: float) -> Template:
    return Template(9, 9, ppi)


def failing(image: np.ndarray, ppi: float) -> Template:
    raise RuntimeError("two\nlines")


def scan(number: int = 0, side: int = 140, place: tuple[int, int] = (70, 90), ppi: int = 500) -> Image.Image:
    """Paper with a round print of `side` pixels at 500 ppi whose top left corner is at `place` (x, y)."""
    shape = np.array([300, 320]) * ppi // 500
    y, x = np.mgrid[: shape[0], : shape[1]] * 500 / ppi
    center = np.array(place) + side / 2
    ridges = 120 + 100 * np.cos(np.hypot(x - center[0] + 20 + number, y - center[1] + 30) * 2 * np.pi / 9)
    inside = np.hypot(x - center[0], y - center[1]) < side / 2
    paper = np.random.default_rng(number).normal(235, 3, inside.shape)
    return Image.fromarray(np.where(inside, ridges, paper).clip(0, 255).astype(np.uint8))


def save(path: Path, image: Image.Image, ppi: float | None = 500) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **({"dpi": (ppi, ppi)} if ppi else {}))
    return path


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Two impressions of each of three fingers, sound files all."""
    for finger in range(3):
        for impression in range(2):
            save(tmp_path / f"raw/{finger}_{impression}.png", scan(2 * finger + impression))
    return tmp_path / "raw"


def run(raw: Path, *words: object, out: Path | None = None) -> Result:
    where = out or raw.parent / "out"
    arguments = [raw, "--out", where, "--size", 192, "--processes", 1, "--extractor", MIDDLE, *words]
    return CliRunner().invoke(PROGRAM, [str(word) for word in arguments], prog_name="fg-train prepare")


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def skipped(raw: Path) -> dict[str, str]:
    report = json.loads((raw.parent / "out/prepare.json").read_text())
    lines = (raw.parent / "out/skipped.txt").read_text().splitlines()
    assert lines == [f"{each['file']}: {each['reason']}" for each in report["skipped"]]
    return {each["file"]: each["reason"] for each in report["skipped"]}


# -- ridge maps ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(2))
def test_the_ridge_map_of_a_scan_is_that_of_its_finger(number: int):
    impression = take_impression(make_finger(90_000 + number, (512, 512)), number, "medium")
    found, contact = ridge_map(impression.pixels, foreground(impression.pixels, 500), 500)
    touched = (impression.contact > 0.9) & (contact > 0.9)
    assert np.corrcoef(found[touched], impression.ridges[touched])[0, 1] > 0.9
    assert touched.sum() > 0.8 * (impression.contact > 0.9).sum()
    assert np.abs(found[contact < 0.01]).max() < 0.01


def test_the_ridge_map_of_nothing_is_nothing():
    assert not ridge_map(np.full((64, 96), 200, np.uint8), np.zeros((64, 96), bool), 500).any()


# -- segmentation -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ppi", [250, 500, 1000])
def test_the_print_is_found(ppi):
    mask = foreground(np.asarray(scan(ppi=ppi)), ppi)
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]] * 500 / ppi
    distance = np.hypot(x - 140, y - 160)
    assert mask[distance < 60].all()
    assert not mask[distance > 95].any()


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.full((300, 300), 240, np.uint8), "an even surface"),
        (
            np.random.default_rng(0).integers(0, 256, (300, 300)).astype(np.uint8),
            "no ridges run side by side",
        ),
        (np.asarray(scan(side=60)), "large enough"),
        (np.zeros((1, 1), np.uint8), "too small"),
    ],
)
def test_what_is_no_print(image, reason):
    with pytest.raises(NoPrint, match=reason):
        foreground(image, 500)


# -- the data set -------------------------------------------------------------------------------------------


def test_prints_are_cut_out(raw):
    assert run(raw).exit_code == 0
    out = raw.parent / "out"
    for number in range(6):
        key = f"{number // 2}_{number % 2}"
        image = read_image(out / f"images/{key}.png")
        assert image.shape == (192, 192)
        assert Image.open(out / f"images/{key}.png").info["dpi"] == pytest.approx((500, 500), rel=1e-4)
        assert (image[0] == 255).all() and (image[:, -1] == 255).all()  # paper made white
        expected = np.asarray(scan(number))[90 : 90 + 140, 70 : 70 + 140]
        # The window is placed by the mask, whose grid is 4 pixels wide.
        differences = [
            abs(image[y + 50 : y + 90, x + 50 : x + 90].astype(int) - expected[50:90, 50:90]).mean()
            for y in range(20, 33)
            for x in range(20, 33)
        ]
        assert min(differences) < 1
        template = read_template(out / f"templates/{key}.json")
        assert [(m.x, m.y) for m in template.minutiae] == [(96, 96)]  # that in the corner is on no print
        assert np.array_equal(read_image(out / f"maps/{key}.png"), minutiae_map(template))


def test_the_trainers_read_it(raw):
    for number in range(6, 20):
        save(raw / f"{number // 2}_{number % 2}.png", scan(number))
    result = run(raw, "--test-fraction", 0.3, "--shards", 4)
    assert result.exit_code == 0, result.output
    out = raw.parent / "out"
    parts = {part: {tuple(s.key.split("_")) for s in find_samples(out / part)} for part in ("train", "test")}
    fingers = {part: {finger for finger, _ in keys} for part, keys in parts.items()}
    assert fingers["train"] | fingers["test"] == {str(n) for n in range(10)}
    assert not fingers["train"] & fingers["test"]
    assert len(parts["train"]) == 2 * len(fingers["train"]) and parts["test"]
    datasets = [PairFolder(data, 64, 1, 64) for data in (out, out / "train", out / "shards")]
    batches = [dataset.batch(np.random.default_rng(0), 6) for dataset in datasets]
    assert batches[0].maps.any()
    for batch in batches[1:]:
        assert torch.equal(batch.images, batches[0].images) and torch.equal(batch.maps, batches[0].maps)
    assert len(ImageFolder(out, 64, 1)) == len(parts["train"])
    rows = [json.loads(line) for line in (out / "test/metadata.jsonl").read_text().splitlines()]
    assert {row["finger"] for row in rows} == fingers["test"]
    assert all((out / "test" / row[kind]).exists() for row in rows for kind in ("image", "template", "map"))


@pytest.mark.slow
def test_the_same_files_with_several_processes_and_after_every_interruption(raw, monkeypatch):
    """Whatever part of the files is there, the same command makes it whole."""
    out = raw.parent / "out"
    assert run(raw).exit_code == 0
    whole = content(out)
    assert run(raw).exit_code == 0
    assert content(out) == whole
    rng = np.random.default_rng(0)
    for _ in range(2):
        for name in rng.permutation(sorted(whole))[:7]:
            if name != "dataset.json":
                (out / name).unlink(missing_ok=True)
        (out / "images/.0_0.png.4194305.34").write_bytes(b"half")
        assert run(raw).exit_code == 0
        assert content(out) == whole
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    assert run(raw, "--workers", 2, out=raw.parent / "other").exit_code == 0
    assert content(raw.parent / "other") == whole


@pytest.mark.slow
def test_killed_at_any_moment_it_continues_to_the_same_files(raw, tmp_path):
    assert run(raw).exit_code == 0
    whole = content(tmp_path / "out")
    code = f"import sys; sys.argv[0] = 'p'; from {__name__} import PROGRAM; PROGRAM()"
    words = ["--size", "192", "--workers", "1", "--extractor", MIDDLE]
    command = [sys.executable, "-c", code, str(raw), "--out", str(tmp_path / "killed"), *words]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "killed").glob("images/*.png")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 0 < len(list((tmp_path / "killed/images").glob("*.png"))) <= 6
    assert run(raw, out=tmp_path / "killed").exit_code == 0
    assert content(tmp_path / "killed") == whole


def test_a_raw_file_that_changed_is_done_again(raw):
    assert run(raw).exit_code == 0
    before = content(raw.parent / "out")
    save(raw / "0_0.png", scan(77))
    assert run(raw).exit_code == 0
    after = content(raw.parent / "out")
    assert {name for name in before if before[name] != after[name]} == {
        "images/0_0.png", "templates/0_0.json", "maps/0_0.png"
    } - {"templates/0_0.json"}  # fmt: skip  # the extractor's template is the same


def test_a_raw_file_that_is_gone_is_an_error(raw):
    assert run(raw).exit_code == 0
    (raw / "1_1.png").unlink()
    result = run(raw)
    assert result.exit_code == 2
    assert "images/1_1.png: its raw file is gone" in result.stderr


def test_other_settings_are_refused(raw):
    assert run(raw).exit_code == 0
    result = run(raw, "--background", "keep")
    assert result.exit_code == 2
    assert "a data set of background white lies here" in result.stderr


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
        "none.png": "tells no resolution; --ppi N says that of such files",
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
        (["--extractor", f"{__name__}:MIDDLE"], "is no function"),
        (["--extractor", f"{__name__}:wrong_size"], "must return a Template of the image's size"),
        (["--extractor", f"{__name__}:failing"], "none of its 6 images can be used (0_0.png: its minutiae"),
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


def crash(item: int) -> int:
    if item in (3, 17):
        os.kill(os.getpid(), signal.SIGKILL)
    return item * item


def test_a_process_that_dies_costs_its_item_alone():
    results = dict(in_processes(crash, range(24), 2, on_crash=lambda item: -1))
    assert results == {item: -1 if item in (3, 17) else item * item for item in range(24)}


def test_the_highest_level_of_16_bits_is_named(raw):
    Image.fromarray(np.full((300, 300), 4095, np.uint16)).save(raw / "9_0.png", dpi=(500, 500))
    stored = np.asarray(scan(9)).astype(np.int64) * 4095 // 255  # 12 bits in 16
    Image.fromarray(stored.astype(np.uint16)).save(raw / "9_1.png", dpi=(500, 500))
    assert run(raw).exit_code == 3
    reason = "nothing but an even surface; the highest level of its 16 bits is 4095 of 65535"
    assert skipped(raw) == {"9_0.png": f"no fingerprint: {reason}"}


# -- fingers ------------------------------------------------------------------------------------------------


def parts(out: Path) -> dict[str, set[str]]:
    return {
        part: {
            json.loads(line)["finger"] for line in (out / part / "metadata.jsonl").read_text().splitlines()
        }
        for part in ("train", "test")
    }


def test_fingers_of_nist_names_are_on_one_side(raw):
    for path in raw.iterdir():
        path.unlink()
    names = [f"{s:08d}_{d}_roll_{f:02d}" for s in (2303, 2304) for d in "AB" for f in (1, 2, 3)]
    for number, name in enumerate(names):
        save(raw / f"{name}.png", scan(number))
    assert run(raw, "--test-fraction", 0.4, "--extractor", "none").exit_code == 0
    found = parts(raw.parent / "out")
    assert not found["train"] & found["test"]
    assert found["train"] | found["test"] == {f"0000230{s}_0{f}" for s in (3, 4) for f in (1, 2, 3)}


def test_a_split_of_names_that_tell_no_finger_is_refused(raw):
    save(raw / "anna.png", scan(9))
    result = run(raw, "--test-fraction", 0.4)
    assert result.exit_code == 2 and "1 of 7 files, such as anna.png, tell no finger" in result.stderr
    assert not (raw.parent / "out").exists()
    assert run(raw, "--extractor", "none").exit_code == 0  # without a split it does not matter
    result = run(raw, "--test-fraction", 0.4, "--finger-pattern", "^[^_]+", out=raw.parent / "split")
    assert result.exit_code == 0


def test_the_encoder_trains_by_the_fingers_that_prepare_was_told(raw):
    """Named IMPRESSION_FINGER, against the default rule; also through shards."""
    for path in raw.iterdir():
        path.unlink()
    for number in range(12):
        save(raw / f"{number % 3}_{number // 3}.png", scan(number))
    assert run(raw, "--finger-pattern", r"_(\d+)$", "--shards", 5).exit_code == 0
    out = raw.parent / "out"
    for data in (out, out / "shards"):
        dataset = PairFolder(data, 64, 1, 64)
        trained, held = ({s.key.split("_")[1] for s in each} for each in (dataset._pairs, dataset._held_out))
        assert not trained & held and trained | held == {"0", "1", "2", "3"}


def test_no_extractor_makes_images_alone(raw):
    assert run(raw, "--extractor", "none").exit_code == 0
    assert sorted(path.name for path in (raw.parent / "out").iterdir() if path.is_dir()) == ["images"]
