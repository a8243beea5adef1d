"""`fg-export`: checkpoints in, a bundle out, or one line and nothing."""

import argparse
import json

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from fingergen.export.cli import main
from fingergen.export.onnx_graphs import weights
from fingergen.runtime import load
from fingergen.runtime.backends.ort.library import onnxruntime as ort
from fingergen.runtime.bundle import read_bundle
from fingergen.runtime.minutiae import Minutia, Template, minutiae_map
from fingergen.training.checkpoints import save_generator, save_reconstruction
from fingergen.training.networks import Generator, Reconstructor

from .test_graphs import close, feeds, randomise, small_encoder, small_generator


def export(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="fg-export")


def refused(result, *words, code=2):
    """The export ended with one line on stderr that has `words`."""
    lines = [line for line in result.stderr.splitlines() if not line.endswith("…")]
    assert result.exit_code == code and len(lines) == 1, result.stderr
    assert lines[0].startswith("fg-export: error: ") and all(word in lines[0] for word in words), lines[0]


@pytest.fixture
def generator():
    return small_generator()


@pytest.fixture
def encoder():
    return small_encoder()


@pytest.fixture
def checkpoint(tmp_path, generator):
    path = tmp_path / "generator.pt"
    save_generator(path, g_ema=generator, images_seen=1000, config={"ppi": 125})
    return path


def reconstruction(tmp_path, encoder, decoder, **values):
    path = tmp_path / "reconstruction.pt"
    save_reconstruction(path, encoder=encoder, decoder=decoder, **values)
    return path


def test_generator_alone(tmp_path, generator, checkpoint):
    result = export(checkpoint, "--out", tmp_path / "finger")
    assert result.exit_code == 0, result.stderr
    bundle = read_bundle(tmp_path / "finger")
    manifest = bundle.manifest
    assert {path.name for path in bundle.path.iterdir()} == {
        "bundle.json",
        "latents.npz",
        "mapping.onnx",
        "synthesis.onnx",
    }
    assert (manifest.name, manifest.encoder, manifest.engines) == ("finger", None, ())
    assert manifest.architecture.noise_shapes == generator.noise_shapes()
    assert (manifest.image.ppi, manifest.image.output_size, manifest.image.output_ppi) == (125, 64, 500)
    (source,) = manifest.provenance["checkpoints"]
    assert (source["file"], source["role"], source["images_seen"]) == ("generator.pt", "generator", 1000)
    assert Generator(**manifest.provenance["networks"]["generator"] | {"widths": generator.widths})
    for figures in manifest.parity.values():
        assert figures["max_abs_error"] < figures["tolerance"]
    for mine, theirs in zip(bundle.latents.noise, generator.stored_noise(), strict=True):
        np.testing.assert_array_equal(mine, theirs.numpy())


def test_both_checkpoints_with_one_decoder_share_the_graph(tmp_path, generator, encoder, checkpoint):
    latent_avg = torch.randn(24)
    second = reconstruction(tmp_path, encoder, generator, latent_avg=latent_avg, config={"map_size": 48})
    result = export(second, checkpoint, "--out", tmp_path / "bundle", "--json")
    assert result.exit_code == 0, result.stderr
    manifest = json.loads(result.stdout)
    assert manifest["graphs"]["decoder"] is None
    assert manifest["encoder"] == {"input_size": 48, "w_plus": False, "noise_layers": []}
    maps = torch.rand(2, 3, 48, 48)
    with torch.inference_mode():
        expected = Reconstructor(encoder, generator, latent_avg).eval().encode(maps).w.numpy()
    run = ort.InferenceSession(tmp_path / "bundle" / "encoder.onnx")
    close(run.run(None, {"map": maps.numpy()})[0], expected)


def test_a_decoder_that_differs_is_a_graph_of_its_own(tmp_path, generator, encoder, checkpoint):
    decoder = randomise(small_generator(), seed=7)
    second = reconstruction(tmp_path, encoder, decoder)
    result = export(checkpoint, second, "--out", tmp_path / "bundle")
    assert result.exit_code == 0, result.stderr
    bundle = read_bundle(tmp_path / "bundle")
    assert bundle.manifest.graphs.decoder == "decoder.onnx"
    w = torch.randn(2, 6, 24)
    for name, network, noise in (
        ("synthesis.onnx", generator, bundle.latents.noise),
        ("decoder.onnx", decoder, bundle.latents.decoder_noise),
    ):
        with torch.inference_mode():
            expected = network.synthesize(w).numpy()
        run = ort.InferenceSession(bundle.file(name))
        close(run.run(None, feeds(w, [torch.from_numpy(buffer) for buffer in noise]))[0], expected)


@pytest.mark.parametrize("key", ["style.1.weight", "noises.noise_1"])
def test_only_what_synthesis_uses_makes_a_decoder_differ(tmp_path, encoder, checkpoint, key):
    decoder = small_generator()
    with torch.no_grad():
        decoder.state_dict()[key].add_(1)
    result = export(
        checkpoint, reconstruction(tmp_path, encoder, decoder), "--out", tmp_path / "bundle", "--json"
    )
    assert (json.loads(result.stdout)["graphs"]["decoder"] is None) == key.startswith("style.")


