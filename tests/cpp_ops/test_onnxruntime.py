"""The ONNX Runtime library against the NumPy references, through real sessions on the CPU."""

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper

from fingergen import cpp_ops
from fingergen.cpp_ops.reference import fused_leaky_relu, ridge_growth, upfirdn2d
from fingergen.runtime.backends.ort.library import onnxruntime as ort

if cpp_ops.status("onnxruntime").path is None:
    pytest.skip(str(cpp_ops.status("onnxruntime").reason), allow_module_level=True)

ELEMENT = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.float16): TensorProto.FLOAT16}
DTYPES = [np.float32, np.float16]
BLUR = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64


def session(
    op: str, dtype: type, ranks: Sequence[int], threads: int = 1, **attributes: object
) -> ort.InferenceSession:
    """A model of one node with the given attributes; all dimensions are symbols."""
    names, element = ("x", "parameter"), ELEMENT[np.dtype(dtype)]
    node = helper.make_node(op, names, ["y"], domain="fingergen", **attributes)
    inputs = [
        helper.make_tensor_value_info(name, element, [f"{name}_{i}" for i in range(rank)])
        for name, rank in zip(names, ranks, strict=True)
    ]
    output = helper.make_tensor_value_info("y", element, None)
    model = helper.make_model(
        helper.make_graph([node], "op", inputs, [output]),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("fingergen", 1)],
        ir_version=9,
    )
    return open_session(model, threads)


def open_session(model: onnx.ModelProto, threads: int = 1) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    options.register_custom_ops_library(str(cpp_ops.library("onnxruntime")))
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run(opened: ort.InferenceSession, x: NDArray, parameter: NDArray) -> NDArray:
    return opened.run(None, {"x": x, "parameter": parameter})[0]


def assert_close(result: NDArray, expected: NDArray, magnitude: float = 1.0) -> None:
    """Within rounding of float32 sums and of the storage type; `magnitude` is the size of a sum's terms."""
    assert result.shape == expected.shape and result.dtype == expected.dtype
    resolution = 4e-6 if result.dtype == np.float32 else 1e-3
    np.testing.assert_allclose(result, expected, rtol=resolution, atol=resolution * magnitude)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape", [(2, 5), (3, 4, 7), (2, 3, 5, 9), (1, 64, 33, 31), (1, 2, 2, 2, 3), (0, 3, 4, 4)]
)
def test_fused_leaky_relu(shape: tuple[int, ...], dtype: type) -> None:
    rng = np.random.default_rng(len(shape))
    x = rng.standard_normal(shape).astype(dtype)
    bias = rng.standard_normal(shape[1]).astype(dtype)
    opened = session("FusedLeakyReLU", dtype, (len(shape), 1))
    assert_close(run(opened, x, bias), fused_leaky_relu(x, bias))
    opened = session("FusedLeakyReLU", dtype, (len(shape), 1), negative_slope=0.01, scale=3.0)
    assert_close(run(opened, x, bias), fused_leaky_relu(x, bias, 0.01, 3.0), magnitude=10)


def test_every_float16_is_read_and_written_exactly() -> None:
    """Scale 1, slope 1 and bias 0 make the op an identity: every bit pattern must come back."""
    bits = np.arange(2**16, dtype=np.uint16)
    x = bits.view(np.float16).reshape(1, 2, -1)
    opened = session("FusedLeakyReLU", np.float16, (3, 1), negative_slope=1.0, scale=1.0)
    y = run(opened, x, np.zeros(2, np.float16)).reshape(-1)
    np.testing.assert_array_equal(np.isnan(y), np.isnan(x.reshape(-1)))
    np.testing.assert_array_equal(y, x.reshape(-1))


def test_float16_is_rounded_to_nearest_even() -> None:
    """Halving makes ties of subnormals; a large scale overflows to infinity."""
    x = np.arange(2**15, dtype=np.uint16).view(np.float16).reshape(1, 1, -1)
    zero = np.zeros(1, np.float16)
    for scale in (0.5, 0.3, 1.9997, 40.0):
        y = run(session("FusedLeakyReLU", np.float16, (3, 1), scale=scale), x, zero)
        with np.errstate(over="ignore", invalid="ignore"):
            expected = (x.astype(np.float32) * np.float32(scale)).astype(np.float16)
        np.testing.assert_array_equal(y, expected)


