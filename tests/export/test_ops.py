"""The custom ops' functions in ONNX Runtime, and the native forms, against the NumPy references."""

import itertools

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from fingergen.cpp_ops import reference
from fingergen.export.onnx_graphs.builder import IR_VERSION, OPSET, Graph
from fingergen.export.onnx_graphs.ops import (
    DOMAIN,
    FUSED_LEAKY_RELU,
    OPS,
    PLUGIN,
    STYLED_CONV,
    STYLED_UP_CONV,
    TO_RGB,
    UPFIRDN2D,
)
from fingergen.runtime.backends.ort.library import onnxruntime as ort

from ..cpp_ops.test_onnxruntime_layers import with_style, with_w

TOLERANCE = {np.float32: 1e-5, np.float16: 1e-2}
TYPES = {np.float32: TensorProto.FLOAT, np.float16: TensorProto.FLOAT16}


def session(model):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def one_node(function, inputs, dtype, **attributes):
    """A session of one custom node, all dimensions symbolic; `inputs`: name → rank."""
    element = TYPES[dtype]
    node = helper.make_node(function.name, list(inputs), ["y"], domain=DOMAIN, **attributes)
    infos = [
        helper.make_tensor_value_info(name, element, [f"{name}{axis}" for axis in range(rank)])
        for name, rank in inputs.items()
    ]
    output = helper.make_tensor_value_info("y", element, [f"y{axis}" for axis in range(inputs["x"])])
    model = helper.make_model(
        helper.make_graph([node], "one_node", infos, [output]),
        functions=[function],
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)],
        ir_version=IR_VERSION,
    )
    onnx.checker.check_model(model, full_check=True)
    return session(model)


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize(("up", "down"), list(itertools.product(range(1, 5), range(1, 5))))
def test_upfirdn2d_function_equals_the_reference(up, down, dtype):
    shapes = [((1, 1, 7, 9), (4, 4)), ((2, 3, 9, 6), (3, 5)), ((3, 2, 8, 8), (1, 2))]
    for pad in ([0, 0, 0, 0], [2, 1, 2, 1], [0, 3, 2, 0], [-1, 2, 0, -2]):
        run = one_node(UPFIRDN2D, {"x": 4, "kernel": 2}, dtype, up=up, down=down, pad=pad, **PLUGIN)
        for shape, kernel_shape in shapes:
            x, kernel = normal(1, *shape).astype(dtype), normal(2, *kernel_shape).astype(dtype)
            expected = reference.upfirdn2d(x, kernel, up, down, pad)
            (out,) = run.run(None, {"x": x, "kernel": kernel})
            assert out.dtype == dtype and out.shape == expected.shape
            np.testing.assert_allclose(out, expected, rtol=0, atol=TOLERANCE[dtype] * np.abs(expected).max())


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("shape", [(2, 5), (1, 3, 4), (3, 2, 5, 7), (2, 3, 1, 2, 4)])
def test_fused_leaky_relu_function_equals_the_reference(shape, dtype):
    x, bias = normal(1, *shape).astype(dtype), normal(2, shape[1]).astype(dtype)
    inputs = {"x": len(shape), "bias": 1}
    for slope, scale in ((0.2, 2**0.5), (0.01, 1.0), (0.0, 3.0)):
        run = one_node(FUSED_LEAKY_RELU, inputs, dtype, negative_slope=slope, scale=scale, **PLUGIN)
        expected = reference.fused_leaky_relu(x, bias, slope, scale)
        (out,) = run.run(None, {"x": x, "bias": bias})
        np.testing.assert_allclose(out, expected, rtol=0, atol=TOLERANCE[dtype] * np.abs(expected).max())


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("noise_batch", [1, 2])
def test_whole_layer_function_equals_the_reference(up, noise_batch):
    size = (6, 10) if up else (3, 5)
    values = {
        "x": normal(1, 2, 4, 3, 5),
        "style": normal(2, 2, 4),
        "weight": normal(3, 7, 4, 3, 3),
        "noise": normal(4, noise_batch, 1, *size),
        "bias": normal(5, 7),
    }
    if up:
        values["taps"] = np.array([0.1, 0.9, 0.6, 0.3])
    values["strength"] = np.array([0.7])
    given = with_w({name: value.astype(np.float32) for name, value in values.items()})
    function = STYLED_UP_CONV if up else STYLED_CONV
    ranks = {name: value.ndim for name, value in given.items()}
    (out,) = one_node(function, ranks, np.float32, style_index=1, strongest=12.0).run(None, given)
    inputs = with_style(given, 1, strongest=12.0)
    np.testing.assert_allclose(out, reference.styled_conv(**inputs), rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="do not fit"):
        reference.styled_conv(**inputs | {"style": inputs["style"][:, :2]})


