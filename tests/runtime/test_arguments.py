"""Whatever is passed to a model, it gives a result or one clear line."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fingergen.runtime import BadInput, FingerGenError, Model, load
from fingergen.runtime.fingers import make_finger, take_impression
from fingergen.runtime.images import read_image, save_image
from fingergen.runtime.minutiae import (
    Minutia,
    Template,
    decode_template,
    minutiae_map,
    read_template,
    write_template,
)
from fingergen.runtime.records import FingerImage, decode_record, read_record

from ..tiny_bundle import write_tiny_bundle

TEMPLATE = Template(64, 64, 500, (Minutia(20, 30, 45), Minutia(50, 12, 200)))
ODD: dict[str, Any] = {
    "none": None,
    "text": "abc",
    "empty text": "",
    "bytes": b"x",
    "fraction": 3.5,
    "nan": float("nan"),
    "infinity": float("inf"),
    "tiny": 5e-324,
    "negative": -1,
    "bool": True,
    "too large": 2**64,
    "huge": 10**400,
    "complex": 1j,
    "object": object(),
    "function": len,
    "empty list": [],
    "list of None": [None],
    "list of text": ["a"],
    "list of fractions": [1.5],
    "list of nan": [float("nan")],
    "negative list": [-1],
    "list of bool": [True],
    "nested list": [[1]],
    "dict": {"a": 1},
    "array": np.array([[1, 2]]),
    "empty array": np.array([]),
    "array without an axis": np.array(3.0),
}
W = np.zeros((1, 32), np.float32)
CALLS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "synthesize": (
        Model.synthesize,
        dict.fromkeys(["truncation", "noise", "mix_seeds", "mix_layers"]) | {"seeds": [1]},
    ),
    "synthesize mixed": (
        Model.synthesize,
        {"seeds": [1], "mix_seeds": [2], "mix_layers": [0], "mix_alpha": 0.5, "size": 16},
    ),
    "stream": (lambda model, **named: list(model.stream(**named)), {"seeds": [1], "batch": 1}),
    "z": (Model.z, {"seeds": [1]}),
    "map": (Model.map, {"z": W}),
    "mix": (Model.mix, {"w": W, "other": W, "layers": [0], "alpha": 0.5}),
    "truncate": (Model.truncate, {"w": W, "truncation": 0.5}),
    "render": (Model.render, {"w": W, "noise": "random", "seeds": [1], "size": 16}),
    "generate": (Model.generate, {"w": W, "noise": "random", "seeds": [1]}),
    "encode": (Model.encode, {"maps": TEMPLATE}),
    "reconstruct": (
        Model.reconstruct,
        {"templates": TEMPLATE, "noise": "random", "seeds": [1], "size": 16},
    ),
    "edit": (
        Model.edit,
        {"w": W, "index": 0, "degree": 1.0, "layers": [0], "truncation": 0.5, "size": 16, "z": W},
    ),
    "edited": (Model.edited, {"w": W, "degrees": {0: 1.0}, "layers": [0], "z": W}),
    "fingers": (Model.fingers, {"seeds": [], "kind": None, "position": None}),
    "ppi": (Model.ppi, {"size": 16}),
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("arguments") / "tiny")


@pytest.fixture(scope="module")
def model(bundle: Path) -> Iterator[Model]:
    with load(bundle, workers=1) as loaded:
        yield loaded


def check(call: Callable[..., Any], arguments: dict[str, Any]) -> bool:
    """Whether the call raised; any other error than ours fails the test, as does one of several lines."""
    try:
        call(**arguments)
    except FingerGenError as error:
        assert str(error) and "\n" not in str(error)
        return True
    return False


@pytest.mark.parametrize("name", CALLS)
def test_odd_arguments(model: Model, name: str) -> None:
    method, usual = CALLS[name]

    def call(**arguments: Any) -> Any:
        return method(model, **arguments)

    assert not check(call, usual)
    for argument in usual:
        refused = [check(call, usual | {argument: value}) for value in ODD.values()]
        assert sum(refused) > len(ODD) / 2, argument


@pytest.mark.parametrize("argument", ["bundle", "backend", "workers", "device", "precision"])
def test_odd_arguments_of_load(bundle: Path, argument: str) -> None:
    def call(**arguments: Any) -> None:
        load(**{"bundle": bundle, "workers": 1, **arguments}).close()

    for name, value in ODD.items():
        if value is not None:
            check(call, {argument: value})
        if name in ("text", "list of None", "dict", "array"):
            assert check(call, {argument: value})


@pytest.mark.parametrize("name", sorted(CALLS.keys() - {"z", "truncate", "mix", "edited", "fingers", "ppi"}))
def test_a_closed_model_says_so(bundle: Path, name: str) -> None:
    method, usual = CALLS[name]
    closed = load(bundle, workers=1)
    closed.close()
    with pytest.raises(FingerGenError, match="the model is closed; load it again"):
        method(closed, **usual)


def test_decoder_is_true_or_false(model: Model) -> None:
    for make in (model.render, model.generate):
        for odd in (np.zeros(2), "yes", 1, None, [True]):
            with pytest.raises(BadInput, match=r"decoder: .*; give True or False"):
                make(W, decoder=odd)
        assert np.array_equal(make(W, decoder=np.True_), make(W, decoder=True))


@pytest.mark.parametrize(
    "odd", [None, 5, 1.5, [], {}, np.zeros(2), object()], ids=lambda odd: type(odd).__name__
)
def test_functions_on_files_and_templates(odd: Any, tmp_path: Path) -> None:
    calls: dict[str, Callable[[], Any]] = {
        "path of a template": lambda: read_template(odd),
        "path of an image": lambda: read_image(odd),
        "path of a record": lambda: read_record(odd),
        "path to write": lambda: write_template(odd, TEMPLATE, "json"),
        "path of an image to write": lambda: save_image(odd, np.zeros((8, 8), np.uint8), 500, {}),
        "bytes of a template": lambda: decode_template(odd, "a.fmr"),
        "bytes of a record": lambda: decode_record(odd, "a.png"),
        "template to write": lambda: write_template(tmp_path / "a.json", odd),
        "template to draw": lambda: minutiae_map(odd),
        "finger": lambda: take_impression(odd, 0),
        "window": lambda: make_finger(1, odd),
        "pixels": lambda: FingerImage(odd, 500),
        "image to write": lambda: save_image(tmp_path / "a.png", odd, 500, {}),
    }
    for name, call in calls.items():
        with pytest.raises(BadInput):
            call()
            pytest.fail(name)


@pytest.mark.parametrize(
    "wrong",
    [
        {"format": np.zeros(2)},
        {"format": 5},
        {"width": "64"},
        {"width": np.zeros(2)},
        {"height": 0},
        {"ppi": "500"},
        {"ppi": float("nan")},
        {"view": "0"},
        {"view": 0.5},
        {"view": -1},
    ],
    ids=str,
)
def test_options_of_templates(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=next(iter(wrong))):
        decode_template(b"1 2 3 4\n", "a.xyt", **{"width": 64, "height": 64, **wrong})


@pytest.mark.parametrize("name", ["minutiae", "cores", "deltas"])
@pytest.mark.parametrize("odd", [None, 5, "ab", [1], {"a": 1}, np.zeros((2, 3))], ids=str)
def test_places_of_a_template(name: str, odd: Any) -> None:
    with pytest.raises(BadInput, match=name):
        Template(64, 64, 500, **{name: odd})
