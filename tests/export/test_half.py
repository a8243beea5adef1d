"""Float16 graphs: what is float16 in them, how they are compared with float32, what is refused."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator

from fingergen.export.checks import half as half_checks
from fingergen.export.checks import ranges
from fingergen.export.checks.rounding import rounded
from fingergen.export.networks import EncoderNetwork, SynthesisNetwork
from fingergen.export.onnx_graphs.builder import Graph
from fingergen.export.onnx_graphs.encoder import encoder_model
from fingergen.export.onnx_graphs.generator import synthesis_model
from fingergen.export.onnx_graphs.ops import OPS
from fingergen.runtime.bundle import read_bundle
from fingergen.runtime.bundle.manifest import Manifest
from fingergen.runtime.errors import BadInput, FingerGenError
from fingergen.training.checkpoints import save_generator, save_reconstruction
from fingergen.training.networks import Generator, Reconstructor

from .test_exporter import export, refused
from .test_graphs import feeds, randomise, session, small_encoder, small_generator


def small_encoder_model(precision="fp32", encoder=None):
    encoder = encoder or small_encoder((1, 2))
    return encoder_model(encoder, torch.ones(24), 40, 6, OPS["custom"], precision)


def element_types(model):
    """Element type of every value that a node computes."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    infos = [*graph.value_info, *graph.output]
    return {info.name: info.type.tensor_type.elem_type for info in infos}


def compare_synthesis(generator, half, count):
    network = SynthesisNetwork("synthesis", generator)
    return half_checks.compare_with_float32(network, "synthesis.fp16.onnx", half, count)


@pytest.fixture(scope="module")
def generator():
    return small_generator()


@pytest.fixture(scope="module")
def half(generator):
    return {ops: synthesis_model(generator, OPS[ops], "fp16") for ops in ("custom", "native")}


@pytest.mark.parametrize("ops", ["custom", "native"])
def test_feature_maps_are_float16_styles_and_image_float32(half, ops):
    model = half[ops]
    types = element_types(model)
    for node in model.graph.node:
        if node.op_type in ("Conv", "ConvTranspose", "FusedLeakyReLU", "UpFirDn2d"):
            of_image = node.name.startswith("to_rgbs.") and node.name.endswith("UpFirDn2d")
            assert types[node.output[0]] == (TensorProto.FLOAT if of_image else TensorProto.FLOAT16), (
                node.name
            )
        if node.op_type in ("Gemm", "MatMul", "Sqrt", "ReduceMax", "Gather", "Div"):
            assert types[node.output[0]] == TensorProto.FLOAT, node.name
    for info in (*model.graph.input, *model.graph.output):
        expected = TensorProto.UINT8 if info.name == "pixels" else TensorProto.FLOAT
        assert info.type.tensor_type.elem_type == expected
    kinds = {tensor.name.rpartition("/")[2]: tensor.data_type for tensor in model.graph.initializer}
    assert (kinds["weight"], kinds["modulation"]) == (TensorProto.FLOAT16, TensorProto.FLOAT)


def test_encoder_means_gates_and_last_layer_are_float32():
    model = small_encoder_model("fp16")
    types = element_types(model)
    for node in model.graph.node:
        in_gate = "/squeeze_excite/" in node.name and not node.name.endswith("gated")
        if node.op_type in ("GlobalAveragePool", "Gemm", "Sigmoid") or (node.op_type == "Conv" and in_gate):
            assert types[node.output[0]] == TensorProto.FLOAT, node.name
        elif node.op_type in ("Conv", "PRelu", "MaxPool") or node.name.endswith(("gated", "sum")):
            assert types[node.output[0]] == TensorProto.FLOAT16, node.name


@pytest.mark.parametrize("ops", ["custom", "native"])
def test_a_thousand_seeds_stay_close_and_far_from_overflow(generator, half, ops):
    figures = half_checks.compare_with_float32(
        SynthesisNetwork("synthesis", generator), "synthesis.fp16.onnx", half[ops], 1000
    )
    assert figures.inputs == {"psi 1": 1000, "5 deviations": 1000}
    assert 50 < figures.psnr < 100 and 50 < figures.rounded_psnr < 100
    assert 0 < figures.max_abs_error < 0.01 * figures.scale
    layers = {"input.input", "conv1", "to_rgb1", *(f"convs.{i}" for i in range(4)), "to_rgbs.0", "to_rgbs.1"}
    assert figures.activations.keys() == layers
    assert all(0 < largest < 100 for largest in figures.activations.values())
    assert figures.to_json()["largest_activation"] == max(figures.activations.values())


