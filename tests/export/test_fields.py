"""A generator with ridge noise and its field network: exported together, reconstructing templates."""

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from fingergen.runtime import load
from fingergen.runtime.bundle import read_bundle
from fingergen.runtime.bundle.ridge_noise import ridge_noise_layers
from fingergen.runtime.cli import main as fg_run
from fingergen.runtime.errors import BadInput
from fingergen.runtime.fingers.reconstruction.ridges import reconstruct_ridges
from fingergen.runtime.images import read_image, read_provenance
from fingergen.runtime.minutiae import Minutia, MinutiaType, Template, minutiae_map, write_template
from fingergen.runtime.minutiae.raster import rasterize
from fingergen.runtime.model import Model
from fingergen.training.checkpoints import save_generator
from fingergen.training.checkpoints.files import write
from fingergen.training.networks import Generator
from fingergen.training.networks.field_net import FieldNet

from .test_exporter import export, refused

SIZE = 64


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Of a generator for 64 pixels at 62.5 ppi, which show 512 at 500 ppi, and of a field network."""
    folder = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    generator = Generator(SIZE, 1, style_dim=8, n_mlp=1, channel_base=256, channel_max=8)
    with torch.no_grad():
        for name, weight in generator.named_parameters():
            if name.endswith("noise.weight"):
                weight.fill_(0.5)
    layers = [{"source": each.source, "gain": each.gain} for each in ridge_noise_layers(SIZE, 250.0)]
    config = {"ppi": 62.5, "noise": "ridges", "noise_layers": layers}
    save_generator(folder / "generator.pt", g_ema=generator.eval(), images_seen=1, config=config)
    network = FieldNet((8, 8, 8, 8))
    content = {"field_net": network.state_dict(), "images_seen": 7, "config": {"widths": [8] * 4}}
    write(folder / "fields.pt", content)
    return folder / "generator.pt", folder / "fields.pt"


@pytest.fixture(scope="module")
def model(checkpoints: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Model:
    out = tmp_path_factory.mktemp("bundle") / "ridges"
    done = export(*checkpoints, "--out", out)
    assert done.exit_code == 0, done.stderr
    return load(out, backend="onnxruntime", workers=1)


def template(shift: float = 0.0) -> Template:
    minutiae = [
        Minutia(100.0 + 40 * i + shift, 150.0 + 25 * i, 30.0 * i, MinutiaType.ENDING) for i in range(8)
    ]
    return Template(512, 512, 500, tuple(minutiae))


def test_manifest(model: Model):
    manifest = read_bundle(model.bundle.path).manifest
    assert manifest.graphs.fields == "fields.onnx" and manifest.encoder is None
    assert manifest.parity["fields"]["max_abs_error"] < manifest.parity["fields"]["tolerance"]
    roles = [(each["role"], each["images_seen"]) for each in manifest.provenance["checkpoints"]]
    assert roles == [("generator", 1), ("fields", 7)]


def test_the_template_is_in_the_noise_and_the_seed_in_w(model: Model):
    one = model.encoded([template(), template(20.0)], seeds=[3, 3])
    np.testing.assert_array_equal(one.w[0], one.w[1])
    fields = model.backend.read_fields(rasterize(template())[None])[0]
    expected = reconstruct_ridges(template(), fields, SIZE)
    layers = model.bundle.manifest.ridge_noise.layers  # type: ignore[union-attr]
    finest = max(i for i, layer in enumerate(layers) if layer.source == "ridges")
    np.testing.assert_allclose(one.noise[finest][0, 0], expected.ridges * layers[finest].gain, atol=1e-5)
    images = model.reconstruct([template(), template(20.0)], seeds=[3, 3])
    assert images.shape == (2, 512, 512) and np.abs(images[0].astype(int) - images[1]).max() > 5
    other = model.reconstruct(template(), seeds=[4])
    assert not np.array_equal(other[0], images[0])


def test_an_image_hangs_on_its_template_and_seed_alone(model: Model):
    both = model.reconstruct([template(), template(20.0)], seeds=[3, 5])
    np.testing.assert_array_equal(model.reconstruct(template(20.0), seeds=[5])[0], both[1])
    np.testing.assert_array_equal(model.reconstruct(template()), model.reconstruct(template(), seeds=[0]))


def test_the_noise_seed_of_the_command_gives_the_look(model: Model, tmp_path: Path):
    write_template(tmp_path / "a.json", template())

    def command(*words: object, code: int = 0) -> Result:
        arguments = [*words, tmp_path / "a.json", "--bundle", model.bundle.path, "--noise-seed", 5]
        result = CliRunner().invoke(fg_run, list(map(str, arguments)))
        assert result.exit_code == code, result.output
        return result

    command("reconstruct", "--out", tmp_path / "prints")
    command("edit", "--index", 0, "--out", tmp_path / "edits")
    expected = model.reconstruct(template(), seeds=[5])[0]
    for path in (tmp_path / "prints/a.png", tmp_path / "edits/a_original.png"):
        np.testing.assert_array_equal(read_image(path), expected)
        assert read_provenance(path)["noise_seed"] == "5"
    for words in (["reconstruct"], ["edit", "--index", 0]):
        refused = command(*words, "--noise", "const", "--out", tmp_path / "other", code=2)
        assert "noise carries the ridges of templates" in refused.stderr


def test_what_is_no_template(model: Model):
    with pytest.raises(BadInput, match="reads templates, not minutiae maps"):
        model.reconstruct(minutiae_map(template()))
    with pytest.raises(BadInput, match="no templates given"):
        model.reconstruct([])
    with pytest.raises(BadInput, match=r"one seed per image \(1\)"):
        model.reconstruct(template(), seeds=[1, 2])


def test_a_bundle_lends_its_field_network(checkpoints: tuple[Path, Path], model: Model, tmp_path: Path):
    done = export(checkpoints[0], model.bundle.path, "--out", tmp_path / "lent")
    assert done.exit_code == 0, done.stderr
    lent = load(tmp_path / "lent", backend="onnxruntime", workers=1)
    np.testing.assert_array_equal(lent.reconstruct(template()), model.reconstruct(template()))
    ours, theirs = lent.bundle.manifest, model.bundle.manifest
    assert ours.files["fields.onnx"] == theirs.files["fields.onnx"]
    assert ours.parity["fields"] == theirs.parity["fields"]
    entry = ours.provenance["checkpoints"][-1]
    assert (entry["bundle"], [each["images_seen"] for each in entry["checkpoints"]]) == ("ridges", [7])
    assert entry["sha256"] == theirs.files["fields.onnx"].sha256


def test_a_bundle_that_lends_nothing(checkpoints: tuple[Path, Path], model: Model, tmp_path: Path):
    generator, fields = checkpoints
    lender, out = model.bundle.path, tmp_path / "out"
    refused(export(generator, fields, lender, "--out", out), "a second field network; leave out the bundle")
    refused(export(generator, lender, lender, "--out", out), "a second bundle")
    plain = tmp_path / "plain.pt"
    save_generator(plain, g_ema=Generator(SIZE, 1, style_dim=8, n_mlp=1, channel_base=256, channel_max=8))
    refused(export(plain, lender, "--out", out), "goes with a generator with ridge noise")
    assert export(plain, "--out", tmp_path / "plain").exit_code == 0
    refused(export(generator, tmp_path / "plain", "--out", out), "has no field network")
    refused(export(generator, lender, "--engine", "fp16", "--out", out), "--engine: not where a bundle lends")
    assert not out.exists()


def test_a_lender_shows_as_much_of_a_finger(model: Model, tmp_path: Path):
    layers = [{"source": each.source, "gain": each.gain} for each in ridge_noise_layers(SIZE, 250.0)]
    half = tmp_path / "half.pt"
    config = {"ppi": 125.0, "noise": "ridges", "noise_layers": layers}
    network = Generator(SIZE, 1, style_dim=8, n_mlp=1, channel_base=256, channel_max=8)
    save_generator(half, g_ema=network, config=config)
    refused(
        export(half, model.bundle.path, "--out", tmp_path / "out"), "templates of 1.02 inches", "show 0.51"
    )


def test_a_field_network_needs_ridge_noise(checkpoints: tuple[Path, Path], tmp_path: Path):
    generator, fields = checkpoints
    refused(export(fields, "--out", tmp_path / "alone"), "goes with a generator with ridge noise")
    plain = tmp_path / "plain.pt"
    save_generator(plain, g_ema=Generator(SIZE, 1, style_dim=8, n_mlp=1, channel_base=256, channel_max=8))
    refused(export(plain, fields, "--out", tmp_path / "plain"), "goes with a generator with ridge noise")
    refused(export(generator, fields, fields, "--out", tmp_path / "two"), "second field network")
