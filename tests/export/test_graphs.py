"""The networks' graphs in ONNX Runtime against the published outputs and against PyTorch."""

import copy
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from fingergen.export import latents
from fingergen.export.checks import parity
from fingergen.export.networks import EncoderNetwork, MappingNetwork, SynthesisNetwork
from fingergen.export.onnx_graphs.builder import Graph
from fingergen.export.onnx_graphs.encoder import encoder_model
from fingergen.export.onnx_graphs.generator import synthesis_model
from fingergen.export.onnx_graphs.lowering import WHOLE_LAYERS
from fingergen.export.onnx_graphs.mapping import mapping_model
from fingergen.export.onnx_graphs.ops import DOMAIN, OPS
from fingergen.runtime import seeds
from fingergen.runtime.backends.ort.library import onnxruntime as ort
from fingergen.runtime.errors import FingerGenError
from fingergen.training.networks import Encoder, Generator, Reconstructor

from ..reference.fill import normal
from ..training.test_networks import filled

REFERENCE = Path(__file__).parents[1] / "reference"


def session(model):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def randomise(module, seed=0):
    """Weights and statistics away from their initial values, so that no term of a layer is zero or one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, value in module.state_dict().items():
            if key.endswith("running_var"):
                value.uniform_(0.5, 2, generator=generator)
            elif value.is_floating_point() and not key.endswith(".kernel"):
                value.add_(0.2 * torch.randn(value.shape, generator=generator))
    return module.eval()


def small_generator(channels=1, **sizes):
    """The same network at every call."""
    sizes = {"resolution": 16, "style_dim": 24, "n_mlp": 3, "widths": {4: 10, 8: 7, 16: 5}} | sizes
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return randomise(Generator(channels=channels, **sizes))


def small_encoder(blocks=(1, 1), **options):
    """The same network at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return randomise(Encoder(blocks, width=8, style_dim=24, **options))


def feeds(w, noise):
    return {"w": w.numpy()} | {f"noise_{i}": layer.numpy() for i, layer in enumerate(noise)}


def close(actual, expected, tolerance=1e-5):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.fixture(scope="module")
def published():
    return filled(Generator(resolution=32), "generator_32_gray")


@pytest.fixture(scope="module")
def outputs():
    return dict(np.load(REFERENCE / "generator_32_gray.npz"))


@pytest.mark.parametrize("ops", ["custom", "native"])
def test_graphs_give_the_published_outputs(published, outputs, ops):
    (w,) = session(mapping_model(published, OPS[ops])).run(None, {"z": outputs["z"]})
    close(w, outputs["w"])
    synthesis = session(synthesis_model(published, OPS[ops]))
    noise = {f"noise_{i}": buffer.numpy() for i, buffer in enumerate(published.stored_noise())}
    for styles, image in ((np.repeat(w[:, None], 8, axis=1), "image"), (outputs["w_plus"], "w_plus_image")):
        close(synthesis.run(None, {"w": styles} | noise)[0], outputs[image], 3e-5)


def test_encoder_graph_gives_the_published_w():
    encoder = Encoder("ir_se_50")
    holder = filled(torch.nn.ModuleDict({"encoder": encoder}), "encoder")
    maps = np.clip(np.abs(normal(4, 2, 3, 256, 256)), 0, 1)[:1]
    (w,) = session(encoder_model(holder["encoder"], None, 256, 14, OPS["custom"])).run(None, {"map": maps})
    close(w, np.load(REFERENCE / "encoder.npz")["w"][:1], 1e-4)


@pytest.mark.parametrize("ops", ["custom", "native"])
@pytest.mark.parametrize(("channels", "padding", "styled"), [(1, "replicate", True), (3, "zeros", False)])
def test_synthesis_graph_takes_any_batch_and_noise(ops, channels, padding, styled):
    generator = small_generator(channels, image_padding=padding, styled_noise=styled)
    run = session(synthesis_model(generator, OPS[ops]))
    for batch in (1, 3, 8):
        w = torch.randn(batch, generator.num_ws, generator.style_dim)
        for noise in (generator.stored_noise(), generator.zero_noise(), generator.random_noise(batch)):
            with torch.inference_mode():
                expected = generator.synthesize(w, noise).numpy()
            close(run.run(None, feeds(w, noise))[0], expected)


