"""`fg-run`, as a user runs it, on a small bundle."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from fingergen.runtime import load
from fingergen.runtime.backends import BACKENDS
from fingergen.runtime.cli import main
from fingergen.runtime.images import read_image, read_provenance, save_image
from fingergen.runtime.minutiae import Minutia, Point, Template, minutiae_map, write_template
from fingergen.runtime.records import Content, FingerImage, write_record

from .. import tiny_bundle

TEMPLATE = Template(64, 64, 500, (Minutia(20, 30, 45), Minutia(50, 12, 200)), cores=(Point(33, 20),))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle.write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture
def fg_run(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs the command in an empty directory, with the small bundle."""
    monkeypatch.chdir(tmp_path)

    def run(command: str, *arguments: str, code: int = 0) -> Result:
        words = [command, *arguments, "--bundle", str(bundle)]
        result = CliRunner().invoke(main, words, prog_name="fg-run")
        assert result.exit_code == code, result.output
        return result

    return run


def error_of(result: Result) -> str:
    """The one line on stderr."""
    assert result.stdout == "" and len(result.stderr.splitlines()) == 1
    return result.stderr


def files(folder: str) -> list[str]:
    return sorted(os.listdir(folder))


class TestSynth:
    def test_images_are_those_of_the_python_face(self, fg_run, bundle: Path):
        fg_run("synth", "--seeds", "3,0-1", "--truncation", "0.7", "--noise", "random", "--out", "prints")
        assert files("prints") == ["00000000.png", "00000001.png", "00000003.png"]
        with load(bundle) as model:
            for image, seed in zip(model.synthesize([3, 0, 1], 0.7, "random"), (3, 0, 1), strict=True):
                assert np.array_equal(read_image(f"prints/{seed:08d}.png"), image)

    def test_provenance(self, fg_run, bundle: Path):
        fg_run("synth", "--seed", "7", "--count", "1", "--size", "32", "--out", "prints")
        found = read_provenance("prints/00000007.png")
        with load(bundle) as model:
            sha256 = model.bundle.sha256
        assert found.pop("fingergen") and found.pop("Software").startswith("FingerGen ")
        assert found == {
            "synthetic": "yes",
            "operation": "synth",
            "seed": "7",
            "truncation": "1.0",
            "noise": "const",
            "size": "32",
            "bundle": "tiny",
            "bundle_sha256": sha256,
        }

    @pytest.mark.parametrize("batch", ["1", "3", "8"])
    @pytest.mark.parametrize("workers", ["1", "3"])
    def test_same_files_in_any_batch(self, fg_run, batch: str, workers: str):
        fg_run("synth", "--count", "8", "--out", "a")
        fg_run("synth", "--count", "8", "--out", "b", "--batch", batch, "--workers", workers)
        assert all(Path("a", name).read_bytes() == Path("b", name).read_bytes() for name in files("a"))

    @pytest.mark.parametrize(("image_format", "suffixes"), [("tiff", [".tiff"]), ("bmp", [".bmp", ".json"])])
    def test_formats(self, fg_run, image_format: str, suffixes: list[str]):
        fg_run("synth", "--seeds", "0", "--out", "prints", "--format", image_format)
        assert [Path(name).suffix for name in files("prints")] == suffixes

    def test_mixing(self, fg_run, bundle: Path):
        fg_run(
            "synth", "--seeds", "0", "--mix", "9", "--mix-layers", "0-2", "--alpha", "0.5", "--out", "mixed"
        )
        with load(bundle) as model:
            expected = model.synthesize([0], mix_seeds=9, mix_layers=[0, 1, 2], mix_alpha=0.5)[0]
        assert np.array_equal(read_image("mixed/00000000.png"), expected)
        found = read_provenance("mixed/00000000.png")
        assert (found["mix"], found["mix_layers"], found["alpha"]) == ("9", "0,1,2", "0.5")

    def test_sheet(self, fg_run, bundle: Path):
        fg_run("synth", "--seeds", "0-3", "--grid", "sheets/sheet.png")
        sheet = read_image("sheets/sheet.png")
        with load(bundle) as model:
            first = model.synthesize([0])[0]
        assert np.array_equal(sheet[8:72, 8:72], first)
        assert read_provenance("sheets/sheet.png")["seed"] == "0,1,2,3"

    def test_json(self, fg_run):
        report = json.loads(fg_run("synth", "--seeds", "0-1", "--out", "prints", "--json").stdout)
        assert report["written"] == 2 and report["ppi"] == 500
        assert [image["file"] for image in report["images"]] == ["prints/00000000.png", "prints/00000001.png"]
        assert report["images"][1]["seed"] == "1"


