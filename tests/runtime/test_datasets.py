"""`fg-run dataset`: mated impressions, the same from every run, whole after every interruption."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from fingergen.runtime import load
from fingergen.runtime.cli import main
from fingergen.runtime.datasets.mated import Mate, MatedSynthesis, mates
from fingergen.runtime.images import read_image, read_provenance

from .. import tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle.write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny", with_encoder=False)


@pytest.fixture
def dataset(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs the command in an empty directory, with the small bundle."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, code: int = 0) -> Result:
        words = ["dataset", *map(str, arguments), "--bundle", str(bundle)]
        result = CliRunner().invoke(main, words, prog_name="fg-run")
        assert result.exit_code == code, result.output
        return result

    return run


def table(folder: Path | str) -> list[dict[str, str]]:
    with open(f"{folder}/impressions.csv", newline="") as file:
        return list(csv.DictReader(file))


def images(folder: Path | str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).glob("*.png")}


def contents(folder: Path | str) -> dict[str, bytes]:
    """Every file below a folder."""
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_mates_are_drawn_by_the_seed():
    drawn = [list(mates(seed, 5, range(3, 7), 2.0)) for seed in range(200)]
    assert drawn[0] == list(mates(0, 5, range(3, 7), 2.0))
    assert drawn[0][:3] == list(mates(0, 3, range(3, 7), 2.0))
    assert all(finger[0] == Mate(seed, 1, None, 0.0) for seed, finger in enumerate(drawn))
    edits = [mate for finger in drawn for mate in finger[1:]]
    assert [mate.impression for mate in edits[:4]] == [2, 3, 4, 5]
    directions = np.bincount([mate.direction for mate in edits], minlength=8)  # type: ignore[arg-type]
    assert directions[:3].sum() == directions[7] == 0 and directions[3:7].min() > 150  # 200 each, if fair
    degrees = np.array([mate.degree for mate in edits])
    assert -2 <= degrees.min() < -1.9 and 1.9 < degrees.max() <= 2 and abs(degrees.mean()) < 0.15


@pytest.mark.parametrize("noise", ["const", "random"])
def test_images_are_edits_of_the_fingers_of_synth(dataset, bundle: Path, noise: str):
    settings = ("--truncation", 0.7, "--noise", noise, "--layers", "1-3", "--size", 40)
    dataset("--fingers", 3, "--impressions", 3, "--seed", 5, "--out", "set", *settings)
    rows = table("set")
    assert [row["file"] for row in rows] == [f"{s:08d}_{k}.png" for s in (5, 6, 7) for k in (1, 2, 3)]
    with load(bundle) as model:
        for row in rows:
            seed, image = int(row["seed"]), read_image(f"set/{row['file']}")
            if row["impression"] == "1":
                assert (row["direction"], row["degree"]) == ("", "")
                assert np.array_equal(image, model.synthesize([seed], 0.7, noise, size=40)[0])
                continue
            w, direction, degree = model.map(model.z([seed])), int(row["direction"]), float(row["degree"])
            edited = model.edit(w, direction, degree, [1, 2, 3], 0.7, noise, [seed], size=40)
            assert np.array_equal(image, edited[2][0])
            assert not np.array_equal(image, edited[1][0])


def test_files_say_what_they_are(dataset):
    settings = ("--directions", "4,6", "--degree", 3, "--format", "tiff")
    report = json.loads(dataset("--fingers", 2, "--out", "set", *settings, "--json").stdout)
    assert (report["written"], report["kept"], len(report["images"])) == (4, 0, 4)
    assert sorted(os.listdir("set")) == [
        *(f"0000000{seed}_{k}.tiff" for seed in (0, 1) for k in (1, 2)),
        "dataset.json",
        "impressions.csv",
        "parts",
    ]
    row = table("set")[3]
    found = read_provenance(f"set/{row['file']}")
    for key in ("seed", "impression", "direction", "degree"):
        assert found[key] == row[key]
    assert found["direction"] in ("4", "6") and abs(float(found["degree"])) <= 3
    assert (found["operation"], found["synthetic"], found["bundle"]) == ("dataset", "yes", "tiny")
    with Image.open(f"set/{row['file']}") as picture:
        assert picture.info["dpi"] == (500, 500)
    about = json.loads(Path("set/dataset.json").read_text())
    assert (about["fingers"], about["impressions"]) == (2, 2)
    assert (about["directions"], about["degree"]) == ([4, 6], 3.0)
    assert about["ppi"] == 500 and about["bundle_sha256"] == found["bundle_sha256"]


def test_a_set_grows_and_keeps_what_is_there(dataset):
    dataset("--fingers", 3, "--out", "set", "--batch", 1)
    before = images("set")
    message = dataset("--fingers", 3, "--out", "set", code=2).stderr
    assert "exists already" in message and len(message.splitlines()) == 1
    dataset("--fingers", 5, "--impressions", 3, "--out", "set", "--resume", "--batch", 8)
    dataset("--fingers", 5, "--impressions", 3, "--out", "whole", "--batch", 4, "--workers", 3)
    assert before.items() <= images("set").items() and images("set") == images("whole")
    assert table("set") == table("whole") and len(table("set")) == 15


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--resume", "--degree", 2), "its degree is"),
        (("--resume", "--truncation", 0.5), "its truncation is 1.0"),
        (("--overwrite", "--directions", "0-99"), "this bundle has 0-31"),
        (("--overwrite", "--layers", "9"), "this bundle has 0-7"),
        (("--overwrite", "--impressions", 0), "--impressions"),
        (("--overwrite", "--seed", 2**64 - 1), "the last seed"),
    ],
)
def test_wrong_settings_leave_the_set_as_it_is(dataset, arguments: tuple, message: str):
    dataset("--fingers", 2, "--out", "set")
    before = contents("set")
    assert message in dataset("--fingers", 2, "--out", "set", *arguments, code=2).stderr
    assert contents("set") == before


def test_a_sheet_has_a_row_a_finger(dataset):
    dataset("--fingers", 2, "--impressions", 3, "--grid", "sheet.png")
    height, width = read_image("sheet.png").shape
    assert width == 3 * 64 + 4 * 8 and height > 2 * 64
    assert read_provenance("sheet.png")["seed"] == "0,0,0,1,1,1"


def test_killed_and_continued(dataset, bundle: Path, tmp_path: Path):
    size = ("--fingers", "150", "--impressions", "2")
    program = "from fingergen.runtime.cli import main; main(prog_name='fg-run')"
    command = [sys.executable, "-c", program, "dataset", *size, "--out", "set", "--bundle", str(bundle)]
    with subprocess.Popen(command, cwd=tmp_path) as process:
        deadline = time.monotonic() + 120
        while len(list(Path("set").glob("*.png"))) < 10 and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    left = images("set")
    if len(left) == 300:  # it was faster than the signal
        pytest.fail("too fast to be interrupted: ask for more fingers")
    assert len(left) >= 10 and not Path("set/impressions.csv").exists()
    for name in left:
        assert read_image(f"set/{name}").shape == (64, 64)
    missing = next(f"{seed:08d}_2.png" for seed in range(150) if f"{seed:08d}_2.png" not in left)
    Path(f"set/.{missing}.999999999.456").write_bytes(b"half an im")  # as the signal may leave
    dataset(*size, "--out", "set", "--resume")
    assert sorted(os.listdir("set")) == [*sorted(images("set")), "dataset.json", "impressions.csv", "parts"]
    assert left.items() <= images("set").items() and len(table("set")) == len(images("set")) == 300


def test_batches_do_not_matter(bundle: Path):
    """A batch may begin and end inside a finger, and hold a finger in parts."""
    asked = [mate for seed in (3, 9) for mate in mates(seed, 3, range(8), 5.0)]
    with load(bundle, workers=2) as model:
        steps = MatedSynthesis(model, noise="random")
        whole = steps.compute(steps.prepare(asked))
        mixed = [asked[i] for i in (4, 0, 5)]
        assert np.array_equal(steps.compute(steps.prepare(mixed)), whole[[4, 0, 5]])
        assert len({levels.tobytes() for levels in whole}) == 6


@pytest.mark.parametrize("option", ["--preset easy", "--pattern whorl", "--sensor-noise 9", "--rolled 1"])
def test_what_grown_fingers_alone_have_is_refused_for_a_bundle_of_others(dataset, option: str):
    result = dataset("--fingers", 2, *option.split(), "--out", "set", code=2)
    assert f"{option.split()[0]}: this bundle's fingers are not grown" in result.output
    assert not Path("set").exists()
