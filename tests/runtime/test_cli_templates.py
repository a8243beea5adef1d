"""`fg-run synth --template-format`: true templates beside the prints of the demo bundle."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from fingergen.runtime import BadInput, Model, load
from fingergen.runtime.cli import main
from fingergen.runtime.fingers import SENSORS
from fingergen.runtime.images import read_image
from fingergen.runtime.minutiae import WRITABLE, read_template

from .. import tiny_bundle


@pytest.fixture(scope="module")
def model() -> Model:
    return load(backend="onnxruntime")


@pytest.fixture
def synth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(main, ["synth", *arguments], prog_name="fg-run")
        assert result.exit_code == code, result.output
        return result

    return run


def test_templates_are_those_of_the_python_face_and_of_datasets(model: Model, synth):
    formats = [word for name in WRITABLE for word in ("--template-format", name)]
    result = synth("--seeds", "5-6", "--out", "prints", *formats, "--json")
    assert json.loads(result.stdout)["images"][1]["template"].split()[-1] == "prints/00000006.json"
    assert len(os.listdir("prints")) == 2 * (1 + len(WRITABLE))
    sample = model.dataset(1, 1, seed=6)[0]
    assert np.array_equal(read_image("prints/00000006.png"), sample.pixels)
    (true,) = model.templates([6])
    for template in (true, read_template("prints/00000006.json")):
        assert len(template.minutiae) > 20 and (template.width, template.height) == (512, 512)
        assert template.minutiae == sample.template.minutiae
    assert len(read_template("prints/00000006.fmr").minutiae) == len(true.minutiae)


def test_templates_follow_the_size_and_the_sensor(model: Model, synth):
    synth("--seeds", "6", "--size", "256", "--out", "small", "--template-format", "json")
    small = read_template("small/00000006.json")
    assert (small.width, small.height, small.ppi) == (256, 256, 250)
    assert small.minutiae == model.templates([6], size=256)[0].minutiae
    synth("--seeds", "6", "--sensor", "fap20", "--out", "sensor", "--template-format", "json")
    shown = read_template("sensor/00000006.json")
    assert read_image("sensor/00000006.png").shape == (shown.height, shown.width) == (400, 300)
    assert shown.minutiae == SENSORS["fap20"].of_template(model.templates([6])[0]).minutiae


def test_full_speed_writes_the_same_templates(model: Model, synth):
    synth("--seeds", "0-7", "--throughput", "--out", "prints", "--template-format", "json")
    for seed, template in enumerate(model.templates(range(8))):
        assert read_template(f"prints/{seed:08d}.json").minutiae == template.minutiae


def test_resume_makes_what_lacks_its_template(synth):
    arguments = "--seeds", "5-6", "--out", "prints", "--format", "bmp", "--template-format", "json"
    synth(*arguments)
    before = Path("prints/00000005.json").read_bytes()
    assert Path("prints/00000005.bmp.json").exists()  # its provenance
    assert "exists already" in synth(*arguments, code=2).stderr
    Path("prints/00000005.json").unlink()
    assert "1 images of 500 ppi, 1 kept" in synth(*arguments, "--resume").stdout
    assert Path("prints/00000005.json").read_bytes() == before
    for path in Path("prints").glob("*.bmp*"):
        path.unlink()
    assert "exists already" in synth(*arguments, code=2).stderr


def test_resume_adds_no_template_to_another_image(synth):
    arguments = "--seeds", "5", "--out", "prints"
    synth(*arguments, "--truncation", "0.5")
    result = synth(*arguments, "--template-format", "json", "--resume", code=2)
    assert "its truncation is 0.5, here it is 0.85" in result.stderr
    assert os.listdir("prints") == ["00000005.png"]


def test_where_no_truth_is_known(tmp_path: Path, synth):
    result = synth("--seeds", "5", "--out", "prints", "--noise", "const", "--template-format", "json", code=2)
    assert result.stderr == "fg-run: error: noise const: true minutiae are known only with noise ridges\n"
    assert not Path("prints").exists()
    assert (
        "needs --out" in synth("--seeds", "5", "--grid", "a.png", "--template-format", "xyt", code=2).stderr
    )
    assert "'min' is not one of 'iso" in synth("--seeds", "5", "--template-format", "min", code=2).stderr
    plain = load(tiny_bundle.write_tiny_bundle(tmp_path / "tiny"), "onnxruntime")
    with plain, pytest.raises(BadInput, match="bundle tiny has no ridge noise"):
        plain.templates([1])
    with load(backend="onnxruntime") as demo:
        for wrong in ([-1], 3, ["5"]):
            with pytest.raises(BadInput, match="seed"):
                demo.templates(wrong)
        with pytest.raises(BadInput, match="size: 0"):
            demo.templates([5], size=0)
