"""`fg-export --triton`: a model repository; `tests/runtime/test_triton.py` has a server run it."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from fingergen.export import triton
from fingergen.export.cli import main
from fingergen.runtime.bundle import read_bundle

from ..tiny_bundle import write_tiny_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_tiny_bundle(tmp_path / "bundle")


def export(*arguments: object):
    return CliRunner().invoke(main, list(map(str, arguments)))


def test_repository(bundle, tmp_path):
    out = tmp_path / "models"
    result = export(bundle, "--triton", out)
    assert result.exit_code == 0 and "(synthesize, reconstruct, edit)" in result.output
    assert {path.name for path in out.iterdir()} == {"synthesize", "reconstruct", "edit"}
    for name in ("synthesize", "reconstruct", "edit"):
        compile((out / name / "1" / "model.py").read_text(), "model.py", "exec")
        config = (out / name / "config.pbtxt").read_text()
        assert config.count("{") == config.count("}") and config.count("[") == config.count("]")
        place = re.search(r'key: "bundle" value { string_value: "(.*?)" }', config)[1]
        assert read_bundle((out / name / place).resolve()).manifest.name == "tiny"
        dims = "3, 64, 64" if name == "edit" else "64, 64"
        assert f'output [ {{ name: "IMAGE" data_type: TYPE_UINT8 dims: [ {dims} ] }} ]' in config


def test_a_bundle_without_encoder_does_not_reconstruct(tmp_path):
    bundle = write_tiny_bundle(tmp_path / "bundle", channels=3, with_encoder=False)
    assert export(bundle, "--triton", tmp_path / "models").exit_code == 0
    assert {path.name for path in (tmp_path / "models").iterdir()} == {"synthesize", "edit"}
    assert "dims: [ 64, 64, 3 ]" in (tmp_path / "models/synthesize/config.pbtxt").read_text()


def test_what_is_there_is_kept(bundle, tmp_path):
    out = tmp_path / "models"
    export(bundle, "--triton", out)
    assert "exists already" in export(bundle, "--triton", out).output
    assert export(bundle, "--triton", out, "--overwrite").exit_code == 0
    (out / "mine").mkdir()
    assert "not a model repository" in export(bundle, "--triton", out, "--overwrite").output
    assert (out / "mine").is_dir()
    (out / "mine").rmdir()
    for place in ("edit/2/model.py", "synthesize/bundle/notes.txt", "synthesize/bundle/.notes"):
        (out / place).parent.mkdir(exist_ok=True)
        (out / place).write_text("mine")
        refused = export(bundle, "--triton", out, "--overwrite")
        assert refused.exit_code == 2 and place in refused.output
        assert (out / place).read_text() == "mine"
        (out / place).unlink()


def test_what_is_written_is_what_was_checked(bundle, tmp_path, monkeypatch):
    """The bundle's graph changes after it was opened."""
    read = triton.read_bundle

    def read_and_change(path: Path):
        opened = read(path)
        with (bundle / "synthesis.onnx").open("ab") as graph:
            graph.write(b"x")
        return opened

    monkeypatch.setattr(triton, "read_bundle", read_and_change)
    refused = export(bundle, "--triton", tmp_path / "models")
    assert refused.exit_code == 2 and "synthesis.onnx" in refused.output
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("arguments", [(), ("--triton", "x", "two")])
def test_out_is_needed_for_checkpoints(bundle, arguments):
    (bundle.parent / "two").mkdir()
    given = [bundle.parent / each if each == "two" else each for each in arguments]
    result = export(bundle, *given)
    assert result.exit_code == 2 and "--out" in result.output
