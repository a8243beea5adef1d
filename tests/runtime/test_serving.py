"""The operations of a service, without a server."""

from pathlib import Path

import numpy as np
import pytest

import fingergen.runtime as fgr
from fingergen.runtime.errors import BadInput
from fingergen.runtime.minutiae import decode_template, read_template
from fingergen.runtime.serving import OPERATIONS

from ..tiny_bundle import write_tiny_bundle

SAMPLE = Path(__file__).parents[1] / "data" / "minutiae" / "sample.fmr"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    with fgr.load(write_tiny_bundle(tmp_path_factory.mktemp("serving") / "bundle")) as found:
        yield found


def seeds(*values: int) -> np.ndarray:
    return np.array(values, np.uint64).reshape(-1, 1)


def text(value: bytes) -> np.ndarray:
    return np.frombuffer(value, np.uint8)[None]


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32).reshape(-1, 1)


@pytest.fixture(scope="module")
def demo():
    with fgr.load(backend="onnxruntime") as found:
        yield found


@pytest.mark.parametrize("name", OPERATIONS)
def test_example(model, demo, name):
    for each in (model, demo):
        if not OPERATIONS[name].is_possible(each.bundle.manifest):
            continue
        operation = OPERATIONS[name](each)
        (answer,) = operation.answer([operation.example()])
        assert isinstance(answer, dict)
        for tensor in operation.outputs(each.bundle.manifest):
            shape, value = (1, *tensor.dims), answer[tensor.name]
            assert value.dtype == np.uint8 and len(value.shape) == len(shape)
            assert all(side in (-1, found) for side, found in zip(shape, value.shape, strict=True))
    assert OPERATIONS["impression"].is_possible(demo.bundle.manifest)


def test_requests_of_one_batch(model):
    requests = [
        {"SEED": seeds(1, 2)},
        {"SEED": seeds(3), "TRUNCATION": floats(0.5)},
        {"SEED": seeds(4), "TRUNCATION": floats(np.inf)},
        {"SEED": seeds(5)},
    ]
    answers = OPERATIONS["synthesize"](model).answer(requests)
    assert np.array_equal(answers[0]["IMAGE"], model.synthesize([1, 2]))
    assert np.array_equal(answers[1]["IMAGE"], model.synthesize([3], 0.5))
    assert isinstance(answers[2], BadInput) and "TRUNCATION: inf" in str(answers[2])
    assert np.array_equal(answers[3]["IMAGE"], model.synthesize([5]))


def test_reconstruct(model):
    data = SAMPLE.read_bytes()
    requests = [
        {"TEMPLATE": text(data)},
        {"TEMPLATE": text(data), "SEED": seeds(9)},
        {"TEMPLATE": text(b"?")},
        {"TEMPLATE": text(data), "FORMAT": text(b"pdf")},
    ]
    answers = OPERATIONS["reconstruct"](model).answer(requests)
    template = read_template(SAMPLE)
    assert np.array_equal(answers[0]["IMAGE"], model.reconstruct(template, seeds=[0]))
    assert np.array_equal(answers[1]["IMAGE"], model.reconstruct(template, seeds=[9]))
    assert [str(each).split(":")[0] for each in answers[2:]] == ["TEMPLATE", "FORMAT"]


def test_edit(model):
    request = {"SEED": seeds(1, 2), "INDEX": np.repeat(text(b"0"), 2, 0), "DEGREE": floats(2, -3)}
    (answer,) = OPERATIONS["edit"](model).answer([request])
    for row, (seed, degree) in enumerate([(1, 2.0), (2, -3.0)]):
        expected = model.edit(model.map(model.z([seed])), 0, degree, seeds=[seed])
        assert np.array_equal(answer["IMAGE"][row], np.stack(expected, axis=1)[0])
    (wrong,) = OPERATIONS["edit"](model).answer([{**request, "INDEX": np.repeat(text(b"77"), 2, 0)}])
    assert isinstance(wrong, BadInput) and "77" in str(wrong)


def test_impression(demo):
    seed, other = np.uint64(3), np.uint64(4)
    requests = [
        {"SEED": np.array([[seed], [other]])},  # two rows, whose templates differ in length
        {"SEED": np.array([[seed]]), "NUMBER": np.array([[2]], np.uint32), "PRESET": text(b"hard")},
        {"SEED": np.array([[seed]]), "FORMAT": text(b"json")},
        {"SEED": np.array([[seed]]), "PRESET": text(b"extreme")},
        {"SEED": np.array([[seed]]), "FORMAT": text(b"png")},
    ]
    both, hard, same, *wrong = OPERATIONS["impression"](demo).answer(requests)
    assert np.array_equal(both["IMAGE"], demo.synthesize([3, 4]))
    truth = demo.finger_noise.impression(3, 0, "easy").template
    read = decode_template(both["TEMPLATE"][0].tobytes(), "TEMPLATE")
    assert [m.type for m in read.minutiae] == [m.type for m in truth.minutiae]
    assert decode_template(same["TEMPLATE"][0].tobytes(), "TEMPLATE") == truth
    expected = demo.finger_noise.impression(3, 2, "hard").template
    found = decode_template(hard["TEMPLATE"][0].tobytes(), "TEMPLATE")
    assert len(found.minutiae) == len(expected.minutiae)
    assert [str(each).split(" ")[0] for each in wrong] == ["preset", "FORMAT:"]
