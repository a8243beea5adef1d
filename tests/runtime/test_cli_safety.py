"""Commands lose nothing, mix nothing up and take nothing for what it is not."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from fingergen.runtime import BadInput, load
from fingergen.runtime.cli import main
from fingergen.runtime.images import save_image
from fingergen.runtime.minutiae import Minutia, Template, minutiae_map, write_template

from .. import tiny_bundle

TEMPLATE = Template(64, 64, 500, tuple(Minutia(8 + 9 * i, 50 - 6 * i, 40 * i) for i in range(6)))
FEW = Template(64, 64, 500, TEMPLATE.minutiae[:2])


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle.write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture
def fg_run(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs a command in an empty directory, with the small bundle."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object, code: int = 0) -> Result:
        arguments = [*map(str, words), "--bundle", str(bundle)]
        result = CliRunner().invoke(main, arguments, prog_name="fg-run")
        assert result.exit_code == code, result.output
        return result

    return run


def content(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


class TestResume:
    """What is kept is whole; what is not is made again."""

    @pytest.mark.parametrize("image_format", ["png", "tiff", "bmp"])
    @pytest.mark.parametrize("damage", ["empty", "half", "one byte", "header"])
    def test_damaged_images(self, fg_run, image_format: str, damage: str):
        if (image_format, damage) in (("bmp", "one byte"), ("tiff", "one byte")):
            return  # these formats have no checksum
        words = ("synth", "--seeds", "0-2", "--out", "prints", "--format", image_format)
        fg_run(*words)
        whole = content("prints")
        path = next(Path("prints").glob(f"00000001.{image_format}"))
        data = bytearray(path.read_bytes())
        match damage:
            case "empty":
                data = bytearray()
            case "half":
                data = data[: len(data) // 2]
            case "one byte":
                data[len(data) // 2] ^= 1
            case "header":
                data[8:24] = b"\xff" * 16
        path.write_bytes(data)
        report = json.loads(fg_run(*words, "--resume", "--json").stdout)
        assert (report["written"], report["kept"]) == (1, 2) and content("prints") == whole


class TestDataset:
    def test_another_set_is_never_mixed_in(self, fg_run):
        fg_run("dataset", "--fingers", 2, "--out", "set")
        before = content("set")
        other = ("dataset", "--fingers", 2, "--seed", 100, "--out", "set")
        for mode in ((), ("--resume",), ("--overwrite",)):
            message = fg_run(*other, *mode, code=2).stderr
            assert "00000000_1.png: an image that this dataset does not have" in message
            assert content("set") == before

    def test_settings_and_table_are_outputs_like_any_other(self, fg_run):
        for name in ("dataset.json", "impressions.csv"):
            Path("set").mkdir(exist_ok=True)
            Path("set", name).write_text("mine")
            message = fg_run("dataset", "--fingers", 1, "--out", "set", code=2).stderr
            assert f"{name}: exists already" in message and Path("set", name).read_text() == "mine"
            Path("set", name).unlink()

    def test_resume_with_settings_of_something_else(self, fg_run):
        Path("set").mkdir()
        for text in ("mine", "[]", "{}", "[" * 100000, '{"operation": "synth"}'):
            Path("set/dataset.json").write_text(text)
            message = fg_run("dataset", "--fingers", 1, "--out", "set", "--resume", code=2).stderr
            assert "not the settings of a dataset" in message
            assert content("set") == {"dataset.json": text.encode()}

    def test_fewer_fingers_than_there_are(self, fg_run):
        fg_run("dataset", "--fingers", 3, "--out", "set")
        before = content("set")
        fg_run("dataset", "--fingers", 2, "--out", "set", "--resume", code=2)
        assert content("set") == before


class TestTemplates:
    def test_bad_ones_are_listed_and_the_others_done(self, fg_run):
        write_template("a.json", TEMPLATE)
        Path("b.xyt").write_text("no numbers here\n")
        write_template("c.json", TEMPLATE)
        result = fg_run("reconstruct", "a.json", "b.xyt", "c.json", "nowhere.fmr", "--out", "prints", code=3)
        assert sorted(os.listdir("prints")) == ["a.png", "c.png"]
        lines = result.stderr.splitlines()
        assert len(lines) == 3 and "b.xyt" in lines[0] and "nowhere.fmr" in lines[1]
        assert "2 of 4 files could not be used" in lines[2]
        assert "2 images" in result.stdout
        result = fg_run("edit", "a.json", "b.xyt", "--index", 0, "--out", "edits", code=3)
        assert len(os.listdir("edits")) == 3 and "b.xyt" in result.stderr
        fg_run("reconstruct", "b.xyt", "nowhere.fmr", "--out", "none", code=3)
        assert not Path("none").exists()

    def test_other_pictures_are_no_maps(self, fg_run):
        rng = np.random.default_rng(0)
        gray = rng.integers(0, 256, (64, 64), np.uint8)
        tinted = np.stack([gray, gray, gray // 2], axis=2)
        cores_only = np.zeros((64, 64, 3), np.uint8)
        cores_only[20:30, 20:30, 2] = 255
        pictures = {
            "black": (np.zeros((64, 64, 3), np.uint8), "it is black"),
            "white": (np.full((64, 64, 3), 255, np.uint8), "three channels are equal"),
            "gray": (np.stack([gray] * 3, axis=2), "three channels are equal"),
            "tinted": (tinted, "is black"),
            "light": (np.where(gray[..., None] < 128, 0, tinted), "three channels show the same"),
            "cores": (cores_only, "no minutiae are drawn"),
        }
        for name, (picture, message) in pictures.items():
            save_image(f"{name}.png", picture, 500, {"fingergen": "1"})
            result = fg_run("reconstruct", f"{name}.png", "--out", "prints", code=2)
            assert f"{name}.png: not a minutiae map: " in result.stderr and message in result.stderr
        assert not Path("prints").exists()

    @pytest.mark.parametrize("count", [1, 12, 200])
    def test_maps_are(self, fg_run, count: int):
        rng = np.random.default_rng(count)
        drawn = [Minutia(*rng.uniform(20, 490, 2), rng.uniform(0, 360)) for _ in range(count)]
        save_image("map.png", minutiae_map(Template(512, 512, 500, tuple(drawn))), 500, {"fingergen": "1"})
        fg_run("reconstruct", "map.png", "--out", "prints")

    def test_few_minutiae(self, fg_run):
        write_template("few.json", FEW)
        write_template("enough.json", TEMPLATE)
        result = fg_run("reconstruct", "few.json", "enough.json", "--out", "prints")
        assert result.stderr.splitlines() == [
            "warning: few.json: holds only 2 minutiae; ridges far from them will be gray"
        ]
        result = fg_run("reconstruct", "few.json", "--min-minutiae", 3, "--out", "more", code=2)
        assert "few.json: holds 2 minutiae, fewer than --min-minutiae 3" in result.stderr

    @pytest.mark.parametrize("where", [["--out", "."], ["--grid", "a.png"], ["--out", "link"]])
    def test_inputs_are_never_replaced(self, fg_run, where: list[str]):
        save_image("a.png", minutiae_map(TEMPLATE), 500, {"fingergen": "1"})
        Path("link").symlink_to(".")
        before = Path("a.png").read_bytes()
        result = fg_run("reconstruct", "a.png", *where, "--overwrite", code=2)
        assert "a.png: is read and would be replaced" in result.stderr
        assert Path("a.png").read_bytes() == before

    def test_escape_sequences_do_not_reach_the_terminal(self, fg_run):
        Path("\x1b[31mred.xyt").write_text("no numbers \x1b]0;title\x07\n")
        Path("b\x9b.xyt").touch()
        result = fg_run("reconstruct", "\x1b[31mred.xyt", "b\x9b.xyt", "--out", "prints", code=3)
        assert r"\x1b[31mred.xyt" in result.stderr
        assert all(each.isprintable() for line in result.stderr.splitlines() for each in line)


def test_a_closed_model(bundle: Path):
    with load(bundle) as model:
        image = model.synthesize([0])
    model.close()
    for use in (
        lambda: model.synthesize([0]),
        lambda: model.map(model.z([0])),
        lambda: model.reconstruct(TEMPLATE),
        lambda: model.backend,
    ):
        with pytest.raises(BadInput, match="the model is closed"):
            use()
    with load(bundle) as again:
        assert np.array_equal(again.synthesize([0]), image)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none(bundle: Path, value: float):
    with load(bundle) as model:
        w = model.map(model.z([0, 1]))
        w[1, 3] = value
        for use in (
            lambda: model.generate(w),
            lambda: model.render(w),
            lambda: model.edit(w, 0, 1.0),
            lambda: model.map(w),
        ):
            with pytest.raises(BadInput, match="finite"):
                use()