class TestExistingFiles:
    def test_are_not_replaced(self, fg_run):
        fg_run("synth", "--seeds", "0", "--out", "prints", "--grid", "sheet.png")
        for arguments in (("--out", "prints"), ("--grid", "sheet.png")):
            assert "exists already" in error_of(fg_run("synth", "--seeds", "0-1", *arguments, code=2))
        assert files("prints") == ["00000000.png"]

    def test_overwrite(self, fg_run):
        fg_run("synth", "--seeds", "0", "--out", "prints")
        fg_run("synth", "--seeds", "0", "--out", "prints", "--truncation", "0.5", "--overwrite")
        assert read_provenance("prints/00000000.png")["truncation"] == "0.5"

    def test_resume(self, fg_run):
        fg_run("synth", "--seeds", "0-2", "--out", "prints")
        before = Path("prints/00000001.png").stat().st_mtime_ns
        result = fg_run(
            "synth", "--seeds", "0-4", "--out", "prints", "--resume", "--grid", "sheet.png", "--json"
        )
        report = json.loads(result.stdout)
        assert (report["written"], report["kept"]) == (2, 3) and len(files("prints")) == 5
        assert Path("prints/00000001.png").stat().st_mtime_ns == before
        fg_run("synth", "--seeds", "0-4", "--grid", "whole.png")
        assert np.array_equal(read_image("sheet.png"), read_image("whole.png"))

    @pytest.mark.parametrize("other", [("--truncation", "0.5"), ("--mix", "3"), ("--noise", "none")])
    def test_resume_with_other_settings(self, fg_run, other):
        fg_run("synth", "--seeds", "0", "--out", "prints")
        message = error_of(fg_run("synth", "--seeds", "0-1", "--out", "prints", "--resume", *other, code=2))
        assert "--resume keeps only images that the same command made" in message
        fg_run("synth", "--seeds", "0", "--out", "prints", "--overwrite", *other)
        message = error_of(fg_run("synth", "--seeds", "0-1", "--out", "prints", "--resume", code=2))
        assert f"its {other[0][2:]} is {other[1]}" in message or "its alpha is 1.0" in message

    @pytest.mark.parametrize(
        "mode",
        [
            ["--count", "100000000"],
            ["--seeds", "0-99999999,200000000-299999999"],
            ["--throughput", "--count", "100000000", "--batch", "4"],
            ["--throughput", "--batch", "4"],
        ],
        ids=" ".join,
    )
    def test_interrupted_run_of_any_length_leaves_whole_files(
        self, bundle: Path, tmp_path: Path, mode: list[str]
    ):
        command = [sys.executable, "-c", "from fingergen.runtime.cli import main; main(prog_name='fg-run')"]
        arguments = ["synth", *mode, "--out", str(tmp_path / "prints"), "--bundle", str(bundle)]
        process = subprocess.Popen(
            [*command, *arguments],
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(
                signal.SIGINT, signal.SIG_DFL
            ),  # a job in the background ignores it
        )
        deadline = time.monotonic() + 60
        while (
            not list(tmp_path.glob("prints/*.png")) and process.poll() is None and time.monotonic() < deadline
        ):
            time.sleep(0.05)
        memory = Path(f"/proc/{process.pid}/status").read_text().split("VmHWM:")[1].split()[0]
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 130 and stderr.strip() == "fg-run: interrupted"
        left = list((tmp_path / "prints").iterdir())
        assert int(memory) < 400_000  # KiB; a hundred million numbers would take gigabytes
        assert 0 < len(left) < 20000 and all(not path.name.startswith(".") for path in left)
        for path in left:
            assert read_image(path).shape == (64, 64)


