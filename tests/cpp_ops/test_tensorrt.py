"""The TensorRT plugin library in TensorRT-RTX, whose parser and builder need no GPU."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fingergen import cpp_ops

SCRIPT = Path(__file__).parent / "harness" / "tensorrt_rtx.py"

if importlib.util.find_spec("tensorrt_rtx_bindings") is None:
    pytest.skip("tensorrt-rtx is not installed", allow_module_level=True)
if cpp_ops.status("tensorrt").path is None:
    pytest.skip(str(cpp_ops.status("tensorrt").reason), allow_module_level=True)


def inspect(model: onnx.ModelProto, folder: Path) -> tuple[dict, str]:
    """What the script saw, and what was written to standard error."""
    onnx.save(model, folder / "model.onnx")
    # The parser asks for the library by a name that the wheel does not have.
    spec = importlib.util.find_spec("tensorrt_rtx_libs")
    assert spec is not None and spec.submodule_search_locations
    (real,) = Path(spec.submodule_search_locations[0]).glob("libtensorrt_rtx.so.*")
    (folder / "libtensorrt_rtx.so").symlink_to(real)
    done = subprocess.run(
        [sys.executable, SCRIPT, cpp_ops.library("tensorrt"), folder / "model.onnx", "64"],
        env={**os.environ, "LD_LIBRARY_PATH": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def model(dtype: type, **blur: object) -> onnx.ModelProto:
    """Blur, activation, upsampling of x (batch, 4, 17, 16); `blur` are attributes of the first node."""
    named = {"domain": "fingergen", "plugin_namespace": "fingergen", "plugin_version": "1"}
    nodes = [
        helper.make_node("UpFirDn2d", ["x", "kernel"], ["a"], **named, **blur),
        helper.make_node("FusedLeakyReLU", ["a", "bias"], ["b"], **named, negative_slope=0.125),
        helper.make_node("UpFirDn2d", ["b", "kernel"], ["y"], **named, up=3, down=2, pad=[2, -1, 5, 1]),
    ]
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    constants = {"kernel": np.ones((4, 3), dtype), "bias": np.ones(4, dtype)}
    graph = helper.make_graph(
        nodes,
        "ops",
        [helper.make_tensor_value_info("x", element, ["batch", 4, 17, 16])],
        [helper.make_tensor_value_info("y", element, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("fingergen", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


@pytest.mark.parametrize(("dtype", "name"), [(np.float32, "FLOAT"), (np.float16, "HALF")])
def test_plugins_are_parsed_shaped_and_built(dtype: type, name: str, tmp_path: Path) -> None:
    seen, _ = inspect(model(dtype, pad=[1, 1, 1, 1]), tmp_path)
    assert ["FusedLeakyReLU", "1", "fingergen"] in seen["creators"]
    assert ["UpFirDn2d", "1", "fingergen"] in seen["creators"]
    assert seen["errors"] == []
    plugins = [layer for layer in seen["layers"] if layer[0] == "PLUGIN_V3"]
    assert plugins == [
        ["PLUGIN_V3", [-1, 4, 16, 16], name],  # 17 + 2 - 4 + 1, 16 + 2 - 3 + 1
        ["PLUGIN_V3", [-1, 4, 16, 16], name],
        ["PLUGIN_V3", [-1, 4, 26, 24], name],  # (48 + 6 - 4) // 2 + 1, (48 + 1 - 3) // 2 + 1
    ]
    engine = bytes.fromhex(seen["engine"])
    assert engine.count(b"UpFirDn2d") == 4 and engine.count(b"FusedLeakyReLU") == 2
    assert np.float32(0.125).tobytes() in engine


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"up": 0}, "attribute up must be in 1..1024"),
        ({"down": 5000}, "attribute down must be in 1..1024"),
        ({"pad": [1, 1]}, "attribute pad is of the wrong type or length"),
    ],
)
def test_wrong_attributes_fail_the_parser_with_the_reason(attributes, message, tmp_path: Path) -> None:
    seen, said = inspect(model(np.float32, **attributes), tmp_path)
    assert not seen["parsed"] and seen["errors"]
    assert f"fingergen.UpFirDn2d: {message}" in said


def test_wrong_rank_fails_with_the_reason(tmp_path: Path) -> None:
    node = helper.make_node(
        "UpFirDn2d",
        ["x", "kernel"],
        ["y"],
        domain="fingergen",
        plugin_namespace="fingergen",
        plugin_version="1",
    )
    graph = helper.make_graph(
        [node],
        "op",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4, 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones((2, 2), np.float32), "kernel")],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("fingergen", 1)]
    _, said = inspect(helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path)
    assert "fingergen.UpFirDn2d: the number of inputs or their ranks are wrong" in said
