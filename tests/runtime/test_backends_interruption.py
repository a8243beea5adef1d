"""Calls that end on Ctrl-C or in a forked process, instead of hanging."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from fingergen.runtime import FingerGenError, Model, load
from fingergen.runtime.backends import Interruption
from fingergen.runtime.backends.interruption import Interrupted
from fingergen.runtime.backends.ort.library import onnxruntime
from fingergen.runtime.pipeline.stages import Pipeline, Stage

from ..tiny_bundle import write_tiny_bundle

BLOCK = 60.0  # seconds; a test that takes as long has failed


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("interruption") / "tiny")


@pytest.fixture
def model(bundle: Path):
    with load(bundle, workers=2) as loaded:
        yield loaded


def endless_graph() -> bytes:
    """A mapping network that would run for hours."""
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Sin", ["value"], ["next"]),
        ],
        "body",
        [info("i", TensorProto.INT64, []), info("go", TensorProto.BOOL, []), info("value", 1, None)],
        [info("go_on", TensorProto.BOOL, []), info("next", 1, None)],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["rounds", "yes", "z"], ["w"], body=body)],
        "endless",
        [info("z", 1, ["N", 32])],
        [info("w", 1, ["N", 32])],
        [
            helper.make_tensor("rounds", TensorProto.INT64, [], [2**40]),
            helper.make_tensor("yes", TensorProto.BOOL, [], [True]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


@pytest.fixture
def endless(model: Model) -> Model:
    """A model whose mapping network does not end."""
    session = onnxruntime.InferenceSession(endless_graph(), providers=["CPUExecutionProvider"])
    model.backend._sessions._sessions["mapping"] = session  # type: ignore[attr-defined]
    model.backend._threaded._sessions["mapping"] = session  # type: ignore[attr-defined]
    return model


def interrupt_soon() -> None:
    """Ctrl-C in half a second."""
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()


@pytest.mark.parametrize("images", [1, 5])  # threads within an image; one thread per image
def test_ctrl_c_ends_a_graph(endless: Model, images: int) -> None:
    began = time.monotonic()
    interrupt_soon()
    with pytest.raises(KeyboardInterrupt):
        endless.synthesize(range(images))
    endless.close()  # waits for what is under way
    assert time.monotonic() - began < BLOCK


def test_leaving_a_pipeline_ends_its_calls(endless: Model) -> None:
    z = endless.z(range(3))
    results = iter(Pipeline([z, z], [Stage("map", lambda z: [endless.map(z)], threads=2, room=1)]))
    interrupt_soon()
    with pytest.raises(KeyboardInterrupt):
        next(results)
    assert not any(thread.name == "map" for thread in threading.enumerate())


def test_other_calls_go_on(model: Model) -> None:
    interruption = Interruption()
    interruption.set()
    z = model.z([1])
    with interruption.heeded(), pytest.raises(Interrupted):
        model.map(z)
    assert model.map(z).shape == (1, model.style_dim)


FORK = """
import os, sys
from fingergen.runtime import FingerGenError, load

model = load(sys.argv[1], workers=2)
model.synthesize([3])
if os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
try:
    model.synthesize([3])
except FingerGenError as error:
    print(error)
model.close()
with load(sys.argv[1], workers=2) as own:
    print(own.synthesize([3]).shape)
"""


def test_a_forked_process_loads_its_own_model(bundle: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FORK, bundle], capture_output=True, text=True, timeout=BLOCK)
    assert done.returncode == 0, done.stderr
    line, shape = done.stdout.splitlines()
    assert "load the model in the process that uses it" in line and shape == "(1, 64, 64)"


FORKED_GROWTH = """
import os, sys
from fingergen.runtime.fingers import make_finger

make_finger(1, (256, 256), threads=2)
if os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
print(make_finger(2, (256, 256), threads=2).ridges.shape)
"""


def test_a_forked_process_grows_fingers() -> None:
    command = [sys.executable, "-c", FORKED_GROWTH]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BLOCK)
    assert (done.returncode, done.stdout) == (0, "(384, 384)\n"), done.stderr


def test_a_model_is_not_pickled() -> None:
    import pickle

    with pytest.raises(FingerGenError, match="load it in the process that uses it"):
        pickle.dumps(Model.__new__(Model))