def test_float16_encoder_stays_close():
    encoder = small_encoder((1, 2))
    figures = half_checks.compare_with_float32(
        EncoderNetwork(Reconstructor(encoder, small_generator(), torch.ones(24)), 40, 6),
        "encoder.fp16.onnx",
        small_encoder_model("fp16", encoder),
        80,
    )
    assert figures.inputs == {"minutiae": 20, "noise": 20}
    assert 50 < figures.rounded_psnr < 120
    assert figures.activations.keys() >= {"map", "input_layer", "body.0", "body.1", "body.2"}


def test_layers_of_a_noise_pyramid_are_measured_by_themselves():
    network = EncoderNetwork(Reconstructor(small_encoder(noise_levels=3), small_generator()), 32, 1)
    model = network.build(OPS["native"], "fp16")
    figures = half_checks.compare_with_float32(network, "encoder.fp16.onnx", model, 8)
    assert figures.activations.keys() == {
        *("map", "input_layer", "body.0", "body.1", "noise.0", "noise.1", "noise.2")
    }


def test_largest_activations_are_those_of_pytorch(generator):
    seen = {}
    for name in ("conv1", "convs.1", "convs.2"):
        layer = generator.get_submodule(name)
        layer.register_forward_hook(lambda _, __, out, name=name: seen.update({name: out.abs().max().item()}))
    w = torch.randn(3, generator.num_ws, generator.style_dim)
    with torch.inference_mode():
        generator.synthesize(w)
    values = [f"{name}/FusedLeakyReLU" for name in seen]
    model = ranges.measuring(synthesis_model(generator, OPS["native"]), values)
    largest = session(model).run(ranges.outputs(values), feeds(w, generator.stored_noise()))
    np.testing.assert_allclose(largest, list(seen.values()), rtol=1e-5)
    assert ranges.by_layer({"a/x/y": 1.0, "a/z": 3.0, "b": 2.0}) == {"a": 3.0, "b": 2.0}


def test_every_float16_value_is_measured(half):
    """Each value that a node of the float16 graph gives in float16, or what it was cast from."""
    measured = set(ranges.to_measure(half["native"]))
    types = element_types(half["native"])
    for node in half["native"].graph.node:
        if types[node.output[0]] == TensorProto.FLOAT16:
            assert (node.input[0] if node.op_type == "Cast" else node.output[0]) in measured


def test_rounded_graph_is_as_far_from_float32_as_true_float16(generator, half):
    """onnx's own evaluator computes in NumPy's float16, each operator rounding its result."""
    w = torch.randn(4, generator.num_ws, generator.style_dim)
    inputs = feeds(w, generator.stored_noise())
    (exact,) = session(synthesis_model(generator, OPS["native"])).run(["image"], inputs)
    (true,) = ReferenceEvaluator(half["native"]).run(["image"], inputs)
    (emulated,) = session(rounded(half["native"])).run(["image"], inputs)
    (weights_only,) = session(half["native"]).run(["image"], inputs)

    def distance(a, b):
        return np.sqrt(np.mean(np.square(a - b)))

    assert distance(emulated, exact) == pytest.approx(distance(true, exact), rel=0.25)
    # Roundings with nothing in common would be √2 as far from each other as from the exact image.
    assert distance(emulated, true) < distance(true, exact)
    assert distance(weights_only, exact) < distance(emulated, exact)


@pytest.mark.parametrize("factor", [1e-3, 1e4])
def test_styles_and_weights_of_any_size_do_not_overflow(factor):
    generator = small_generator()
    with torch.no_grad():
        for key, value in generator.state_dict().items():
            if key.startswith("convs.") and key.endswith(
                ("conv.weight", "modulation.weight", "modulation.bias")
            ):
                value.mul_(factor)
    half = synthesis_model(generator, OPS["custom"], "fp16")
    figures = half_checks.compare_with_float32(
        SynthesisNetwork("synthesis", generator), "synthesis.fp16.onnx", half, 4
    )
    assert max(figures.activations.values()) < 100


