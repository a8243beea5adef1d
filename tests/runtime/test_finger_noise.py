"""A bundle with ridge noise: its manifest, and that a seed's finger shows in what is made of it."""

import csv
import dataclasses
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from fingergen.runtime.bundle import read_bundle, write_bundle
from fingergen.runtime.bundle.manifest import MANIFEST, Manifest, Recommended, RidgeNoise
from fingergen.runtime.bundle.ridge_noise import ridge_noise_layers
from fingergen.runtime.cli import main as fg_run
from fingergen.runtime.datasets.mated import Mate, MatedSynthesis, mates
from fingergen.runtime.errors import BadInput
from fingergen.runtime.fingers import Effects, FingerPosition
from fingergen.runtime.fingers import noise as noise_module
from fingergen.runtime.fingers.capture.look import look_of, traits_of
from fingergen.runtime.fingers.noise import FingerNoise
from fingergen.runtime.minutiae import read_template
from fingergen.runtime.model import Model, load
from tests.tiny_bundle import write_tiny_bundle


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "plain", with_encoder=False)


@pytest.fixture(scope="module")
def ridges(plain: Path) -> Path:
    """The same networks; of images of 32 pixels at 250 ppi, which show 64 pixels at 500 ppi."""
    bundle = read_bundle(plain)
    noise = RidgeNoise(ridge_noise_layers(32, 250.0), ("moisture", "ink"))
    manifest = bundle.manifest._replace(
        name="ridges", ridge_noise=noise, recommended=Recommended(noise="ridges")
    )
    contents = {name: (plain / name).read_bytes() for name in bundle.manifest.files}
    named = np.eye(2, 32, dtype=np.float32)
    contents[manifest.latents] = dataclasses.replace(bundle.latents, look_directions=named).to_bytes()
    write_bundle(plain.parent / "ridges", manifest, contents)
    return plain.parent / "ridges"


@pytest.fixture(scope="module")
def model(ridges: Path) -> Model:
    return load(ridges, backend="onnxruntime", workers=1)


def test_manifest_keeps_what_layers_take_and_others_say_nothing_of_it(ridges: Path, plain: Path):
    manifest = read_bundle(ridges).manifest
    assert manifest.ridge_noise is not None
    assert manifest.ridge_noise.layers == ridge_noise_layers(32, 250.0)
    assert manifest.ridge_noise.looks == ("moisture", "ink")
    assert manifest.recommended.noise == "ridges"
    assert "ridge_noise" not in json.loads((plain / MANIFEST).read_text())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["ridge_noise"]["layers"].pop(), r"ridge_noise.layers: 6; this generator has 7"),
        (lambda m: m["ridge_noise"]["layers"][2].update(source="minutiae"), r"ridge_noise.layers.2.source: "),
        (lambda m: m["ridge_noise"].update(looks=["look"] * 2), r"ridge_noise.looks: "),
        (lambda m: m["ridge_noise"].update(looks=[f"l-{'a' * i}" for i in range(33)]), r"33; z has 32"),
        (lambda m: m.pop("ridge_noise"), r"recommended.noise: ridges; this bundle has no ridge_noise"),
    ],
)
def test_wrong_manifests_are_named(ridges: Path, change, message: str):
    content = json.loads((ridges / MANIFEST).read_text())
    change(content)
    with pytest.raises(BadInput, match=message):
        Manifest.from_json(content)