@pytest.mark.parametrize("raw", [False, True])
def test_mapping_graph_takes_z_as_the_network_does(raw: bool):
    generator = small_generator(raw_z=raw)
    z = 3 * torch.randn(4, generator.style_dim)
    with torch.inference_mode():
        expected = generator.map(z).numpy()
    (found,) = session(mapping_model(generator, OPS["custom"])).run(None, {"z": z.numpy()})
    close(found, expected)


def test_one_node_per_op_and_functions_only_in_custom_graphs():
    generator = small_generator()
    custom, native = (synthesis_model(generator, OPS[ops]) for ops in ("custom", "native"))
    found = [node for node in custom.graph.node if node.domain == DOMAIN]
    counts = Counter(node.op_type for node in found)
    # Of five layers the one of 16 pixels is whole, with blurs at two resolutions; two images have one below.
    assert counts == {"StyledConv": 1, "ToRGB": 2, "ToLevels": 1, "FusedLeakyReLU": 4, "UpFirDn2d": 2}
    for node in found:
        if node.op_type not in WHOLE_LAYERS:  # for which there is no plugin
            attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
            assert (attributes["plugin_namespace"], attributes["plugin_version"]) == (b"fingergen", b"1")
    assert sorted(function.name for function in custom.functions) == sorted(counts)
    half = synthesis_model(generator, OPS["custom"], "fp16")
    assert not [node for node in half.graph.node if node.op_type in WHOLE_LAYERS]
    assert not native.functions and not [node for node in native.graph.node if node.domain]


def test_names_are_readable_and_unique():
    model = synthesis_model(small_generator(), OPS["custom"])
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)
    assert {"conv1/Conv", "convs.0/ConvTranspose", "convs.0/UpFirDn2d", "to_rgbs.1/ToRGB"} <= {*names}


def test_an_output_must_be_the_last_value():
    graph = Graph("two", "")
    first = graph.add("Abs", graph.input("x", ["n"], ""))
    graph.add("Neg", first)
    with pytest.raises(ValueError, match="not the last value"):
        graph.output("y", first, ["n"], "")


@pytest.mark.parametrize("num_ws", [None, 6])
@pytest.mark.parametrize("average_shape", [None, (24,), (6, 24)])
def test_encoder_graph_adds_the_average_latent(num_ws, average_shape):
    encoder = small_encoder((1, 2), num_ws=num_ws)
    latent_avg = None if average_shape is None else torch.randn(average_shape)
    reconstructor = Reconstructor(encoder, small_generator(), latent_avg).eval()
    run = session(encoder_model(encoder, latent_avg, 40, 6, OPS["custom"]))
    for batch in (1, 3, 8):
        maps = torch.rand(batch, 3, 40, 40)
        with torch.inference_mode():
            expected = reconstructor.encode(maps).w.numpy()
        close(run.run(None, {"map": maps.numpy()})[0], expected)


