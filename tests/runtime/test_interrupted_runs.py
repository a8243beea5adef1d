"""`fg-run` on a full disk and killed: one line, whole files only, and the run can be continued."""

from pathlib import Path

import pytest

from fingergen.runtime.images import read_image
from fingergen.runtime.minutiae import Minutia, Template, write_template
from fingergen.runtime.records import read_record

from .. import tiny_bundle
from ..processes import contents, ended, kill_when, small_disk, start


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle.write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture
def words(bundle: Path, tmp_path: Path, request: pytest.FixtureRequest) -> list[object]:
    """A command that writes many images, without its --out."""
    if request.param == "synth":
        return ["synth", "--count", 300, "--bundle", bundle]
    for number in range(60):
        found = [Minutia(5 + 4 * i, 20 + 3 * i, 6 * number) for i in range(6)]
        write_template(tmp_path / f"{number}.fmr", Template(64, 64, 500, tuple(found)), "iso19794-2-2005")
    return ["reconstruct", *sorted(tmp_path.glob("*.fmr")), "--bundle", bundle]


@pytest.mark.slow
@pytest.mark.parametrize("words", ["synth", "reconstruct"], indirect=True)
@pytest.mark.parametrize("how", ["full disk", "killed"])
def test_images_are_whole_and_the_run_is_continued(words: list[object], tmp_path: Path, how: str):
    out, whole = tmp_path / "out", tmp_path / "whole"
    if how == "killed":
        process = start("fg-run", *words, "--out", out)
        kill_when(process, lambda: len(list(out.glob("*.png"))) > 3)
    else:
        with small_disk(tmp_path / "disk", "120k") as disk:
            code, lines = ended(start("fg-run", *words, "--out", disk / "out"))
            assert code == 1 and len(lines) == 1 and "No space left on device" in lines[0], lines
            assert f"{disk}/out/" in lines[0]
            left = contents(disk / "out")
            assert left and not [name for name in left if name.startswith(".")]
            out.mkdir()
            for name, content in left.items():
                (out / name).write_bytes(content)
    left = contents(out)
    for path in out.glob("*.png"):
        assert read_image(path).shape == (64, 64)
    assert ended(start("fg-run", *words, "--out", out, "--resume")) == (0, [])
    assert ended(start("fg-run", *words, "--out", whole)) == (0, [])
    assert contents(out) == contents(whole)
    assert all(contents(whole)[name] == content for name, content in left.items() if name[0] != ".")


@pytest.mark.slow
def test_records_are_whole(bundle: Path, tmp_path: Path):
    prints = tmp_path / "prints"
    assert ended(start("fg-run", "synth", "--count", 40, "--bundle", bundle, "--out", prints)) == (0, [])
    words = ["convert", *sorted(prints.iterdir()), "--to", "ansi-nist", "--date", "2026-01-01", "--out"]
    assert ended(start("fg-run", *words, tmp_path / "whole")) == (0, [])
    out = tmp_path / "records"
    kill_when(start("fg-run", *words, out), lambda: len(list(out.glob("*.an2"))) > 2)
    assert all(read_record(path).images for path in out.glob("*.an2"))
    code, lines = ended(start("fg-run", *words, out))
    assert code == 3 and "exists already" in lines[0]  # what is missing is written all the same
    assert contents(out) == contents(tmp_path / "whole")
    with small_disk(tmp_path / "disk", "60k") as disk:
        code, lines = ended(start("fg-run", *words, disk / "out"))
        assert code == 1 and len(lines) == 1 and "No space left on device" in lines[0], lines
        left = contents(disk / "out")
        assert left and all(contents(out)[name] == content for name, content in left.items())