@pytest.mark.parametrize("option", [{"image_padding": "replicate"}, {"styled_noise": True}])
def test_an_option_of_its_layers_makes_a_decoder_differ(tmp_path, generator, encoder, checkpoint, option):
    """Though all weights that both have are the same."""
    other = small_generator(**option)
    other.load_state_dict(generator.state_dict(), strict=False)
    for number, (ours, theirs) in enumerate([(other, generator), (generator, other)]):
        save_generator(checkpoint, g_ema=ours)
        second = reconstruction(tmp_path, encoder, theirs)
        result = export(checkpoint, second, "--out", tmp_path / f"bundle{number}", "--json")
        assert result.exit_code == 0, result.stderr
        assert json.loads(result.stdout)["graphs"]["decoder"] == "decoder.onnx"


def test_reconstruction_alone_synthesizes_with_its_decoder(tmp_path, generator, encoder):
    path = reconstruction(tmp_path, encoder, generator, latent_avg=torch.randn(6, 24))
    result = export(path, "--out", tmp_path / "bundle", "--ppi", 500, "--ops", "native", "--json")
    assert result.exit_code == 0, result.stderr
    manifest = json.loads(result.stdout)
    assert manifest["encoder"] == {"input_size": 256, "w_plus": True, "noise_layers": []}  # as published
    assert manifest["image"] == {"ppi": 500, "output_size": 16, "output_ppi": 500}
    assert [source["role"] for source in manifest["provenance"]["checkpoints"]] == ["reconstruction"]
    for path in (tmp_path / "bundle").glob("*.onnx"):
        assert not onnx.load(path).functions


def test_an_encoder_that_predicts_noise(tmp_path):
    """Where ridges run goes from template to image by way of the bundle, in any batch; edits keep it."""
    decoder = small_generator(resolution=32, widths={4: 10, 8: 7, 16: 5, 32: 4})
    encoder = small_encoder(noise_levels=3)
    average = torch.rand(24)
    config = {"ppi": 125, "map_size": 32}
    path = reconstruction(tmp_path, encoder, decoder, latent_avg=average, config=config)
    result = export(path, "--out", tmp_path / "finger", "--precision", "fp16", "--check-seeds", "4")
    assert result.exit_code == 0, result.stderr
    maps = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    floats = torch.from_numpy(maps.transpose(0, 3, 1, 2)).float() / 255
    reconstructor = Reconstructor(encoder, decoder, average).eval()
    with torch.no_grad():
        expected = reconstructor(floats).numpy()
        without = decoder.synthesize(reconstructor.encode(floats).w).numpy()
    with load(tmp_path / "finger", backend="onnxruntime") as model:
        assert model.bundle.manifest.encoder.noise_layers == (1, 2, 3, 4, 5, 6)
        encoded = model.encoded(maps)
        assert [noise.shape for noise in encoded.noise] == [
            (3, 1, side, side) for side in (8, 8, 16, 16, 32, 32)
        ]
        close(model.generate(encoded), expected)
        close(model.generate(model.encode(maps), decoder=True), without)
        assert abs(expected - without).max() > 0.1
        alone = np.concatenate([model.generate(model.encoded(each)) for each in maps])
        assert np.array_equal(alone, model.generate(encoded))
        assert np.array_equal(model.edit(encoded, 0, 3.0)[1], model.reconstruct(maps))
    for graph in ("encoder", "synthesis"):
        assert f"{graph}.fp16" in read_bundle(tmp_path / "finger").manifest.parity


def test_what_the_bundle_recommends(tmp_path, checkpoint):
    assert export(checkpoint, "--out", tmp_path / "plain").exit_code == 0
    options = ("--truncation", "0.7", "--noise", "random", "--edit-from", "4")
    assert export(checkpoint, "--out", tmp_path / "varied", *options).exit_code == 0
    plain, varied = (read_bundle(tmp_path / name).manifest.recommended for name in ("plain", "varied"))
    assert (plain.truncation, plain.noise, plain.edit_from) == (1.0, "const", 0)
    assert (varied.truncation, varied.noise, varied.edit_from) == (0.7, "random", 4)
    refused(export(checkpoint, "--out", tmp_path / "far", "--edit-from", "6"), "--edit-from 6", "0-5")
    refused(export(checkpoint, "--out", tmp_path / "no", "--noise", "loud"), "--noise")


def test_maps_of_a_size_that_fits_no_layers(tmp_path):
    encoder = small_encoder(noise_levels=3)
    path = reconstruction(
        tmp_path,
        encoder,
        small_generator(resolution=32, widths={4: 10, 8: 7, 16: 5, 32: 4}),
        config={"ppi": 125, "map_size": 64},
    )
    refused(export(path, "--out", tmp_path / "finger"), "map size 64", "no sizes of a generator of 32")


