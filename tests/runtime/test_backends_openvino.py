"""The OpenVINO backend: images as ONNX Runtime makes them, whatever the batch and the threads."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fingergen.runtime import load
from fingergen.runtime.backends import unavailable
from fingergen.runtime.bundle import open_bundle
from fingergen.runtime.errors import BadInput, FingerGenError

from ..tiny_bundle import write_tiny_bundle

pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("openvino") / "tiny", own_decoder=True, form="native")


@pytest.mark.parametrize("noise", ["const", "random"])
def test_images_are_those_of_onnx_runtime(path: Path, noise: str) -> None:
    with load(path, "onnxruntime", workers=1) as expected, load(path, "openvino", workers=2) as found:
        w = expected.styles(expected.map(expected.z(range(3))))
        buffers = expected.noise_buffers(noise, list(range(3)), 3)
        for method in ("synthesize", "decode"):
            images = getattr(expected.backend, method)(w, buffers)
            assert np.abs(getattr(found.backend, method)(w, buffers) - images).max() < 1e-4
        maps = np.random.default_rng(0).random((2, 3, 32, 32), np.float32)
        assert np.abs(found.backend.encode(maps).w - expected.backend.encode(maps).w).max() < 1e-3
        assert "OpenVINO" in found.backend.description


def test_an_image_depends_on_neither_batch_nor_threads(path: Path) -> None:
    with load(path, "openvino", workers=1) as one, load(path, "openvino", workers=2) as two:
        images = one.synthesize(range(4))
        np.testing.assert_array_equal(two.synthesize(range(4)), images)
        np.testing.assert_array_equal(two.synthesize([2]), images[2:3])


def test_what_it_cannot_run_is_one_line(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = open_bundle(path)
    assert unavailable("openvino", bundle) is None
    assert unavailable("openvino", bundle, precision="fp16") == "computes in fp32 only"
    custom = write_tiny_bundle(tmp_path / "custom", with_encoder=False)
    assert "fg-export --ops native" in str(unavailable("openvino", open_bundle(custom)))
    with pytest.raises(BadInput) as refused:
        load(custom, "openvino", workers=1)
    assert "fg-export --ops native" in str(refused.value) and "\n" not in str(refused.value)
    model = load(path, "openvino", workers=1)
    model.close()
    with pytest.raises(FingerGenError, match="closed"):
        model.synthesize([1])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert unavailable("openvino", bundle) == (
        "the package openvino is not installed: pip install 'fingergen[openvino]'"
    )


@pytest.mark.parametrize(
    "program", [("fg-run", "synth", "--seeds", "0"), ("fg-bench", "speed", "--rounds", "1")]
)
def test_nothing_is_kept_at_home_or_sent(path: Path, tmp_path: Path, program: tuple[str, ...]) -> None:
    name, command, *words = program
    home = tmp_path / "home"
    home.mkdir()
    own = ["--out", tmp_path / "out", "--bundle", path] if name == "fg-run" else [path]
    backend = "openvino" if name == "fg-run" else "openvino-plain"
    result = subprocess.run(
        [Path(sys.executable).with_name(name), command, *words, "--backend", backend, *own],
        env={key: value for key, value in os.environ.items() if key != "XDG_CACHE_HOME"}
        | {"HOME": str(home)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0 and "telemetry" not in result.stderr, result.stderr
    assert list(home.rglob("*")) == []
