"""The operations of a service, without a server."""

from pathlib import Path

import numpy as np
import pytest

import fingergen.runtime as fgr
from fingergen.runtime.errors import BadInput
from fingergen.runtime.minutiae import read_template
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


@pytest.mark.parametrize("name", OPERATIONS)
def test_example(model, name):
    operation = OPERATIONS[name](model)
    (images,) = operation.answer([operation.example()])
    assert images.shape == (1, *operation.output(model.bundle.manifest).dims) and images.dtype == np.uint8


def test_requests_of_one_batch(model):
    requests = [
        {"SEED": seeds(1, 2)},
        {"SEED": seeds(3), "TRUNCATION": floats(0.5)},
        {"SEED": seeds(4), "TRUNCATION": floats(np.inf)},
        {"SEED": seeds(5)},
    ]
    answers = OPERATIONS["synthesize"](model).answer(requests)
    assert np.array_equal(answers[0], model.synthesize([1, 2]))
    assert np.array_equal(answers[1], model.synthesize([3], 0.5))
    assert isinstance(answers[2], BadInput) and "TRUNCATION: inf" in str(answers[2])
    assert np.array_equal(answers[3], model.synthesize([5]))


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
    assert np.array_equal(answers[0], model.reconstruct(template, seeds=[0]))
    assert np.array_equal(answers[1], model.reconstruct(template, seeds=[9]))
    assert [str(each).split(":")[0] for each in answers[2:]] == ["TEMPLATE", "FORMAT"]


def test_edit(model):
    request = {"SEED": seeds(1, 2), "INDEX": np.repeat(text(b"0"), 2, 0), "DEGREE": floats(2, -3)}
    (answer,) = OPERATIONS["edit"](model).answer([request])
    for row, (seed, degree) in enumerate([(1, 2.0), (2, -3.0)]):
        expected = model.edit(model.map(model.z([seed])), 0, degree, seeds=[seed])
        assert np.array_equal(answer[row], np.stack(expected, axis=1)[0])
    (wrong,) = OPERATIONS["edit"](model).answer([{**request, "INDEX": np.repeat(text(b"77"), 2, 0)}])
    assert isinstance(wrong, BadInput) and "77" in str(wrong)