def test_published_format_with_three_channels(tmp_path):
    generator = small_generator(channels=3)
    content = {"g_ema": generator.state_dict(), "args": argparse.Namespace(size=16, ppi="x", path="/data")}
    torch.save(content, tmp_path / "stylegan2.pt")
    result = export(tmp_path / "stylegan2.pt", "--out", tmp_path / "bundle", "--output-size", 16, "--json")
    assert result.exit_code == 0, result.stderr
    manifest = json.loads(result.stdout)
    assert manifest["architecture"]["channels"] == 3
    assert manifest["image"] == {"ppi": 15.625, "output_size": 16, "output_ppi": 15.625}
    assert "/data" not in result.stdout  # options of strangers stay out of what is handed on
    run = ort.InferenceSession(tmp_path / "bundle" / "synthesis.onnx")
    w = torch.randn(3, 6, 24)
    with torch.inference_mode():
        expected = generator.synthesize(w).numpy()
    close(run.run(None, feeds(w, generator.stored_noise()))[0], expected)


def test_published_reconstruction_sees_what_the_published_one_sees(tmp_path):
    """Maps of 256 px that show 512 px of 500 ppi, whatever the size of the images."""
    generator, encoder = small_generator(), small_encoder()
    torch.save({"state_dict": Reconstructor(encoder, generator).state_dict()}, tmp_path / "e.pt")
    result = export(tmp_path / "e.pt", "--out", tmp_path / "bundle")
    assert result.exit_code == 0, result.stderr
    template = Template(512, 512, 500, (Minutia(100, 80, 30), Minutia(400, 410, 200)))
    whole = Image.fromarray(minutiae_map(template))
    seen = np.asarray(whole.resize((256, 256), Image.Resampling.BILINEAR))
    maps = torch.from_numpy(seen.transpose(2, 0, 1)[None].astype(np.float32)) / 255
    with torch.inference_mode():
        expected = encoder.eval()(maps).numpy()
    with load(tmp_path / "bundle") as model:
        assert (model.bundle.manifest.image.output_size, model.ppi()) == (512, 500)
        close(model.encode(template), expected, 1e-4)  # means over maps of 256 px round differently


def test_an_export_outside_tolerance_writes_nothing(tmp_path, checkpoint, monkeypatch):
    exact = weights.modulated
    monkeypatch.setattr("fingergen.export.onnx_graphs.generator.modulated", lambda conv: exact(conv) + 0.01)
    result = export(checkpoint, "--out", tmp_path / "out" / "bundle")
    refused(result, "synthesis.onnx: differs from PyTorch by", "tolerance", code=1)
    assert not (tmp_path / "out").exists()


def test_an_existing_bundle_is_replaced_only_when_told(tmp_path, checkpoint):
    out = tmp_path / "bundle"
    assert export(checkpoint, "--out", out).exit_code == 0
    refused(export(checkpoint, "--out", out), str(out), "--overwrite")
    assert export(checkpoint, "--out", out, "--name", "second", "--overwrite").exit_code == 0
    assert read_bundle(out).manifest.name == "second"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "generator.pt"]


def test_files_of_others_beside_a_bundle_are_kept_and_named_before_the_work(tmp_path, checkpoint):
    out = tmp_path / "bundle"
    assert export(checkpoint, "--out", out).exit_code == 0
    (out / "notes.txt").write_text("mine")
    result = export(checkpoint, "--out", out, "--overwrite")
    refused(result, str(out), "will not be replaced", "notes.txt")
    assert "reading" not in result.stderr
    assert (out / "notes.txt").read_text() == "mine"


def test_checkpoints_that_do_not_go_together(tmp_path, encoder, checkpoint):
    out = ("--out", tmp_path / "bundle")
    refused(export(checkpoint, checkpoint, *out), "generator.pt", "second generator")
    path = reconstruction(tmp_path, encoder, small_generator(resolution=8, widths={4: 6, 8: 5}))
    refused(export(checkpoint, path, *out), "reconstruction.pt", "decoder resolution: 8", "16")
    save_generator(checkpoint, g_ema=small_generator(), config={"ppi": -1})
    refused(export(checkpoint, *out), "generator.pt", "config.ppi", "-1")
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--output-size", 32, "--output-ppi", 500], ["--output-size", "--output-ppi", "one"]),
        (["--name", "a b"], ["--name 'a b'"]),
        (["--ppi", 0], ["--ppi"]),
        (["--ppi", 1, "--output-ppi", 1000], ["16000 px", "8192"]),
        (["--ops", "fast"], ["--ops", "native"]),
    ],
)
def test_wrong_options(tmp_path, checkpoint, arguments, words):
    refused(export(checkpoint, "--out", tmp_path / "bundle", *arguments), *words)


def test_files_that_are_no_checkpoints(tmp_path):
    refused(export(tmp_path / "absent.pt", "--out", tmp_path / "bundle"), "absent.pt")
    (tmp_path / "text.pt").write_text("not a checkpoint")
    refused(export(tmp_path / "text.pt", "--out", tmp_path / "bundle"), "text.pt")