def test_sefa_equals_the_published_factorisation(published, outputs):
    directions, singular_values = latents.sefa_directions(published)
    close(singular_values, outputs["sefa_singular_values"])
    expected = outputs["sefa_vectors_first8"].T
    signs = np.sign((directions[:8] * expected).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(directions[:8], signs * expected, atol=1e-4)
    assert directions.shape == (512, 512)
    assert all(row[np.abs(row).argmax()] > 0 for row in directions)


def test_look_directions_are_what_a_number_of_z_does_to_w():
    """Of a mapping that is linear: no layer but the normalization, whose slope is near 1 in 32 dimensions."""
    generator = Generator(8, 1, 32, 0, 64, 8)
    found = latents.look_directions(generator, 3, 4000)
    assert found.shape == (3, 32) and found.dtype == np.float32
    np.testing.assert_allclose(found, 0.5 * np.eye(3, 32), atol=0.02)


def test_average_w_is_the_mean_over_the_first_seeds():
    generator = small_generator()
    z = np.stack([seeds.z(seed, 24) for seed in range(2500)])
    with torch.inference_mode():
        expected = generator.map(torch.from_numpy(z)).mean(dim=0).numpy()
    close(latents.average_w(generator, 2500), expected)


def test_parity_figures():
    generator = small_generator()
    networks = [
        MappingNetwork(generator),
        SynthesisNetwork("synthesis", generator),
        EncoderNetwork(Reconstructor(small_encoder(), generator).eval(), 32, 6),
    ]
    for network in networks:
        figures = parity.compare_with_pytorch(network, "x", network.build(OPS["custom"], "fp32"))
        batches = (1, 2, 3) if isinstance(network, SynthesisNetwork) else (1, 3, 8)
        assert (figures.batches, figures.seeds) == (batches, network.samples) == (batches, sum(batches))
        assert 0 < figures.max_abs_error < 0.1 * figures.tolerance
        assert figures.tolerance == pytest.approx(1e-4 * figures.scale)


def test_parity_refuses_a_mapping_graph_that_differs():
    generator, other = small_generator(), small_generator()
    with torch.no_grad():
        other.style[2].bias[3] += 1
    with pytest.raises(FingerGenError, match=r"mapping\.onnx: differs from PyTorch by"):
        parity.compare_with_pytorch(
            MappingNetwork(generator), "mapping.onnx", mapping_model(other, OPS["custom"])
        )


@pytest.mark.parametrize(
    "key",
    [
        "convs.1.noise.weight",
        "convs.0.noise.exponent",
        "to_rgbs.0.bias",
        "convs.0.conv.modulation.bias",
        "to_rgbs.1.upsample.kernel",
    ],
)
def test_parity_refuses_a_synthesis_graph_that_differs(key):
    generator, other = (small_generator(styled_noise=True) for _ in range(2))
    with torch.no_grad():
        other.state_dict()[key].add_(0.002)
    with pytest.raises(FingerGenError, match=r"graph\.onnx: differs from PyTorch by"):
        parity.compare_with_pytorch(
            SynthesisNetwork("synthesis", generator), "graph.onnx", synthesis_model(other, OPS["custom"])
        )


def test_parity_of_an_encoder_that_magnifies_rounding(monkeypatch):
    """What float32 costs PyTorch itself is no fault of the graph; a graph that differs still is one."""
    monkeypatch.setattr(parity, "RELATIVE_TOLERANCE", 1e-12)  # as if the layers magnified it so far
    encoder = small_encoder()
    network = EncoderNetwork(Reconstructor(encoder, small_generator()).eval(), 32, 6)
    figures = parity.compare_with_pytorch(network, "encoder.onnx", network.build(OPS["custom"], "fp32"))
    assert 1e-12 * figures.scale < figures.max_abs_error < figures.tolerance < 1e-3 * figures.scale
    other = copy.deepcopy(encoder)
    with torch.no_grad():
        other.input_layer[0].weight.mul_(1.01)
    with pytest.raises(FingerGenError, match=r"encoder\.onnx: differs from PyTorch by"):
        parity.compare_with_pytorch(network, "encoder.onnx", encoder_model(other, None, 32, 6, OPS["custom"]))


def test_parity_refuses_weights_that_are_not_finite():
    generator = small_generator()
    with torch.no_grad():
        generator.conv1.activate.bias[0] = torch.inf
    with pytest.raises(FingerGenError, match="gives values that are not finite"):
        parity.compare_with_pytorch(
            SynthesisNetwork("synthesis", generator), "graph.onnx", synthesis_model(generator, OPS["custom"])
        )
