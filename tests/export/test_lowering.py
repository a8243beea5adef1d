"""Graphs with custom nodes rewritten to standard operators."""

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from fingergen.export.onnx_graphs.generator import synthesis_model
from fingergen.export.onnx_graphs.lowering import WHOLE_LAYERS, plugin_form, standard_form
from fingergen.export.onnx_graphs.mapping import mapping_model
from fingergen.export.onnx_graphs.ops import OPS
from fingergen.runtime.errors import BadInput

from .test_graphs import close, feeds, session, small_generator


def operators(model):
    return sorted(node.op_type for node in model.graph.node)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_synthesis(channels, precision):
    generator = small_generator(channels)
    custom, native = (synthesis_model(generator, OPS[form], precision) for form in ("custom", "native"))
    rewritten = standard_form(custom)
    assert not rewritten.functions and operators(rewritten) == operators(native)
    assert {node.domain for node in rewritten.graph.node} == {""}
    initializers = sum(np.prod(tensor.dims) for tensor in rewritten.graph.initializer)
    assert initializers == sum(np.prod(tensor.dims) for tensor in native.graph.initializer)
    w = torch.randn(3, generator.num_ws, generator.style_dim)
    inputs = feeds(w, generator.random_noise(3))
    (expected, levels), (image, same_levels) = (
        session(model).run(["image", "pixels"], inputs) for model in (native, rewritten)
    )
    close(image, expected, 1e-6)
    assert np.abs(same_levels.astype(int) - levels).max() <= 1


def test_whole_layers():
    """To the native form's operators, and to plugins, of which there are none for layers."""
    generator = small_generator(
        3, resolution=32, widths={4: 10, 8: 7, 16: 4, 32: 3}, image_padding="replicate", styled_noise=True
    )
    custom, native = (synthesis_model(generator, OPS[form]) for form in ("custom", "native"))
    assert set(WHOLE_LAYERS) <= set(operators(custom))
    assert operators(standard_form(custom)) == operators(native)
    plugins = plugin_form(custom)
    assert {node.op_type for node in plugins.graph.node if node.domain} == {"FusedLeakyReLU", "UpFirDn2d"}
    assert plugin_form(plugins) is plugins
    inputs = feeds(torch.randn(2, generator.num_ws, generator.style_dim), generator.random_noise(2))
    (expected,) = session(native).run(["image"], inputs)
    for model in (custom, standard_form(custom), plugins):
        close(session(model).run(["image"], inputs)[0], expected, 1e-5)


def older(model):
    """`model` as it was before whole layers made their styles, and strengths of noise, of w."""
    nodes = []
    for node in model.graph.node:
        index = [each for each in node.attribute if each.name == "style_index"]
        if index:
            if node.op_type != "ToRGB":
                del node.input[-1]
            x, w, *others, modulation, bias = node.input
            number = helper.make_node("Constant", [], [f"{node.name}/index"], value_int=index[0].i)
            chosen = helper.make_node("Gather", [w, number.output[0]], [f"{node.name}/w"], axis=1)
            style = helper.make_node("Gemm", [chosen.output[0], modulation, bias], [f"{node.name}/style"])
            nodes += [number, chosen, style]
            node.input[:] = [x, style.output[0], *others]
            node.attribute.remove(index[0])
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def test_whole_layers_of_older_graphs():
    generator = small_generator(3, image_padding="replicate")
    custom, native = (synthesis_model(generator, OPS[form]) for form in ("custom", "native"))
    inputs = feeds(torch.randn(2, generator.num_ws, generator.style_dim), generator.random_noise(2))
    (expected,) = session(native).run(["image"], inputs)
    rewritten = standard_form(older(custom))
    assert not set(WHOLE_LAYERS) & set(operators(rewritten))
    close(session(rewritten).run(["image"], inputs)[0], expected, 1e-5)


def test_mapping():
    generator = small_generator()
    model = standard_form(mapping_model(generator, OPS["custom"]))
    z = np.random.default_rng(0).standard_normal((3, 24)).astype(np.float32)
    (w,) = session(model).run(None, {"z": z})
    (expected,) = session(mapping_model(generator, OPS["native"])).run(None, {"z": z})
    close(w, expected, 1e-6)
    assert standard_form(model) is model


@pytest.mark.parametrize(
    ("op", "attribute", "value"), [("FusedLeakyReLU", "scale", 1.0), ("UpFirDn2d", "down", 2)]
)
def test_nodes_that_are_not_as_we_write_them(op, attribute, value):
    model = onnx.ModelProto()
    model.CopyFrom(synthesis_model(small_generator(), OPS["custom"]))
    node = next(node for node in model.graph.node if node.op_type == op)
    kept = [each for each in node.attribute if each.name != attribute]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(attribute, value)])
    with pytest.raises(BadInput, match=f"{node.name}: has no standard form"):
        standard_form(model)
