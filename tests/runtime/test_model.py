"""The runtime's Python face, on a small bundle that our own export wrote."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from fingergen import cpp_ops
from fingergen.runtime import BadInput, Model, load, seeds
from fingergen.runtime.backends.ort import cpu as onnxruntime_backend
from fingergen.runtime.bundle import open_bundle, write_bundle
from fingergen.runtime.bundle.manifest import ImageSize, Recommended
from fingergen.runtime.fingers import PatternClass
from fingergen.runtime.images import to_levels
from fingergen.runtime.minutiae import Minutia, MinutiaType, Point, Template, minutiae_map
from fingergen.runtime.pipeline.reconstruction import to_field_of_view

from .. import tiny_bundle

TEMPLATE = Template(64, 64, 500, (Minutia(20, 30, 45, MinutiaType.ENDING),), cores=(Point(40, 40),))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle.write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny", own_decoder=True)


@pytest.fixture(scope="module")
def model(bundle: Path):
    with load(bundle, workers=2) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def generator():
    return tiny_bundle.generator(1)


def noise_of(seed_list: list[int], generator) -> list[torch.Tensor]:
    drawn = [seeds.noise(seed, generator.noise_shapes()) for seed in seed_list]
    return [torch.from_numpy(np.concatenate(buffers)) for buffers in zip(*drawn, strict=True)]


def without_pixels(bundle: Path, out: Path) -> Path:
    """The bundle as an older export would have written it."""
    opened = open_bundle(bundle)
    contents: dict[str, bytes | Path] = {file: opened.file(file) for file in opened.manifest.files}
    for file in ("synthesis.onnx", "decoder.onnx"):
        graph = onnx.load(opened.file(file)).graph
        model = onnx.load(opened.file(file))
        del model.graph.output[1:]
        used = [node for node in graph.node if not node.name.startswith("pixels/")]
        assert len(graph.node) - len(used) == 1
        del model.graph.node[:]
        model.graph.node.extend(used)
        contents[file] = model.SerializeToString()
    write_bundle(out, opened.manifest, contents)
    return out


def test_packaged_demo_bundle_is_whole():
    """However this package is installed: an editable install may link each file by itself."""
    assert open_bundle().manifest.files  # all of them verified


def test_the_demo_has_no_specks_at_the_border():
    """Pixels of an outermost row or column that are dark where nothing beside them is."""
    with load(workers=1) as demo:
        images = demo.synthesize(range(12)).astype(int)
    for turns in range(4):
        turned = np.rot90(images, turns, axes=(1, 2))
        beside = np.pad(turned[:, :, 1:4].min(axis=2), ((0, 0), (2, 2)), constant_values=255)
        lightest = np.lib.stride_tricks.sliding_window_view(beside, 5, axis=1).min(axis=2)
        assert not ((turned[:, :, 0] < 128) & (lightest > 180)).any()


class TestAgainstPyTorch:
    def test_map(self, model: Model, generator):
        z = model.z(range(3))
        assert np.abs(model.map(z) - generator.map(torch.from_numpy(z)).numpy()).max() < 1e-5

    @pytest.mark.parametrize("per_layer", [False, True])
    @pytest.mark.parametrize("noise", ["const", "none", "random"])
    def test_generate(self, model: Model, generator, noise: str, per_layer: bool):
        shape = (3, model.num_ws, model.style_dim) if per_layer else (3, model.style_dim)
        w = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        buffers = {"const": None, "none": generator.zero_noise(), "random": noise_of([5, 6, 7], generator)}[
            noise
        ]
        expected = generator.synthesize(torch.from_numpy(w), buffers).numpy()
        image = model.generate(w, noise, seeds=[5, 6, 7])
        assert image.shape == (3, 1, 32, 32) and image.dtype == np.float32
        assert np.abs(image - expected).max() < 1e-4 * np.abs(expected).max()

    def test_noise_changes_the_image(self, model: Model):
        w = model.map(model.z([1]))
        images = [model.generate(w, mode, seeds=[1]) for mode in ("const", "random", "none")]
        assert len({image.tobytes() for image in images}) == 3

    def test_encode_and_decode(self, model: Model):
        maps = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
        x = torch.from_numpy(maps).permute(0, 3, 1, 2).float() / 255
        w = tiny_bundle.encoder(2)(x)
        assert np.abs(model.encode(maps) - w.numpy()).max() < 1e-4
        expected = tiny_bundle.generator(3).synthesize(w).numpy()
        decoded = model.generate(model.encode(maps), decoder=True)
        assert np.abs(decoded - expected).max() < 1e-3 * np.abs(expected).max()
        assert not np.allclose(decoded, model.generate(model.encode(maps)), atol=0.1)

    def test_edit(self, model: Model, generator):
        w = model.map(model.z([4, 5]))
        direction = model.bundle.latents.sefa_directions[2]
        layers, psi = [0, 1, 2], 0.6
        minus, original, plus = model.edit(w, 2, 3.0, layers, psi, size=32)
        for degree, images in ((-3.0, minus), (0.0, original), (3.0, plus)):
            styles = np.repeat(w[:, None], model.num_ws, axis=1)
            styles[:, layers] += degree * direction
            w_avg = model.bundle.latents.w_avg
            raw = generator.synthesize(torch.from_numpy(w_avg + psi * (styles - w_avg)).float()).numpy()
            assert np.abs(images.astype(int) - to_levels(raw)[:, 0]).max() <= 1
        assert (minus != plus).any()


class TestPixels:
    """Images are the float32 ones in 256 levels, whoever makes them, bit by bit."""

    @pytest.mark.parametrize("channels", [1, 3])
    def test_of_the_graph_are_those_of_its_image(self, tmp_path: Path, channels: int):
        path = tiny_bundle.write_tiny_bundle(tmp_path / "tiny", channels, own_decoder=True)
        with load(path, workers=2) as model:
            assert model.backend.makes_pixels("synthesis") and model.backend.makes_pixels("decoder")  # type: ignore[attr-defined]
            w = 3 * model.styles(model.map(model.z(range(5))))  # some levels clipped
            noise = model.noise_buffers("random", range(5), 5)
            for decoder, run in ((False, model.backend.synthesize), (True, model.backend.decode)):
                levels = model.backend.render(w, noise, decoder)
                assert levels.dtype == np.uint8 and levels.shape == (5, channels, 32, 32)
                assert np.array_equal(levels, to_levels(run(w, noise)))
                assert levels.min() == 0 and levels.max() == 255 and len(np.unique(levels)) > 50

    def test_of_a_bundle_whose_graphs_have_none(self, bundle: Path, model: Model, tmp_path: Path):
        older = without_pixels(bundle, tmp_path / "older")
        with load(older) as other:
            assert not other.backend.makes_pixels("synthesis")  # type: ignore[attr-defined]
            assert np.array_equal(other.synthesize(range(4), 0.7), model.synthesize(range(4), 0.7))


class TestSeeds:
    """The same seed gives the same pixels."""

    @pytest.mark.parametrize("noise", ["const", "random", "none"])
    def test_batches_order_and_workers(self, bundle: Path, model: Model, noise: str):
        expected = model.synthesize(range(8), 0.7, noise)
        for batch in (1, 3, 8):
            assert np.array_equal(list(model.stream(range(8), 0.7, noise, batch=batch)), expected)
        shuffled = [5, 2, 7, 0]
        assert np.array_equal(model.synthesize(shuffled, 0.7, noise), expected[shuffled])
        for workers in (1, 5):
            with load(bundle, workers=workers) as other:
                assert np.array_equal(other.synthesize(range(8), 0.7, noise), expected)

    def test_many_seeds_keep_their_order(self, model: Model):
        """More than the backend takes at once go through the pipeline, whose images come in any order."""
        seeds = [*range(model.backend.batch, -1, -1), *range(3 * model.backend.batch), 5, 5]
        expected = {seed: model.synthesize([seed])[0] for seed in set(seeds)}
        assert np.array_equal(model.synthesize(seeds), [expected[seed] for seed in seeds])
        for wrong in (-1, [1], "1"):
            with pytest.raises(BadInput, match="seed"):
                model.synthesize([*seeds, wrong])  # type: ignore[list-item]

    def test_seeds_differ(self, model: Model):
        images = model.synthesize([0, 1, 2**64 - 1])
        assert len({image.tobytes() for image in images}) == 3

    def test_stream_is_lazy(self, model: Model):
        asked = []

        def endless():
            seed = 0
            while True:
                asked.append(seed)
                yield seed
                seed += 1

        stream = model.stream(endless(), batch=2)
        first = next(stream)
        assert asked == [0, 1] and np.array_equal(first, model.synthesize([0])[0])

    def test_bad_seeds(self, model: Model):
        for wrong in ([-1], [2**64], [0.5], []):
            with pytest.raises(BadInput, match="seed"):
                model.map(model.z(wrong))


class TestOps:
    """A bundle runs with our compiled ops and without, to the same images."""

    @pytest.mark.skipif(
        cpp_ops.status("onnxruntime").path is None, reason="the custom-op library is not built"
    )
    def test_with_and_without_library(self, bundle: Path, monkeypatch: pytest.MonkeyPatch):
        with load(bundle) as with_library:
            assert "compiled custom ops" in with_library.backend.description
            compiled = with_library.generate(with_library.map(with_library.z(range(3))))
        monkeypatch.setattr(onnxruntime_backend, "ops_library", lambda: None)
        with load(bundle) as without:
            assert "functions of standard ops" in without.backend.description
            functions = without.generate(without.map(without.z(range(3))))
        assert np.abs(compiled - functions).max() < 1e-4 * np.abs(functions).max()

    def test_library_that_does_not_load(self, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        broken = tmp_path / "broken.so"
        broken.write_bytes(b"not a library")
        monkeypatch.setattr(onnxruntime_backend, "ops_library", lambda: broken)
        with (
            load(bundle) as model,
            pytest.raises(Exception, match=r"broken\.so: ONNX Runtime .* cannot load"),
        ):
            model.synthesize([0])


class TestLatents:
    def test_truncation(self, model: Model):
        w = model.map(model.z([3]))
        w_avg = model.bundle.latents.w_avg
        assert np.array_equal(model.truncate(w, 1.0), w)
        assert np.allclose(model.truncate(w, 0.0), w_avg)
        assert np.allclose(model.truncate(w, 0.25), w_avg + 0.25 * (w - w_avg), atol=1e-6)

    def test_settings_that_are_no_numbers(self, model: Model):
        w = model.map(model.z([3]))
        for wrong in (
            lambda: model.synthesize([0], truncation=float("nan")),
            lambda: model.mix(w, w, alpha=float("inf")),
            lambda: model.edit(w, index=0, degree=float("nan")),
        ):
            with pytest.raises(BadInput, match="must be a finite number"):
                wrong()

    def test_truncation_zero_is_one_finger(self, model: Model):
        first, second = model.synthesize([0, 1], truncation=0.0)
        assert np.array_equal(first, second)

    def test_mixing(self, model: Model):
        w, other = model.map(model.z([0, 1])), model.map(model.z([9]))
        mixed = model.mix(w, other, layers=[1, 4], alpha=0.25)
        assert mixed.shape == (2, model.num_ws, model.style_dim)
        assert np.allclose(mixed[:, [1, 4]], (0.75 * w + 0.25 * other)[:, None], atol=1e-6)
        assert np.array_equal(mixed[:, 0], w)

    def test_mixing_all_layers_wholly_gives_the_other_finger(self, model: Model):
        assert np.array_equal(model.synthesize([0, 1], mix_seeds=5), model.synthesize([5, 5]))
        assert np.array_equal(model.synthesize([0, 1], mix_seeds=[5, 6]), model.synthesize([5, 6]))
        assert np.array_equal(model.synthesize([0], mix_seeds=5, mix_alpha=0.0), model.synthesize([0]))

    def test_mixing_is_the_same_in_any_batch(self, model: Model):
        expected = model.synthesize(range(5), mix_seeds=range(10, 15), mix_layers=[0, 1])
        stream = model.stream(range(5), mix_seeds=range(10, 15), mix_layers=[0, 1], batch=2)
        assert np.array_equal(list(stream), expected)

    @pytest.mark.parametrize("others", [[1, 2], range(4), []])
    def test_seeds_to_mix_must_pair(self, model: Model, others):
        with pytest.raises(BadInput, match="mix_seeds"):
            model.synthesize(range(3), mix_seeds=others)

    @pytest.mark.parametrize("layers", [[8], [-1], []])
    def test_wrong_layers(self, model: Model, layers: list[int]):
        with pytest.raises(BadInput, match=r"layers: .*this bundle has 0-7"):
            model.edit(model.map(model.z([0])), 0, 1.0, layers)

    def test_wrong_shapes_and_modes(self, model: Model):
        with pytest.raises(BadInput, match=r"w: shape \(1, 31\)"):
            model.generate(np.zeros((1, 31), np.float32))
        with pytest.raises(BadInput, match=r"z: shape \(32,\)"):
            model.map(np.zeros(32, np.float32))
        with pytest.raises(BadInput, match="noise 'loud': choose const, random, none"):
            model.synthesize([0], noise="loud")
        with pytest.raises(BadInput, match="one seed per image"):
            model.generate(np.zeros((2, 32), np.float32), "random", seeds=[1])
        with pytest.raises(BadInput, match="index: 32; this bundle has directions 0-31"):
            model.edit(np.zeros((1, 32), np.float32), 32, 1.0)


class TestRecommended:
    """What a bundle recommends holds where nothing is given."""

    @pytest.fixture
    def varied(self, bundle: Path, tmp_path: Path):
        written = open_bundle(bundle)
        manifest = written.manifest._replace(recommended=Recommended(0.5, "random", edit_from=3))
        contents = {name: (bundle / name).read_bytes() for name in written.manifest.files}
        write_bundle(tmp_path / "varied", manifest, contents)
        with load(tmp_path / "varied", workers=1) as loaded:
            yield loaded

    def test_synthesis(self, model: Model, varied: Model):
        made = varied.synthesize(range(3))
        assert np.array_equal(made, model.synthesize(range(3), 0.5, "random"))
        assert not np.array_equal(made, model.synthesize(range(3)))
        assert np.array_equal(varied.synthesize(range(3), 1.0, "const"), model.synthesize(range(3)))

    def test_noise_is_drawn_where_there_are_seeds(self, varied: Model):
        w = varied.map(varied.z([4]))
        assert np.array_equal(varied.generate(w), varied.generate(w, "const"))
        assert np.array_equal(varied.generate(w, seeds=[4]), varied.generate(w, "random", [4]))

    def test_edits(self, varied: Model):
        w = varied.map(varied.z([4]))
        explicit = varied.edit(w, 0, 2.0, range(3, varied.num_ws), 0.5, "const")
        for one, other in zip(varied.edit(w, 0, 2.0), explicit, strict=True):
            assert np.array_equal(one, other)
        assert not np.array_equal(varied.edit(w, 0, 2.0)[2], varied.edit(w, 0, 2.0, range(varied.num_ws))[2])


class TestImages:
    def test_sizes_and_ppi(self, model: Model):
        assert model.synthesize([0]).shape == (1, 64, 64) and model.ppi() == 500
        assert model.synthesize([0], size=32).shape == (1, 32, 32) and model.ppi(32) == 250

    def test_unresized_pixels_are_the_rounded_output(self, model: Model):
        raw = model.generate(model.map(model.z([0])))[:, 0]
        assert np.array_equal(model.synthesize([0], size=32), np.clip(np.rint((raw + 1) * 127.5), 0, 255))

    def test_color(self, tmp_path: Path):
        tiny_bundle.write_tiny_bundle(tmp_path / "rgb", channels=3, with_encoder=False)
        with load(tmp_path / "rgb") as model:
            assert model.synthesize([0, 1]).shape == (2, 64, 64, 3)
            with pytest.raises(BadInput, match="no encoder"):
                model.reconstruct(TEMPLATE)


class TestReconstruction:
    def test_templates_and_their_maps_give_the_same(self, model: Model):
        from_templates = model.reconstruct([TEMPLATE, Template(64, 64)])
        assert from_templates.shape == (2, 64, 64) and from_templates.dtype == np.uint8
        assert np.array_equal(model.reconstruct(TEMPLATE), from_templates[:1])
        assert np.array_equal(model.reconstruct(minutiae_map(TEMPLATE)), from_templates[:1])
        stacked = np.stack([minutiae_map(TEMPLATE), minutiae_map(Template(64, 64))])
        assert np.array_equal(model.reconstruct(stacked), from_templates)
        assert not np.array_equal(from_templates[0], from_templates[1])

    def test_minutiae_matter_and_wrong_maps_do_not_pass(self, model: Model):
        with pytest.raises(BadInput, match="minutiae map: float64"):
            model.reconstruct(np.zeros((64, 64, 3)))
        with pytest.raises(BadInput, match="minutiae map: uint8"):
            model.reconstruct(np.zeros((64, 64, 1), np.uint8))
        with pytest.raises(BadInput, match="no templates"):
            model.reconstruct([])

    def test_field_of_view(self):
        field = ImageSize(ppi=250, output_size=512, output_ppi=500)
        same = Template(512, 512, 500, (Minutia(100, 50, 10),))
        assert to_field_of_view(same, field) == same
        padded = to_field_of_view(Template(412, 312, 500, (Minutia(100, 50, 10),)), field)
        assert (padded.width, padded.height) == (512, 512)
        assert (padded.minutiae[0].x, padded.minutiae[0].y) == (150, 150)
        cropped = to_field_of_view(Template(612, 512, 500, (Minutia(100, 50, 10), Minutia(20, 50, 0))), field)
        assert [(m.x, m.y) for m in cropped.minutiae] == [(50, 50)]
        finer = to_field_of_view(Template(1024, 1024, 1000, (Minutia(200, 100, 10),)), field)
        assert finer.width == 512 and finer.ppi == 500
        assert (finer.minutiae[0].x, finer.minutiae[0].y) == pytest.approx((99.75, 49.75))


class TestLoad:
    def test_wrong_backend(self, bundle: Path):
        with pytest.raises(BadInput, match=r"backend 'cuda': choose auto, .*onnxruntime"):
            load(bundle, backend="cuda")
        with pytest.raises(BadInput, match="workers: 0"):
            load(bundle, workers=0)

    def test_graph_that_is_no_onnx(self, tmp_path: Path):
        from fingergen.runtime.bundle import read_bundle, write_bundle

        good = read_bundle(tiny_bundle.write_tiny_bundle(tmp_path / "good", with_encoder=False))
        contents = {name: good.file(name) for name in good.manifest.files}
        write_bundle(tmp_path / "bad", good.manifest, contents | {"mapping.onnx": b"\x12\x07garbage"})
        with (
            load(tmp_path / "bad") as model,
            pytest.raises(BadInput, match=r"mapping\.onnx: ONNX Runtime cannot"),
        ):
            model.synthesize([0])
        swapped = contents | {"mapping.onnx": good.file("synthesis.onnx")}
        write_bundle(tmp_path / "swapped", good.manifest, swapped)
        with load(tmp_path / "swapped") as model, pytest.raises(BadInput, match="a mapping graph has"):
            model.synthesize([0])


def test_fingers_have_the_size_of_the_images(model):
    """The tiny bundle's are of 64 pixels at 500 ppi."""
    plain, whorl = model.fingers([3]), model.fingers([3], PatternClass.WHORL)
    taken = whorl[0].impression(0, "easy")
    assert taken.pixels.shape == (64, 64) and taken.template.width == 64
    assert whorl[0].kind is PatternClass.WHORL and plain[0].seed == 3
    named = model.fingers([3], "whorl")[0]  # and not a loop that says it were a whorl
    assert named.kind is PatternClass.WHORL
    np.testing.assert_array_equal(named.ridges, whorl[0].ridges)
