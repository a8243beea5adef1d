"""Whole layers in the ONNX Runtime library against the NumPy references, through real sessions on the CPU."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from fingergen import cpp_ops
from fingergen.cpp_ops.reference import modulation, styled_conv, to_rgb
from fingergen.runtime.backends.ort.library import onnxruntime as ort
from fingergen.runtime.images import to_levels

from .test_onnxruntime import open_session


def layer_model(inputs: dict[str, NDArray], constant: Sequence[str], **attributes: object) -> onnx.ModelProto:
    """A model of one ToRGB where there is an image below, of one StyledUpConv where there are taps, or of one
    StyledConv; `constant` inputs are initializers."""
    op = "ToRGB" if "image" in inputs else "StyledUpConv" if "taps" in inputs else "StyledConv"
    node = helper.make_node(op, list(inputs), ["y"], domain="fingergen", **attributes)
    infos = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [f"{name}_{i}" for i in range(value.ndim)])
        for name, value in inputs.items()
        if name not in constant
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    weights = [numpy_helper.from_array(inputs[name], name) for name in constant]
    return helper.make_model(
        helper.make_graph([node], "op", infos, [output], weights),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("fingergen", 1)],
        ir_version=9,
    )


def layer_inputs(
    n: int, inputs: int, outputs: int, size: tuple[int, int], up: bool, noise_n: int
) -> dict[str, NDArray]:
    rng = np.random.default_rng(inputs)
    out = [(2 if up else 1) * pixels for pixels in size]
    values = {
        "x": rng.standard_normal((n, inputs, *size)),
        "style": rng.standard_normal((n, inputs)),
        "weight": rng.standard_normal((outputs, inputs, 3, 3)),
        "noise": rng.standard_normal((noise_n, 1, *out)),
        "bias": rng.standard_normal(outputs),
    }
    if up:
        values["taps"] = np.array([0.1, 0.9, 0.6, 0.3])
    values["strength"] = np.array([0.7])
    return {name: value.astype(np.float32) for name, value in values.items()}


def run_layer(model: onnx.ModelProto, inputs: dict[str, NDArray], threads: int = 1) -> NDArray:
    opened = open_session(model, threads)
    return opened.run(None, {node.name: inputs[node.name] for node in opened.get_inputs()})[0]


def with_w(inputs: dict[str, NDArray]) -> dict[str, NDArray]:
    """The same layer where it makes its style of w, as graphs have it."""
    rng = np.random.default_rng(1)
    n, channels = inputs["style"].shape
    w, weight, bias = (rng.standard_normal(shape) for shape in ((n, 3, 6), (6, channels), (channels,)))
    given = {("w" if name == "style" else name): value for name, value in inputs.items()}
    given |= {"w": w, "modulation": weight, "modulation_bias": bias}
    if "noise" in given:
        given["noise_exponent"] = rng.standard_normal(6)
    return {name: value.astype(np.float32) for name, value in given.items()}


def with_style(inputs: dict[str, NDArray], index: int, strongest: float = 0.0) -> dict[str, NDArray]:
    """Of a layer `with_w`: what the references take."""
    given = dict(inputs)
    w, weight, bias = (given.pop(name) for name in ("w", "modulation", "modulation_bias"))
    if "noise_exponent" in given:
        exponent = modulation(w, index, given.pop("noise_exponent").reshape(-1, 1), np.zeros(1, np.float32))
        if strongest:
            given["strength"] = given["strength"] * strongest / (1 + (strongest - 1) * np.exp(-exponent))
        else:
            given["strength"] = given["strength"] + exponent
    return given | {"style": modulation(w, index, weight, bias)}


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("constant", [["weight", "bias"], []])
@pytest.mark.parametrize("size", [(1, 1), (4, 4), (5, 9), (16, 16), (21, 70), (64, 132)])
def test_a_whole_layer(size: tuple[int, int], constant: Sequence[str], up: bool) -> None:
    inputs = layer_inputs(2, 5, 7, size, up, noise_n=2)
    result = run_layer(layer_model(inputs, constant), inputs)
    expected = styled_conv(**inputs)
    assert result.shape == expected.shape and result.dtype == expected.dtype
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("up", [False, True])
def test_a_whole_layer_of_an_older_graph_whose_noise_has_its_strength(up: bool) -> None:
    inputs = layer_inputs(1, 3, 2, (8, 8), up, noise_n=1)
    del inputs["strength"]
    result = run_layer(layer_model(inputs, ["weight"]), inputs)
    np.testing.assert_allclose(result, styled_conv(**inputs), rtol=0, atol=1e-5)


@pytest.mark.parametrize("up", [False, True])
def test_a_whole_layer_of_an_older_graph_whose_noise_has_one_strength(up: bool) -> None:
    inputs = with_w(layer_inputs(2, 3, 2, (8, 8), up, noise_n=1))
    del inputs["noise_exponent"]
    result = run_layer(layer_model(inputs, ["weight"]), inputs)
    expected = styled_conv(**with_style(inputs, 0))
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("up", [False, True])
def test_a_whole_layer_of_an_older_graph_whose_w_adds_to_the_strength_of_its_noise(up: bool) -> None:
    inputs = with_w(layer_inputs(2, 3, 2, (8, 8), up, noise_n=1))
    inputs["noise_exponent"] = inputs["noise_exponent"][:, None]
    result = run_layer(layer_model(inputs, ["weight"]), inputs)
    expected = styled_conv(**with_style(inputs, 0))
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("index", [0, 2])
@pytest.mark.parametrize("up", [False, True])
def test_a_whole_layer_makes_its_style_of_w(up: bool, index: int) -> None:
    inputs = with_w(layer_inputs(2, 5, 7, (8, 8), up, noise_n=2))
    result = run_layer(layer_model(inputs, ["weight"], style_index=index, strongest=12.0), inputs)
    expected = styled_conv(**with_style(inputs, index, strongest=12.0))
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    many = with_w(layer_inputs(3, 20, 13, (32, 32), up, noise_n=3))
    check_same_bits(many, of_images=("x", "w", "noise"), strongest=12.0)


@pytest.mark.parametrize(
    ("wrong", "index"),
    [
        ({"w": (1, 5)}, 0),
        ({"w": (1, 3, 5)}, 0),
        ({"modulation": (6, 4)}, 0),
        ({"modulation_bias": (4,)}, 0),
        ({}, 3),
        ({}, -1),
    ],
)
@pytest.mark.parametrize("op", ["StyledConv", "ToRGB"])
def test_a_whole_layer_refuses_a_w_that_does_not_fit(
    op: str, wrong: dict[str, tuple[int, ...]], index: int
) -> None:
    given = to_rgb_inputs(1, 5, 3, 4) if op == "ToRGB" else layer_inputs(1, 5, 2, (4, 4), False, noise_n=1)
    inputs = with_w(given) | {name: np.zeros(shape, np.float32) for name, shape in wrong.items()}
    with pytest.raises(Exception, match=f"{op}: wants x .* and style_index {index}"):
        run_layer(layer_model(inputs, [], style_index=index), inputs)


def test_a_whole_layer_refuses_a_modulation_of_noise_that_does_not_fit() -> None:
    inputs = with_w(layer_inputs(1, 5, 2, (4, 4), False, noise_n=1))
    inputs["noise_exponent"] = inputs["noise_exponent"][:5]
    with pytest.raises(Exception, match=r"noise_exponent \[D\], got .* \[5\]"):
        run_layer(layer_model(inputs, [], strongest=12.0), inputs)


def test_attributes_of_a_whole_layer() -> None:
    inputs = layer_inputs(1, 3, 2, (4, 4), up=False, noise_n=1)
    factors = {"negative_slope": 0.5, "scale": 3.0, "epsilon": 10.0}
    result = run_layer(layer_model(inputs, [], **factors), inputs)
    np.testing.assert_allclose(result, styled_conv(**inputs, **factors), rtol=0, atol=1e-4)


def check_same_bits(inputs: dict[str, NDArray], of_images: Sequence[str], **attributes: object) -> None:
    """In any batch and on any number of threads; the first dimension of `of_images` is the batch's, 3."""
    model = layer_model(inputs, ["weight"], **attributes)
    expected = run_layer(model, inputs)
    for threads in (2, 3, 8):
        np.testing.assert_array_equal(run_layer(model, inputs, threads), expected)
    for i in range(3):
        one = {name: v[i : i + 1] if name in of_images else v for name, v in inputs.items()}
        np.testing.assert_array_equal(run_layer(model, one, threads=2), expected[i : i + 1])