@settings(max_examples=150, deadline=None)
@given(
    up=st.integers(1, 4),
    down=st.integers(1, 4),
    pad=st.tuples(*[st.integers(-4, 6)] * 4),
    shape=st.tuples(st.integers(0, 2), st.integers(1, 3), st.integers(1, 40), st.integers(1, 40)),
    taps=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    dtype=st.sampled_from(DTYPES),
)
def test_upfirdn2d(up, down, pad, shape, taps, dtype) -> None:
    rng = np.random.default_rng(up + 4 * down)
    x = rng.standard_normal(shape).astype(dtype)
    kernel = rng.standard_normal(taps).astype(dtype)
    opened = session("UpFirDn2d", dtype, (4, 2), up=up, down=down, pad=pad)
    try:
        expected = upfirdn2d(x, kernel, up, down, pad)
    except ValueError:
        with pytest.raises(Exception, match="too small"):
            run(opened, x, kernel)
        return
    assert_close(run(opened, x, kernel), expected, magnitude=10)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("up", "down", "pad"),
    [(1, 1, (1, 1, 1, 1)), (2, 1, (2, 1, 2, 1)), (1, 2, (1, 1, 1, 1)), (3, 2, (-5, 9, 0, -7))],
)
def test_upfirdn2d_of_the_networks_on_several_threads(up, down, pad, dtype) -> None:
    """Sizes that are cut into many chunks, within a plane and across planes."""
    rng = np.random.default_rng(1)
    kernel = BLUR.astype(dtype)
    for shape in [(1, 1, 300, 257), (2, 37, 64, 65), (1, 700, 4, 4)]:
        x = rng.standard_normal(shape).astype(dtype)
        if shape[2] * up + pad[3] < 4:
            continue
        opened = session("UpFirDn2d", dtype, (4, 2), threads=3, up=up, down=down, pad=pad)
        assert_close(run(opened, x, kernel), upfirdn2d(x, kernel, up, down, pad))


def test_views_that_are_not_contiguous() -> None:
    x = (
        np.random.default_rng(2)
        .standard_normal((2, 8, 9, 3))
        .astype(np.float32)
        .transpose(0, 3, 1, 2)[:, ::-1]
    )
    opened = session("UpFirDn2d", np.float32, (4, 2), up=2, pad=[2, 1, 2, 1])
    assert_close(run(opened, x, BLUR.astype(np.float32)), upfirdn2d(x, BLUR, 2, 1, (2, 1, 2, 1)))


def test_a_chain_in_one_graph() -> None:
    """Both ops in turn, the activation in place, unknown sizes between them, in front of a standard op."""
    nodes = [
        helper.make_node("UpFirDn2d", ["x", "kernel"], ["a"], domain="fingergen", pad=[1, 1, 1, 1]),
        helper.make_node("FusedLeakyReLU", ["a", "bias"], ["b"], domain="fingergen"),
        helper.make_node("UpFirDn2d", ["b", "kernel"], ["c"], domain="fingergen", up=2, pad=[2, 1, 2, 1]),
        helper.make_node("Conv", ["c", "weight"], ["y"], kernel_shape=[1, 1]),
    ]
    rng = np.random.default_rng(3)
    bias = rng.standard_normal(4).astype(np.float32)
    weight = rng.standard_normal((2, 4, 1, 1)).astype(np.float32)
    kernel = BLUR.astype(np.float32)
    constants = [
        onnx.numpy_helper.from_array(array, name)
        for name, array in {"bias": bias, "weight": weight, "kernel": kernel}.items()
    ]
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2, "h2", "w2"])],
        constants,
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("fingergen", 1)]
    opened = open_session(helper.make_model(graph, opset_imports=opsets, ir_version=9), threads=2)
    for shape in [(1, 4, 9, 8), (3, 4, 17, 16)]:
        x = rng.standard_normal(shape).astype(np.float32)
        kept = x.copy()
        y = opened.run(None, {"x": x})[0]
        b = fused_leaky_relu(upfirdn2d(x, kernel, 1, 1, (1, 1, 1, 1)), bias)
        c = upfirdn2d(b, kernel, 2, 1, (2, 1, 2, 1))
        np.testing.assert_allclose(y, np.einsum("nchw,oc->nohw", c, weight[:, :, 0, 0]), atol=2e-5)
        np.testing.assert_array_equal(x, kept)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"up": 0}, "up must be in 1"),
        ({"down": -1}, "down must be in 1"),
        ({"up": 2**40}, "up must be in 1"),
        ({"pad": [1, 1]}, r"pad must be \[x0, x1, y0, y1\], got \[1, 1\]"),
        ({"pad": [0, 0, 0, 2**60]}, "pad must be in"),
        ({"pad": 1}, r"pad must be \[x0, x1, y0, y1\], got"),
        ({"up": 2.0}, "up must be an integer"),
        ({"down": "two"}, "down must be an integer"),
        ({"up": [2, 2]}, "up must be an integer"),
    ],
)
def test_wrong_attributes_of_upfirdn2d(attributes, message) -> None:
    with pytest.raises(Exception, match=f"fingergen.UpFirDn2d: attribute {message}"):
        session("UpFirDn2d", np.float32, (4, 2), **attributes)