class TestReconstruct:
    def test_template_formats_and_maps(self, fg_run, bundle: Path):
        write_template("a.json", TEMPLATE)
        write_template("b.xyt", TEMPLATE)
        save_image("c.png", minutiae_map(TEMPLATE), 500, {"fingergen": "1"})
        size = ("--template-size", "64", "64")
        fg_run("reconstruct", "a.json", "b.xyt", "c.png", *size, "--out", "prints", "--grid", "sheet.png")
        assert files("prints") == ["a.png", "b.png", "c.png"]
        with load(bundle) as model:
            assert np.array_equal(read_image("prints/a.png"), model.reconstruct(TEMPLATE)[0])
        assert np.array_equal(read_image("prints/a.png"), read_image("prints/c.png"))
        found = read_provenance("prints/b.png")
        assert (found["operation"], found["template"], found["synthetic"]) == ("reconstruct", "b.xyt", "yes")

    def test_wrong_templates(self, fg_run):
        write_template("a.json", TEMPLATE)
        write_template("a.xyt", TEMPLATE)
        Path("broken.xyt").write_text("no numbers here\n")
        Path("empty.xyt").touch()
        save_image("gray.png", np.zeros((64, 64), np.uint8), 500, {"fingergen": "1"})
        for names, message in (
            (["a.json", "a.xyt"], "named as that of a.json"),
            (["broken.xyt"], "broken.xyt"),
            (["empty.xyt"], "empty.xyt: holds no minutiae"),
            (["nowhere.xyt"], "nowhere.xyt"),
            (["nowhere.png"], "nowhere.png: no such file"),
            (["gray.png"], "gray.png: a gray image"),
        ):
            assert message in error_of(fg_run("reconstruct", *names, "--out", "prints", code=2))

    def test_fingers_of_a_transaction(self, fg_run):
        other = replace(TEMPLATE, minutiae=(Minutia(10, 40, 90), Minutia(40, 40, 10)))
        write_record("two.an2", Content(templates=(TEMPLATE, other)), "ansi-nist")
        write_record("none.an2", FingerImage(np.full((64, 64), 255, np.uint8), 500), "ansi-nist")
        for view, template in (("0", TEMPLATE), ("1", other)):
            write_template(
                f"{view}.fmr", template, "ansi378-2009"
            )  # whole pixels and 2 degrees, as Type 9 has
            fg_run("reconstruct", f"{view}.fmr", "--out", view)
            fg_run("reconstruct", "two.an2", "--view", view, "--out", view)
            assert np.array_equal(read_image(f"{view}/two.png"), read_image(f"{view}/{view}.png"))
        first = fg_run("reconstruct", "two.an2", "--out", "prints")
        assert "two.an2: holds the minutiae of 2 fingers: the first is read" in first.stderr
        for words, message in (
            (["two.an2", "--view", "2"], "2 fingers (Type-9 records), so there is no finger view 2"),
            (["none.an2"], "none.an2: holds the minutiae of 0 fingers"),
        ):
            assert message in error_of(fg_run("reconstruct", *words, "--out", "others", code=2))

    def test_bundle_without_encoder(self, tmp_path: Path):
        small = tiny_bundle.write_tiny_bundle(tmp_path / "small", with_encoder=False)
        write_template(tmp_path / "a.json", TEMPLATE)
        words = [
            "reconstruct",
            str(tmp_path / "a.json"),
            "--out",
            str(tmp_path / "o"),
            "--bundle",
            str(small),
        ]
        result = CliRunner().invoke(main, words, prog_name="fg-run")
        assert result.exit_code == 2 and "this bundle has no encoder" in error_of(result)


class TestEdit:
    def test_seeds(self, fg_run, bundle: Path):
        fg_run("edit", "--seeds", "4-5", "--index", "2", "--degree", "3", "--layers", "0-3", "--out", "edits")
        assert len(files("edits")) == 6
        with load(bundle) as model:
            edited = model.edit(model.map(model.z([4, 5])), 2, 3.0, range(4))
        for kind, images in zip(("minus", "original", "plus"), edited, strict=True):
            assert np.array_equal(read_image(f"edits/00000005_{kind}.png"), images[1])
        found = read_provenance("edits/00000004_minus.png")
        assert (found["seed"], found["index"], found["degree"], found["layers"]) == (
            "4",
            "2",
            "-3.0",
            "0,1,2,3",
        )

    def test_templates_and_sheet(self, fg_run):
        write_template("a.json", TEMPLATE)
        fg_run("edit", "a.json", "--index", "0", "--out", "edits", "--grid", "sheet.tiff")
        fg_run("reconstruct", "a.json", "--out", "prints")
        assert np.array_equal(read_image("edits/a_original.png"), read_image("prints/a.png"))
        assert read_image("sheet.tiff").shape[1] == 3 * 72 + 8

    def test_wrong_use(self, fg_run):
        write_template("a.json", TEMPLATE)
        out = ("--out", "edits")
        message = "give --seeds or templates"
        assert message in error_of(fg_run("edit", "--index", "0", *out, code=2))
        assert message in error_of(fg_run("edit", "a.json", "--seeds", "1", "--index", "0", *out, code=2))
        assert "directions 0-31" in error_of(fg_run("edit", "--seeds", "1", "--index", "32", *out, code=2))
        assert "layers: 8" in error_of(
            fg_run("edit", "--seeds", "1", "--index", "0", "--layers", "5-9", *out, code=2)
        )
        far = ("--degree", "nan")
        assert "finite" in error_of(fg_run("edit", "--seeds", "1", "--index", "0", *far, *out, code=2))
        assert os.listdir() == ["a.json"]