def test_to_rgb_function_equals_the_reference():
    values = {
        "x": normal(1, 2, 5, 6, 6),
        "style": normal(2, 2, 5),
        "weight": normal(3, 3, 5),
        "bias": normal(4, 3),
        "image": normal(5, 2, 3, 3, 3),
        "taps": np.array([0.1, 0.9, 0.6, 0.3]),
        "border": normal(6, 6),
    }
    given = with_w({name: value.astype(np.float32) for name, value in values.items()})
    ranks = {name: value.ndim for name, value in given.items()}
    (out,) = one_node(TO_RGB, ranks, np.float32, style_index=1).run(None, given)
    inputs = with_style(given, 1)
    np.testing.assert_allclose(out, reference.to_rgb(**inputs), rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="do not fit"):
        reference.to_rgb(**inputs | {"border": inputs["border"][:5]})


def test_attributes_have_the_ops_defaults():
    x, bias, kernel = normal(1, 2, 3, 6, 5), normal(2, 3), normal(3, 2, 3)
    x, bias, kernel = (array.astype(np.float32) for array in (x, bias, kernel))
    (out,) = one_node(FUSED_LEAKY_RELU, {"x": 4, "bias": 1}, np.float32).run(None, {"x": x, "bias": bias})
    np.testing.assert_allclose(out, reference.fused_leaky_relu(x, bias), atol=1e-6)
    (out,) = one_node(UPFIRDN2D, {"x": 4, "kernel": 2}, np.float32).run(None, {"x": x, "kernel": kernel})
    np.testing.assert_allclose(out, reference.upfirdn2d(x, kernel), atol=1e-6)


@pytest.mark.parametrize("ops", ["custom", "native"])
@pytest.mark.parametrize(
    ("up", "pad"), [(1, [1, 1, 1, 1]), (1, [0, 2, 1, 0]), (2, [2, 1, 2, 1]), (3, [2, 1, 3, 0])]
)
def test_both_forms_equal_the_reference_in_a_graph(ops, up, pad):
    kernel = normal(3, 4, 4).astype(np.float32)
    bias = normal(4, 5).astype(np.float32)
    graph = Graph("forms", "one op of each kind")
    x = graph.input("x", ["n", 5, "h", "w"], "")
    y = OPS[ops].upfirdn2d(graph, x, 5, kernel, up, pad)
    graph.output("y", OPS[ops].fused_leaky_relu(graph, y, bias), ["n", 5, "h2", "w2"], "")
    model = graph.model()
    assert {node.domain for node in model.graph.node} == ({DOMAIN} if ops == "custom" else {""})
    run = session(model)
    for shape in ((1, 5, 6, 6), (3, 5, 7, 4)):
        value = normal(5, *shape).astype(np.float32)
        expected = reference.fused_leaky_relu(reference.upfirdn2d(value, kernel, up, 1, pad), bias)
        np.testing.assert_allclose(run.run(None, {"x": value})[0], expected, rtol=0, atol=1e-5)


def test_a_native_form_that_a_convolution_cannot_express_is_refused():
    with pytest.raises(ValueError, match="no native form"):
        OPS["native"].upfirdn2d(Graph("crop", ""), "x", 1, np.ones((4, 4)), 1, [-1, 0, 0, 0])