def test_wrong_attributes_and_shapes() -> None:
    with pytest.raises(Exception, match=r"fingergen.FusedLeakyReLU: attribute scale must be a float"):
        session("FusedLeakyReLU", np.float32, (2, 1), scale=2)
    opened = session("FusedLeakyReLU", np.float32, (2, 1))
    with pytest.raises(Exception, match=r"wants x \[N, C, ...\] and bias \[C\], got \[2, 3\] and \[4\]"):
        run(opened, np.zeros((2, 3), np.float32), np.zeros(4, np.float32))
    opened = session("UpFirDn2d", np.float32, (3, 2))
    with pytest.raises(Exception, match=r"wants x \[N, C, H, W\] and kernel"):
        run(opened, np.zeros((2, 3, 4), np.float32), np.zeros((2, 2), np.float32))
    opened = session("UpFirDn2d", np.float32, (4, 2))
    with pytest.raises(Exception, match=r"wants x .* and \[0, 2\]"):
        run(opened, np.zeros((2, 3, 4, 4), np.float32), np.zeros((0, 2), np.float32))


def test_chain_of_nodes_with_a_symbolic_batch():
    """Layers of a mapping network: the shape behind each node is known only at run time."""
    width, layers = 8, 4
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((layers, width, width)).astype(np.float32)
    biases = rng.standard_normal((layers, width)).astype(np.float32)
    nodes, constants, name = [], [], "x"
    for i in range(layers):
        constants += [
            onnx.numpy_helper.from_array(weights[i], f"w{i}"),
            onnx.numpy_helper.from_array(biases[i], f"b{i}"),
        ]
        nodes.append(helper.make_node("MatMul", [name, f"w{i}"], [f"h{i}"]))
        nodes.append(helper.make_node("FusedLeakyReLU", [f"h{i}", f"b{i}"], [f"y{i}"], domain="fingergen"))
        name = f"y{i}"
    x_info = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", width])
    y_info = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width])
    model = helper.make_model(
        helper.make_graph(nodes, "chain", [x_info], [y_info], constants),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("fingergen", 1)],
        ir_version=9,
    )
    opened = open_session(model)
    for batch in (1, 3):
        x = rng.standard_normal((batch, width)).astype(np.float32)
        expected = x
        for weight, bias in zip(weights, biases, strict=True):
            expected = fused_leaky_relu(expected @ weight, bias)
        np.testing.assert_allclose(opened.run(None, {"x": x})[0], expected, rtol=1e-4, atol=1e-4)


def growth_session(threads: int = 1, **attributes: object) -> ort.InferenceSession:
    names = ("noise", "orientation", "period")
    node = helper.make_node("RidgeGrowth", names, ["y"], domain="fingergen", **attributes)
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [f"{name}_{i}" for i in range(4)])
        for name in names
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    model = helper.make_model(
        helper.make_graph([node], "op", inputs, [output]),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("fingergen", 1)],
        ir_version=9,
    )
    return open_session(model, threads)


def growth_fields(*shape: int) -> dict[str, NDArray]:
    """Noise and fields that are smooth but for a core."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[: shape[2], : shape[3]] / 20.0
    core = np.arctan2(0.91 - y, x - 1.03) / 2
    orientation = rng.uniform(0, 3, (shape[0], 1, 1, 1)) + np.sin(x) + np.cos(y) + core
    period = 4.5 + 0.5 * np.sin(x + y) + np.zeros(shape)
    fields = {"noise": rng.standard_normal(shape), "orientation": orientation, "period": period}
    return {name: field.astype(np.float32) for name, field in fields.items()}


@pytest.mark.parametrize(("rounds", "radius"), [(0, 6), (1, 3), (4, 6), (30, 6)])
def test_ridge_growth(rounds: int, radius: int) -> None:
    fields = growth_fields(2, 1, 33, 45)
    (result,) = growth_session(rounds=rounds, radius=radius).run(None, fields)
    expected = ridge_growth(**fields, rounds=rounds, radius=radius)
    np.testing.assert_allclose(result, expected, atol=1e-4 if rounds < 5 else 2e-3)


def test_ridges_do_not_depend_on_batch_or_threads() -> None:
    fields = growth_fields(3, 1, 50, 70)
    (whole,) = growth_session().run(None, fields)
    (threaded,) = growth_session(threads=3).run(None, fields)
    np.testing.assert_array_equal(whole, threaded)
    for i in range(3):
        (alone,) = growth_session().run(None, {name: field[i : i + 1] for name, field in fields.items()})
        np.testing.assert_array_equal(alone, whole[i : i + 1])


def test_ridge_growth_refuses_what_it_cannot_do() -> None:
    for attributes in ({"radius": 0}, {"radius": 17}, {"rounds": -1}, {"rounds": 1.5}):
        with pytest.raises(Exception, match=next(iter(attributes))):
            growth_session(**attributes)
    opened = growth_session()
    with pytest.raises(Exception, match="too small for radius 6"):
        opened.run(None, growth_fields(1, 1, 6, 20))
    with pytest.raises(Exception, match="wants noise, orientation and period"):
        opened.run(None, {**growth_fields(1, 1, 9, 9), "period": np.ones((1, 1, 9, 8), np.float32)})
    assert opened.run(None, growth_fields(0, 1, 9, 9))[0].shape == (0, 1, 9, 9)