class TestInfo:
    def test_text_and_json(self, fg_run, bundle: Path):
        text = fg_run("info").stdout
        assert "name: tiny" in text and "onnxruntime: available" in text
        report = json.loads(fg_run("info", "--json").stdout)
        assert report["bundle"]["architecture"]["resolution"] == 32
        assert report["backends"].keys() == set(BACKENDS)
        assert report["backends"]["onnxruntime"] == "available"
        missing = set(report["backends"].values()) - {"available"}
        assert all("pip install" in reason or "fg-export" in reason for reason in missing)
        assert report["custom_ops"].keys() == {"onnxruntime", "tensorrt", "c_api"}
        assert report["bundle"]["path"] == str(bundle)

    def test_damaged_bundle(self, tmp_path: Path):
        broken = tiny_bundle.write_tiny_bundle(tmp_path / "broken")
        (broken / "synthesis.onnx").write_bytes(b"")
        for words in (["info"], ["synth", "--seeds", "0", "--out", str(tmp_path / "o")]):
            result = CliRunner().invoke(main, [*words, "--bundle", str(broken)], prog_name="fg-run")
            assert result.exit_code == 2 and "synthesis.onnx: 0 bytes" in error_of(result)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "0"], "give --out DIR, --grid FILE or both"),
        (["--out", "o"], "give --seeds or --count"),
        (["--seeds", "0", "--count", "2", "--out", "o"], "give --seeds or --count"),
        (["--seeds", "0", "--seed", "2", "--out", "o"], "--seed is the first of --count"),
        (["--seeds", "2-1", "--out", "o"], "the range ends before it starts"),
        (["--seeds", "x", "--out", "o"], "write 7, 0-99"),
        (["--count", "2", "--seed", str(2**64 - 1), "--out", "o"], "above 2**64 - 1"),
        (["--seeds", "0", "--out", "o", "--overwrite", "--resume"], "give one of them"),
        (["--seeds", "0", "--grid", "sheet.gif"], "write .png, .tiff or .bmp"),
        (["--seeds", "0-3,2", "--out", "o"], "2 stands there more than once"),
        (["--seeds", "0", "--mix-layers", "0", "--out", "o"], "--mix-layers needs --mix"),
        (["--seeds", "0", "--alpha", "0.5", "--out", "o"], "--alpha needs --mix"),
        (["--seeds", "0", "--mix", "1", "--alpha", "2", "--out", "o"], "0<=x<=1"),
        (["--seeds", "0", "--mix", "1", "--alpha", "nan", "--out", "o"], "not a finite number"),
        (["--seeds", "0", "--mix", "1", "--mix-layers", "8", "--out", "o"], "layers: 8 given"),
        (["--seeds", "0", "--truncation", "nan", "--out", "o"], "not a finite number"),
        (["--seeds", "0", "--truncation", "inf", "--out", "o"], "x<=10"),
        (["--seeds", "0-1024", "--grid", "sheet.png"], "a sheet holds at most 1024"),
    ],
)
def test_wrong_use_of_synth(fg_run, arguments: list[str], message: str):
    assert message in error_of(fg_run("synth", *arguments, code=2))
    assert os.listdir() == []


@pytest.mark.parametrize("command", [["synth", "--seeds", "0"], ["edit", "--seeds", "0", "--index", "0"]])
def test_folders_that_cannot_be_made(fg_run, command: list[str]):
    Path("taken").touch()
    result = fg_run(*command, "--out", "taken/prints", code=2)
    assert "taken/prints: cannot be written (Not a directory); give another --out" in error_of(result)
    result = fg_run(*command, "--grid", "taken/sheets/a.png", code=2)
    assert "taken/sheets: cannot be written (Not a directory); give another --grid" in error_of(result)
    assert os.listdir() == ["taken"]