@pytest.mark.parametrize(
    ("size", "up"), [((32, 32), False), ((256, 64), False), ((16, 16), True), ((128, 64), True)]
)
def test_a_whole_layer_has_the_same_bits_in_any_batch_and_on_any_number_of_threads(
    size: tuple[int, int], up: bool
) -> None:
    """Sizes of which threads share the channels, and of which they take parts of the image."""
    inputs = layer_inputs(3, 20, 13, size, up, noise_n=3)
    check_same_bits(inputs, of_images=("x", "style", "noise"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"style": (1, 4)},
        {"weight": (2, 3, 3, 1)},
        {"noise": (1, 1, 4, 5)},
        {"bias": (3,)},
        {"x": (3, 4)},
        {"strength": (2,)},
    ],
)
def test_a_whole_layer_refuses_shapes_that_do_not_fit(wrong: dict[str, tuple[int, ...]]) -> None:
    inputs = layer_inputs(1, 3, 2, (4, 4), up=False, noise_n=1)
    inputs |= {name: np.zeros(shape, np.float32) for name, shape in wrong.items()}
    with pytest.raises(Exception, match="StyledConv: wants x"):
        run_layer(layer_model(inputs, []), inputs)


def test_a_session_can_leave_whole_layers_to_their_function() -> None:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("fingergen.whole_layers", "0")
    options.register_custom_ops_library(str(cpp_ops.library("onnxruntime")))
    model = layer_model(layer_inputs(1, 3, 2, (4, 4), up=False, noise_n=1), []).SerializeToString()
    with pytest.raises(Exception, match="StyledConv"):  # there is no function in this model
        ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def test_large_outputs_ask_for_huge_pages() -> None:
    code = f"from {__name__} import print_huge_pages; print_huge_pages()"  # no memory of other tests
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = map(int, result.stdout.split())
    assert before == 0
    assert (after > 0) == Path("/sys/kernel/mm/transparent_hugepage").is_dir()