def test_the_finest_noise_is_the_ridge_map_of_the_seeds_finger(model: Model):
    buffers = model.noise_buffers(None, [3, 5], 2)
    assert [each.shape for each in buffers] == [
        (2, *shape[1:]) for shape in model.bundle.manifest.architecture.noise_shapes
    ]
    assert model.finger_noise is not None
    impression = model.finger_noise.impression(5)
    ridges, contact = impression.maps(2)
    np.testing.assert_allclose(buffers[-2][1, 0], 1.5 * ridges, atol=1e-5)
    contact = contact.reshape(8, 4, 8, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(buffers[1][1, 0], 1.5 * (2 * contact - 1), atol=1e-5)
    assert len(impression.template.minutiae) > 0


def test_an_image_is_its_seeds_whatever_the_batch_and_mixing_or_editing_keeps_its_noise(model: Model):
    images = model.synthesize([3, 8, 21])
    for index, seed in enumerate([3, 8, 21]):
        np.testing.assert_array_equal(model.synthesize([seed])[0], images[index])
    w = model.map(model.z([8]))
    before, middle, after = model.edit(w, 0, 2.0, seeds=[8])
    np.testing.assert_array_equal(middle[0], images[1])
    assert (before != after).any()
    with pytest.raises(BadInput, match="noise ridges: give one seed per image"):
        model.render(w)


def test_a_trait_is_edited_by_its_name(model: Model, ridges: Path, tmp_path: Path):
    z = model.z([8])
    w = model.map(z)
    before, middle, after = model.edit(w, "ink", 2.0, seeds=[8], z=z)
    for image, deviations in ((before, -1), (middle, 0), (after, 1)):
        changed = z.copy()
        changed[:, 1] += deviations
        np.testing.assert_array_equal(image, model.render(model.map(changed), seeds=[8]))
    assert (before != after).any()
    both = model.edited(w, {"moisture": 1.0, "ink": -4.0, 0: 3.0}, z=z)
    changed = z + np.float32([[0.5, -2.0, *[0.0] * (z.shape[1] - 2)]])
    expected = model.map(changed) + 3 * model.bundle.direction(0)
    np.testing.assert_allclose(both, np.repeat(expected[:, None], model.num_ws, axis=1), atol=1e-5)
    with pytest.raises(BadInput, match=r"z: shape \(2, 32\); must be \(1, 32\), as w"):
        model.edit(w, "ink", 2.0, seeds=[8], z=model.z([8, 9]))
    with pytest.raises(BadInput, match="index: oil; this bundle has directions 0-31 and moisture, ink"):
        model.edit(w, "oil", 2.0, seeds=[8], z=z)
    words = ["edit", "--bundle", ridges, "--seeds", "8", "--index", "ink", "--degree", "2", "--out", tmp_path]
    result = CliRunner().invoke(fg_run, list(map(str, words)))
    assert result.exit_code == 0, result.output
    with Image.open(tmp_path / "00000008_plus.png") as image:
        np.testing.assert_array_equal(np.asarray(image), after[0])


def test_without_z_a_trait_moves_w_along_its_direction(model: Model):
    w = model.map(model.z([8]))
    _, _, after = model.edit(w, "ink", 2.0, seeds=[8])
    moved = w.copy()
    moved[:, 1] += 2.0
    np.testing.assert_array_equal(after, model.render(moved, seeds=[8]))


def test_mates_are_impressions_of_their_own_and_the_first_is_that_of_synth(model: Model):
    steps = MatedSynthesis(model)
    plan = [mate for seed in (3, 8) for mate in mates(seed, 3, (), 5.0)]
    drawn = steps.prepare(plan)
    images = np.stack([steps.finish(levels) for levels in steps.compute(drawn)])
    np.testing.assert_array_equal(images[[0, 3]], model.synthesize([3, 8]))
    assert len(np.unique(images, axis=0)) == len(plan)
    for layer in (-2, -1):  # ridge map, white noise
        assert len(np.unique(drawn.noise[layer], axis=0)) == len(plan)
    alone = steps.prepare(plan[4:5])
    np.testing.assert_array_equal(steps.finish(steps.compute(alone)[0]), images[4])


def test_a_preset_or_a_fixed_effect_decides_the_look(model: Model):
    assert model.finger_noise is not None
    named = model.bundle.traits

    def drawn(**options: Any) -> np.ndarray:
        return MatedSynthesis(model, **options).prepare([Mate(8, 1)]).z[0]

    easy = model.finger_noise.impression(8, 0, "easy")
    free, looks = model.z([8])[0], model.finger_noise.looks([easy])[0]
    np.testing.assert_array_equal(drawn(), free)
    np.testing.assert_array_equal(drawn(preset="easy"), looks)
    np.testing.assert_array_equal(looks[: len(named)], look_of(traits_of(easy.capture), named))
    np.testing.assert_array_equal(looks[len(named) :], free[len(named) :])
    wet = drawn(effects=Effects(moisture="wet"))
    assert wet[list(named).index("moisture")] > looks[list(named).index("moisture")] + 2.0
    assert (wet != looks).sum() == 1


def test_truncation_narrows_looks_that_are_drawn_and_no_given_ones():
    with load(workers=1) as demo:
        psi = demo.bundle.manifest.recommended.truncation
        assert psi < 1

        def made(**options: Any) -> np.ndarray:
            steps = MatedSynthesis(demo, **options)
            return steps.compute(steps.prepare([Mate(8, 1), Mate(8, 2)]))

        given, drawn = made(preset="easy"), made()
        np.testing.assert_array_equal(given, made(preset="easy", truncation=1.0))
        assert (given != made(preset="easy", truncation=psi)).any(axis=(1, 2, 3)).all()
        narrowed, plain = made(truncation=psi), made(truncation=1.0)
    np.testing.assert_array_equal(drawn, [narrowed[0], plain[1]])  # the second looks as in `medium`
    assert (drawn != plain).any() and (drawn != narrowed).any()


def test_ridges_are_refused_where_a_bundle_has_none(plain: Path):
    with (
        load(plain, backend="onnxruntime", workers=1) as other,
        pytest.raises(BadInput, match="noise ridges: bundle tiny has no ridge noise"),
    ):
        other.synthesize([1], noise="ridges")


def test_a_data_set_has_the_true_template_of_every_image(ridges: Path, model: Model, tmp_path: Path):
    words = ["dataset", "--bundle", ridges, "--fingers", 2, "--impressions", 2, "--finger", "left-index"]
    formats = ["--template-format", "json", "--template-format", "xyt"]
    result = CliRunner().invoke(
        fg_run, [*map(str, words), *formats, "--rotation", "5", "--out", str(tmp_path)]
    )
    assert result.exit_code == 0, result.output
    with (tmp_path / "impressions.csv").open(newline="") as file:
        row = list(csv.DictReader(file))[3]
    assert (row["file"], row["template"]) == ("00000001_2.png", "00000001_2.json 00000001_2.xyt")
    assert (row["position"], row["rotation"], row["preset"]) == ("left-index", "5", "medium")
    assert model.finger_noise is not None
    index = FingerPosition.LEFT_INDEX
    taken = model.finger_noise.impression(1, 1, "medium", Effects(rotation=5), position=index)
    truth = read_template(tmp_path / "00000001_2.json")
    with Image.open(tmp_path / row["file"]) as image:
        assert image.size == (truth.width, truth.height) and image.info["class"] == row["class"]
        assert image.info["position"] == "left-index"
    scale = truth.width / taken.template.width
    assert truth.ppi == pytest.approx(500 * scale) and len(truth.minutiae) == len(taken.template.minutiae) > 0
    for found, true in zip(truth.minutiae, taken.template.minutiae, strict=True):
        assert found.x == pytest.approx((true.x + 0.5) * scale - 0.5, abs=0.51 * (true.x < 0.5) + 0.01)


def test_the_first_image_of_a_data_set_is_that_of_synth(ridges: Path, model: Model, tmp_path: Path):
    words = ["dataset", "--bundle", ridges, "--fingers", 2, "--impressions", 2]

    def rows_of(name: str, *options: str) -> list[dict[str, str]]:
        result = CliRunner().invoke(fg_run, [*map(str, words), *options, "--out", str(tmp_path / name)])
        assert result.exit_code == 0, result.output
        with (tmp_path / name / "impressions.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    rows = rows_of("plain")
    for row, image in zip(rows[::2], model.synthesize([0, 1]), strict=True):
        with Image.open(tmp_path / "plain" / row["file"]) as first:
            np.testing.assert_array_equal(np.asarray(first), image)
            assert float(first.info["truncation"]) == model.bundle.manifest.recommended.truncation
    # What it looks like is in its latent; the row tells nothing that the image does not show.
    for column in ("moisture", "noise"):
        assert [bool(row[column]) for row in rows] == [False, True, False, True]
    assert all(row["rotation"] and row["outline"] for row in rows)
    assert all(row["moisture"] for row in rows_of("easy", "--preset", "easy"))


def test_callers_on_several_threads_grow_as_many_fingers_as_one(ridges: Path, monkeypatch):
    with load(ridges, backend="onnxruntime") as model:
        noise = FingerNoise(model.bundle.manifest, workers=2)
    growing, most, lock = 0, 0, threading.Lock()

    def slow(threads):
        nonlocal growing, most
        with lock:
            growing += 1
            most = max(most, growing)
        time.sleep(0.02)
        with lock:
            growing -= 1
        return finger

    finger = noise.impression(1).finger
    monkeypatch.setattr(noise_module, "_kept", lambda *arguments: SimpleNamespace(get=slow))
    with ThreadPoolExecutor(3) as callers:
        list(callers.map(noise.of_seeds, [range(4)] * 3))
    assert most == 2


def test_threads_that_ask_for_one_finger_grow_it_once(ridges: Path, monkeypatch):
    with load(ridges, backend="onnxruntime") as model:
        noise = FingerNoise(model.bundle.manifest)
    grown, finger = [], noise.impression(1).finger

    def slow(seed, *arguments, threads):
        grown.append(seed)
        time.sleep(0.02)
        return finger

    monkeypatch.setattr(noise_module, "make_finger", slow)
    with ThreadPoolExecutor(4) as callers:
        list(callers.map(noise.impression, [2**60, 2**60 + 1] * 4))
    noise_module._kept.cache_clear()  # of what are not these seeds' fingers
    assert sorted(grown) == [2**60, 2**60 + 1]
