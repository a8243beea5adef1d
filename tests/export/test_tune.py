"""`fg-export tune`: the fastest of what gives right images, and that `auto` takes it."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from fingergen.export import tune as tuning
from fingergen.export.cli import main
from fingergen.runtime import load
from fingergen.runtime.backends import registry
from fingergen.runtime.backends.ort.cpu import OnnxRuntimeCpu
from fingergen.runtime.bundle import read_bundle

from ..tiny_bundle import write_tiny_bundle


class Wrong(OnnxRuntimeCpu):
    """Very fast, and off by a hundredth of the images' range."""

    name = "wrong"

    def compute(self, graph, inputs, pixels):
        output = super().compute(graph, inputs, pixels)
        return output + np.float32(0.02) if graph == "synthesis" and not pixels else output


class Slow(OnnxRuntimeCpu):
    name = "slow"

    def compute(self, graph, inputs, pixels):
        for _ in range(5):
            output = super().compute(graph, inputs, pixels)
        return output


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_tiny_bundle(tmp_path / "tiny", with_encoder=False)


@pytest.fixture
def backends(monkeypatch: pytest.MonkeyPatch) -> None:
    several = {"wrong": (__name__, Wrong.__name__), "slow": (__name__, Slow.__name__)}
    monkeypatch.setattr(registry, "REGISTRY", {**registry.REGISTRY, **several})
    monkeypatch.setattr(registry, "BACKENDS", (*registry.BACKENDS, *several))
    monkeypatch.setattr(tuning, "BACKENDS", (*several, OnnxRuntimeCpu.name))


def tune(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["tune", *map(str, arguments)], prog_name="fg-export")


def test_the_fastest_right_one_is_written_and_auto_takes_it(bundle: Path, backends, monkeypatch) -> None:
    before = {path.name: path.read_bytes() for path in bundle.iterdir() if path.name != "bundle.json"}
    for _ in range(2):  # the second replaces what the first has written
        done = tune(bundle, "--batch", "4,2", "--seconds", 0, "--json")
        assert done.exit_code == 0, done.stderr
        found = json.loads(done.stdout)
        assert found["tuned"]["backend"] == "onnxruntime" and found["tuned"]["batch"] in (2, 4)
        refused = [trial for trial in found["trials"] if trial["refused"]]
        assert [trial["backend"] for trial in refused] == ["wrong"]
        assert refused[0]["refused"].startswith("wrong: error 0.02, above 0.002")
        (tuned,) = read_bundle(bundle).manifest.recommended.tuned
        assert tuned._asdict() == found["tuned"]
    after = {path.name: path.read_bytes() for path in bundle.iterdir() if path.name != "bundle.json"}
    assert after == before

    slow = tuned._replace(backend="slow", batch=3)
    tuning._write(read_bundle(bundle), slow)
    with load(bundle) as model:
        assert (model.backend.name, model.backend.batch) == ("slow", 3)
    with load(bundle, precision="fp32") as model:
        assert model.backend.name == "slow"
    tuning._write(read_bundle(bundle), slow._replace(backend="of-a-later-version"))
    with load(bundle) as model:
        assert model.backend.name == "onnxruntime"
    tuning._write(read_bundle(bundle), slow)
    monkeypatch.setattr(registry, "describe_device", lambda device: "another processor")
    with load(bundle) as model:
        assert model.backend.name == "onnxruntime"


@pytest.mark.parametrize("batch", ["0", "1,,2", "x", "1,99999"])
def test_bad_batches_are_one_line(bundle: Path, batch: str) -> None:
    done = tune(bundle, "--batch", batch)
    assert done.exit_code == 2 and "give batch sizes, such as 1,8,64" in done.stderr.splitlines()[-1]


def test_help_and_what_is_no_bundle(tmp_path: Path) -> None:
    assert "Usage: fg-export tune [OPTIONS] BUNDLE" in tune("--help").stdout
    assert tune(tmp_path / "absent").exit_code == 2
    done = tune(tmp_path)
    assert done.exit_code == 2 and "bundle" in done.stderr


def test_sigterm_ends_it_with_a_line(bundle: Path, monkeypatch: pytest.MonkeyPatch):
    before = (bundle / "bundle.json").read_bytes()
    monkeypatch.setattr(tuning, "tune", lambda *arguments: signal.raise_signal(signal.SIGTERM))
    done = tune(bundle)
    assert done.exit_code == 143
    assert done.stderr == "terminated: the bundle is whole; run the command again\n"
    assert (bundle / "bundle.json").read_bytes() == before