def test_an_activation_near_overflow_is_refused_by_name():
    generator = small_generator()
    with torch.no_grad():
        generator.convs[2].activate.bias[1] = 2e4
    half = synthesis_model(generator, OPS["custom"], "fp16")
    with pytest.raises(FingerGenError, match=r"synthesis\.fp16\.onnx: convs\.2/biased reaches 2e\+04"):
        half_checks.compare_with_float32(
            SynthesisNetwork("synthesis", generator), "synthesis.fp16.onnx", half, 2
        )


def test_activations_that_are_not_finite_are_refused():
    with pytest.raises(FingerGenError, match="reaches inf"):
        ranges.check("x.onnx", {"a": 1.0, "b": np.inf})
    ranges.check("x.onnx", {"a": ranges.LIMIT})


def test_a_graph_that_computes_something_else_is_refused(generator):
    other = synthesis_model(small_generator(widths={4: 10, 8: 7, 16: 4}), OPS["custom"], "fp16")
    with pytest.raises(FingerGenError, match=r"synthesis\.fp16\.onnx: PSNR \d+\.\d dB"):
        half_checks.compare_with_float32(
            SynthesisNetwork("synthesis", generator), "synthesis.fp16.onnx", other, 2
        )


def test_a_constant_beyond_float16_is_refused():
    graph = Graph("big", "", "fp16")
    x = graph.activation(graph.input("x", ["n"], ""))
    with pytest.raises(FingerGenError, match="big: gain: 7e\\+04 is too large for fp16"):
        graph.constant("gain", np.array([1.0, -7e4]), like=x)


def test_a_large_generator_is_compared_on_fewer_seeds():
    def seeds(**sizes):
        with torch.device("meta"):
            return half_checks.default_seeds(Generator(**sizes))

    assert seeds(resolution=32, channel_max=16) == half_checks.SEEDS
    assert seeds() == 4
    assert seeds(resolution=1024) == half_checks.FEWEST_SEEDS


def test_psnr_of_the_worst_output():
    reference = np.zeros((2, 1, 4, 4), np.float32)
    output = reference.copy()
    output[1] += 0.02
    assert half_checks._psnr(output, reference, 2.0) == pytest.approx(40)
    output[0, 0, 0, 0] = np.nan
    assert half_checks._psnr(output, reference, 2.0) == -np.inf


def test_float16_graphs_in_the_bundle(tmp_path, generator):
    decoder = randomise(small_generator(), seed=7)
    encoder = small_encoder()
    save_generator(tmp_path / "g.pt", g_ema=generator, images_seen=1, config={})
    save_reconstruction(tmp_path / "r.pt", encoder=encoder, decoder=decoder, config={})
    out = tmp_path / "bundle"
    result = export(
        tmp_path / "g.pt", tmp_path / "r.pt", "--out", out, "--precision", "fp16", "--check-seeds", 8
    )
    assert result.exit_code == 0, result.stderr
    assert "PSNR" in result.stdout and "largest activation" in result.stdout
    assert "over 16 inputs" in result.stdout and "over 4 inputs" in result.stdout  # synthesis, encoder
    manifest = read_bundle(out).manifest
    names = ("synthesis", "decoder", "encoder")
    assert manifest.precisions == {"fp16": {name: f"{name}.fp16.onnx" for name in names}}
    for name in names:
        figures = manifest.parity[f"{name}.fp16"]
        assert min(figures["psnr_db"], figures["rounded_psnr_db"]) > 50
        assert set(figures["inputs"].values()) == {2 if name == "encoder" else 8}
        assert f"{name}.fp16.onnx" in manifest.files
    assert not manifest.engines and "mapping.fp16" not in manifest.parity
    content = manifest.to_json()
    del content["files"]["encoder.fp16.onnx"]
    with pytest.raises(
        BadInput, match=r"precisions\.fp16\.encoder: encoder\.fp16\.onnx has no entry in files"
    ):
        Manifest.from_json(content)
    del content["precisions"]  # as in bundles that were written before there were any
    assert Manifest.from_json(content).precisions == {}


def test_a_checkpoint_that_float16_cannot_hold_writes_nothing(tmp_path):
    generator = small_generator()
    with torch.no_grad():
        generator.conv1.activate.bias[0] = 3e4
    save_generator(tmp_path / "g.pt", g_ema=generator, images_seen=1, config={})
    result = export(
        tmp_path / "g.pt", "--out", tmp_path / "bundle", "--precision", "fp16", "--check-seeds", 2
    )
    refused(result, "synthesis.fp16.onnx", "conv1/biased", "fp32", code=1)
    assert not (tmp_path / "bundle").exists()
