"""libfingergen on a bundle with ridge noise: fingers, impressions, reconstructions and edits are Python's."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import fingergen.runtime as fgr
from fingergen.runtime.bundle.bundle import DEMO
from fingergen.runtime.datasets.mated import Mate, MatedSynthesis
from fingergen.runtime.minutiae import FORMATS, Minutia, Template, decode_template
from fingergen.runtime.minutiae.formats import iso19794_2_2005

from ..tiny_bundle import write_tiny_bundle
from .c_library import BAD_INPUT, OK, Loaded, to_c
from .test_c_api import EXAMPLES, compiled, needs_compiler, run  # skips where libfingergen was not built


@pytest.fixture(scope="module")
def model() -> Iterator[fgr.Model]:
    with fgr.load(DEMO, backend="onnxruntime") as found:
        yield found


@pytest.fixture(scope="module")
def loaded() -> Iterator[Loaded]:
    found = Loaded(DEMO)
    assert found.status == OK, found.line
    yield found
    found.close()


def python_impression(model: fgr.Model, seed: int, number: int, preset: str) -> tuple[np.ndarray, Template]:
    """As a mated set has it."""
    steps, mate = MatedSynthesis(model, preset=preset, taken={}), Mate(seed, 1, number=number)
    (levels,) = steps.compute(steps.prepare([mate]))
    assert steps.taken is not None
    return steps.finish(levels), steps.taken[mate].template


# Seeds of every pattern class, and of whorls' three variants, are among them.
@pytest.mark.parametrize("seed", [0, 1, 2, 5, 2**64 - 1, pytest.param(range(6, 40), marks=pytest.mark.slow)])
def test_fingers_of_seeds(model, loaded, seed):
    for each in seed if isinstance(seed, range) else [seed]:
        found = loaded.synthesize(each)
        assert loaded.status == OK and np.array_equal(found, model.synthesize([each])[0]), each


@pytest.mark.parametrize(
    ("number", "preset"), [(0, None), (3, "medium"), (2**32 - 1, "hard"), (1, "partial")]
)
def test_impressions_and_their_truth(model, loaded, number, preset):
    for seed in (3, 4):
        image, template = loaded.impression(seed, number, preset)
        expected, truth = python_impression(model, seed, number, preset or "easy")
        assert loaded.status == OK and np.array_equal(image, expected)
        assert template is not None and template.minutiae
        assert [m.type for m in template.minutiae] == [m.type for m in truth.minutiae]
        for ours, theirs in (
            (template.minutiae, truth.minutiae),
            (template.cores, truth.cores),
            (template.deltas, truth.deltas),
        ):
            assert len(ours) == len(theirs)
            for one, other in zip(ours, theirs, strict=True):
                assert (one.x, one.y) == pytest.approx((other.x, other.y), abs=1e-3)
        for one, other in zip(template.minutiae, truth.minutiae, strict=True):
            assert abs((one.angle - other.angle + 180) % 360 - 180) < 0.01


def test_edits(model, loaded):
    z = model.z([5])
    w = model.map(z)
    for name, degree, truncation in (("moisture", 2.0, None), ("0", -3.0, 0.4)):
        index = int(name) if name.isdecimal() else name
        _, _, expected = model.edit(w, index, degree, truncation=truncation, seeds=[5], z=z)
        found = loaded.edit(5, name, degree, truncation)
        assert loaded.status == OK and np.array_equal(found, expected[0])
    for wrong in ("beauty", "64", "", "-1", "1x"):
        loaded.edit(5, wrong, 1.0)
        assert loaded.status == BAD_INPUT and "64 numbered directions, pressure, moisture" in loaded.line
    loaded.edit(5, "0", np.inf)
    assert (loaded.status, loaded.line) == (BAD_INPUT, "degree: must be a finite number")


@pytest.mark.parametrize("ppi", [500, 400])
def test_reconstructions(model, loaded, ppi):
    _, truth = python_impression(model, 3, 1, "medium")
    turned = Minutia(200.25, 200.5, -90.0)  # of no type, and of an angle that is brought into the circle
    template = replace(truth, ppi=ppi, minutiae=(*truth.minutiae, turned))
    found = loaded.reconstruct(to_c(template), 9)
    assert loaded.status == OK
    assert np.array_equal(found, model.reconstruct([template], seeds=[9])[0])


def test_records_are_read_as_python_reads_them(loaded):
    rng = np.random.default_rng(0)
    _, truth = loaded.impression(4, 0)
    record = iso19794_2_2005.encode(truth)
    assert loaded.read(record) == without_angles(decode_template(record, "record"))
    assert loaded.status == OK
    read = 0
    for _ in range(300):  # damage
        cut = bytearray(record[: rng.integers(20, len(record) + 1)])
        for place in rng.integers(0, len(cut), 2):
            cut[place] = rng.integers(0, 256)
        found = loaded.read(bytes(cut))
        assert (loaded.status == OK) == (found is not None)
        assert found is not None or (loaded.status == BAD_INPUT and loaded.line.startswith("template: "))
        if found is not None:
            read += 1
            expected = decode_template(bytes(cut), "record", "iso19794-2-2005", on_warning=lambda _: None)
            assert found == without_angles(expected)
    assert read > 20


def test_a_resolution_that_python_refuses_is_refused(loaded):
    _, truth = loaded.impression(4, 0)
    record = bytearray(iso19794_2_2005.encode(truth))
    record[18:22] = b"\xff" * 4  # 65,535 pixels per cm
    assert loaded.read(bytes(record)) is None
    assert loaded.status == BAD_INPUT and "ppi" in loaded.line


def without_angles(template: Template) -> Template:
    """C leaves out the angles of cores and deltas, which nothing uses."""
    cores, deltas = (
        tuple(replace(point, angles=()) for point in points) for points in (template.cores, template.deltas)
    )
    return replace(template, cores=cores, deltas=deltas)


def test_other_formats_are_named_their_converter(loaded):
    _, truth = loaded.impression(4, 0)
    for name, known in FORMATS.items():
        if known.encode is not None and name != "iso19794-2-2005":
            assert loaded.read(known.encode(truth)) is None, name
            assert loaded.status == BAD_INPUT and "fg-run convert" in loaded.line


def test_wrong_templates_and_presets(loaded):
    minutiae = (Minutia(10, 10, 0),)
    for change, message in (
        ({"width": 0}, "width and height"),
        ({"ppi": float("nan")}, "ppi: give 1 to 100000"),
        ({"minutiae_count": 0}, "holds no minutiae"),
        ({"minutiae_count": 2**40}, "an array is NULL, or too long"),
        ({"width": 5}, "a minutia lies outside the image of 5 x 512 pixels"),
    ):
        given = to_c(Template(512, 512, 500, minutiae))
        for name, value in change.items():
            setattr(given, name, value)
        loaded.reconstruct(given)
        assert loaded.status == BAD_INPUT and message in loaded.line, loaded.line
    image, truth = loaded.impression(1, 0, "extreme")
    assert (loaded.status, loaded.line) == (BAD_INPUT, "preset: choose easy, medium, hard or partial")
    assert truth is None and not image.any()


@needs_compiler
def test_c_example(model, tmp_path):
    program = compiled(EXAMPLES / "impressions.c", tmp_path / "impressions")
    result = run(program, DEMO, 3, tmp_path)
    assert result.returncode == 0, result.stderr
    expected, truth = python_impression(model, 3, 1, "medium")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "impression-1.pgm")), expected)
    rows = [line for line in result.stdout.splitlines() if line.startswith("1 ")]
    assert len(rows) == len(truth.minutiae)
    assert (tmp_path / "reconstruction.pgm").stat().st_size == (tmp_path / "impression-1.pgm").stat().st_size


def test_a_bundle_without_ridge_noise_refuses(tmp_path):
    tiny = Loaded(write_tiny_bundle(tmp_path / "tiny"))
    template = to_c(Template(64, 64, 500, (Minutia(1, 1, 0),)))
    for refused in (lambda: tiny.impression(1, 0), lambda: tiny.reconstruct(template)):
        refused()
        assert tiny.status == BAD_INPUT and "a bundle without ridge noise" in tiny.line
    tiny.close()


def test_more_looks_than_z_are_refused(tmp_path):
    copy = shutil.copytree(DEMO, tmp_path / "copy")
    manifest = json.loads((copy / "bundle.json").read_text())
    manifest["ridge_noise"]["looks"] *= 10
    (copy / "bundle.json").write_text(json.dumps(manifest))
    found = Loaded(copy)
    assert found.status == BAD_INPUT and found.line.endswith("ridge_noise.looks has more entries than z")


def test_noise_of_another_size_is_refused(tmp_path):
    """Noise is made in the network's sizes: a graph that was told others would read beyond it."""
    copy = shutil.copytree(DEMO, tmp_path / "copy")
    manifest = json.loads((copy / "bundle.json").read_text())
    arrays = dict(np.load(copy / "latents.npz"))
    np.savez(copy / "latents.npz", **{**arrays, "noise_5": np.zeros((1, 1, 64, 64), np.float32)})
    data = (copy / "latents.npz").read_bytes()
    manifest["files"]["latents.npz"] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (copy / "bundle.json").write_text(json.dumps(manifest))
    found = Loaded(copy)
    assert found.status == BAD_INPUT and found.line.endswith("noise_5 is not of shape (1, 1, 32, 32)")