def print_huge_pages() -> None:
    """How many parts of memory are to lie on huge pages, before and after a layer of 8 MB."""

    def count() -> int:
        smaps = Path("/proc/self/smaps").read_text()
        return sum(line.startswith("VmFlags") and " hg" in line for line in smaps.splitlines())

    arrays = layer_inputs(1, 8, 8, (256, 256), up=True, noise_n=1)
    model = layer_model(arrays, ["weight", "taps"])
    model.graph.node.append(helper.make_node("ReduceMax", ["y"], ["most"], keepdims=0))
    model.graph.output[0].name = "most"  # NumPy has arrays of 4 MB and more on huge pages by itself
    opened = open_session(model)
    before = count()
    opened.run(None, {node.name: arrays[node.name] for node in opened.get_inputs()})
    print(before, count())


def to_rgb_inputs(n: int, inputs: int, channels: int, side: int) -> dict[str, NDArray]:
    """`side`: pixels of the image below."""
    rng = np.random.default_rng(side)
    values = {
        "x": rng.standard_normal((n, inputs, 2 * side, 2 * side)),
        "style": rng.standard_normal((n, inputs)),
        "weight": rng.standard_normal((channels, inputs)),
        "bias": rng.standard_normal(channels),
        "image": rng.standard_normal((n, channels, side, side)),
        "taps": np.array([0.1, 0.9, 0.6, 0.3]),
        "border": rng.standard_normal(2 * side),
    }
    return {name: value.astype(np.float32) for name, value in values.items()}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("side", "inputs"), [(1, 5), (2, 48), (13, 7), (96, 9)])
def test_to_rgb(side: int, inputs: int, channels: int) -> None:
    arrays = to_rgb_inputs(2, inputs, channels, side)
    result = run_layer(layer_model(arrays, ["weight", "bias", "taps", "border"]), arrays)
    expected = to_rgb(**arrays)
    assert result.shape == expected.shape and result.dtype == expected.dtype
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_to_rgb_makes_its_style_of_w() -> None:
    arrays = with_w(to_rgb_inputs(2, 9, 3, 5))
    result = run_layer(layer_model(arrays, ["weight"], style_index=2), arrays)
    expected = to_rgb(**with_style(arrays, 2))
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_to_rgb_has_the_same_bits_in_any_batch_and_on_any_number_of_threads() -> None:
    check_same_bits(to_rgb_inputs(3, 20, 3, 130), of_images=("x", "style", "image"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"x": (1, 5, 8, 6)},
        {"style": (1, 4)},
        {"weight": (3, 4)},
        {"bias": (1,)},
        {"image": (1, 3, 4)},
        {"image": (1, 2, 4, 4)},
        {"taps": (3,)},
        {"border": (4,)},
    ],
)
def test_to_rgb_refuses_shapes_that_do_not_fit(wrong: dict[str, tuple[int, ...]]) -> None:
    arrays = to_rgb_inputs(1, 5, 3, 4) | {name: np.zeros(shape, np.float32) for name, shape in wrong.items()}
    with pytest.raises(Exception, match="ToRGB: wants x"):
        run_layer(layer_model(arrays, []), arrays)


def test_to_levels_are_those_of_the_runtime() -> None:
    halves = (np.arange(-3, 260) + 0.5) / 127.5 - 1
    image = np.concatenate(
        [halves, np.nextafter(halves, 2), np.nextafter(halves, -2), [-1e30, 1e30, -np.inf, np.inf]]
    )
    noise = 2 * np.random.default_rng(0).standard_normal(300_000)
    image = np.concatenate([image, noise]).astype(np.float32)
    node = helper.make_node("ToLevels", ["image"], ["levels"], domain="fingergen")
    graph = helper.make_graph(
        [node],
        "op",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n"])],
        [helper.make_tensor_value_info("levels", TensorProto.UINT8, ["n"])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("fingergen", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    for threads in (1, 3):
        (levels,) = open_session(model, threads).run(None, {"image": image})
        np.testing.assert_array_equal(levels, to_levels(image))
