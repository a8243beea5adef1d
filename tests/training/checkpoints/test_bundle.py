"""Generators read back from bundles."""

import json
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from fingergen.runtime.backends.ort.library import onnxruntime
from fingergen.runtime.bundle.bundle import DEMO, read_bundle
from fingergen.runtime.errors import BadInput
from fingergen.training.checkpoints.bundle import generator_of_bundle, load_start

from ... import tiny_bundle


@pytest.mark.parametrize("other", [False, True])
@pytest.mark.parametrize("form", ["custom", "native"])
def test_a_bundle_gives_back_its_generator(tmp_path: Path, form: Literal["custom", "native"], other: bool):
    """In both forms, layers whole and divided; StyleGAN2's and that of ridge noise."""
    path = tmp_path / "bundle"
    options = {"styled_noise": other, "raw_z": other}
    folder = tiny_bundle.write_tiny_bundle(path, with_encoder=False, form=form, **options)
    expected = tiny_bundle.generator(1, **options)
    found = generator_of_bundle(read_bundle(folder)).g_ema
    assert found.architecture() == expected.architecture()
    z = torch.randn(4, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(found.map(z), expected.map(z), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found(z), expected(z), atol=1e-4, rtol=1e-4)
    weights = expected.state_dict()
    for key, value in found.state_dict().items():
        assert torch.allclose(value, weights[key], atol=1e-4, rtol=1e-4), key


def test_a_bundle_of_another_generator_is_refused(tmp_path: Path):
    folder = tiny_bundle.write_tiny_bundle(tmp_path / "bundle", with_encoder=False)
    path = folder / "bundle.json"
    manifest = json.loads(path.read_text())
    manifest["provenance"]["networks"]["generator"]["widths"]["32"] = 4
    path.write_text(json.dumps(manifest))
    with pytest.raises(BadInput, match=r"not those of the generator that bundle/bundle\.json"):
        load_start(folder)
    del manifest["provenance"]["networks"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(BadInput, match=r"'networks'.*give the checkpoint"):
        load_start(folder)


def test_without_onnx_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tiny_bundle.write_tiny_bundle(tmp_path / "bundle", with_encoder=False)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(BadInput, match=r"needs onnx: pip install 'fingergen\[export\]'"):
        load_start(folder)


def test_demo_is_the_packaged_bundle():
    start = load_start(Path("demo"))
    assert start.config["noise"] == "ridges"
    rng = np.random.default_rng(0)
    styles = start.g_ema.num_ws, start.g_ema.style_dim
    w = rng.standard_normal((1, *styles), np.float32)
    noise = [rng.standard_normal(shape, np.float32) for shape in start.g_ema.noise_shapes()]
    session = onnxruntime.InferenceSession(DEMO / "synthesis.onnx", providers=["CPUExecutionProvider"])
    inputs = {"w": w} | {f"noise_{number}": each for number, each in enumerate(noise)}
    expected = session.run(["image"], inputs)[0]
    with torch.no_grad():
        found = start.g_ema.synthesize(torch.from_numpy(w), [torch.from_numpy(each) for each in noise])
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-3)
