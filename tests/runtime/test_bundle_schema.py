"""The quick check of manifests never takes for right what jsonschema finds wrong, and takes right ones."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fingergen.runtime.bundle
from fingergen.runtime.bundle import schema as schema_module
from fingergen.runtime.bundle.bundle import DEMO
from fingergen.runtime.bundle.schema import check_content, fits
from fingergen.runtime.errors import BadInput

SCHEMA = json.loads(Path(fingergen.runtime.bundle.__file__).with_name("bundle.schema.json").read_text())
ODD: list[Any] = [
    None, True, False, 0, 1, 3, -1, 1.0, 0.5, 10**12, "", "fp16", "a.onnx", "../a", "a\n", [], [1, 1, 1],
    [1, True], [1, 2, 3], ["x", "x"], [[1], [1]], {}, {"a": 1}, {"file": "f"},
    {"a.onnx": {"sha256": "0" * 64, "bytes": 0}},
]  # fmt: skip
SOME = 11  # of this many that the quick check refuses, one is shown to jsonschema, which is slow


def whole() -> dict[str, Any]:
    """A manifest with a value in every field of the schema."""
    content: dict[str, Any] = json.loads((DEMO / "bundle.json").read_text())
    tuned = {
        "device": "cpu",
        "backend": "onnxruntime",
        "precision": "fp32",
        "batch": 4,
        "images_per_second": 9.5,
    }
    content["recommended"] |= {"edit_from": 2, "tuned": [tuned]}
    content["encoder"] = {"input_size": 64, "w_plus": False, "noise_layers": [0, 1]}
    content["graphs"] |= {"encoder": "e.onnx", "decoder": "d.onnx"}
    checkpoint = {"file": "g.pt", "role": "generator", "sha256": "0" * 64}
    content["provenance"] = {"created": "2026", "checkpoints": [checkpoint], "training": {}}
    content["parity"] = {"mapping": {"max_abs_error": 1e-6, "tolerance": 1e-4, "batches": [1, 3], "seeds": 8}}
    content["tools"] = {"fingergen": "0.1.0"}
    content["files"] = {"a/b.onnx": {"sha256": "0" * 64, "bytes": 1}}
    content["precisions"] = {"fp16": {"synthesis": "s.onnx"}}
    content["engines"] = [
        {
            "file": "a.engine",
            "graph": "synthesis",
            "flavour": "TensorRT",
            "version": "10",
            "gpu_architectures": ["sm_90"],
            "precision": "fp16",
            "batch": [1, 8, 64],
            "ops": "plugin",
            "plugins_embedded": True,
            "report": {"seconds": 3},
        }
    ]
    return content


def changed(value: Any) -> Iterator[Any]:
    """A value with one thing in it replaced, left out or added, in every place."""
    yield from ODD
    if isinstance(value, dict):
        yield value | {"surprise": 1}
        for key, inner in value.items():
            yield {name: each for name, each in value.items() if name != key}
            yield from (value | {key: each} for each in changed(inner))
    elif isinstance(value, list):
        yield value + value
        for index, inner in enumerate(value):
            yield from ([*value[:index], each, *value[index + 1 :]] for each in changed(inner))


@pytest.mark.slow
def test_the_quick_check_agrees_with_jsonschema():
    right = wrong = cautious = 0
    for number, content in enumerate(changed(whole())):
        quick = fits(content, SCHEMA, SCHEMA["$defs"])
        if quick or number % SOME == 0:
            error = schema_module._first_error(content, SCHEMA)
            assert not (quick and error), (error, json.dumps(content)[:300])
            right, wrong, cautious = right + quick, wrong + bool(error), cautious + (not quick and not error)
    assert right > 50 and wrong > 100 and cautious < 5, (right, wrong, cautious)


def test_a_keyword_that_it_does_not_know():
    with pytest.raises(KeyError, match="format"):
        fits("x", {"type": "string", "format": "email"}, {})


def test_jsonschema_says_what_is_wrong():
    content = copy.deepcopy(whole())
    check_content(content, "bundle.json")
    content["engines"][0]["batch"] = [1, 2]
    with pytest.raises(BadInput, match=r"bundle\.json: engines\.0\.batch: \[1, 2\] is too short"):
        check_content(content, "bundle.json")
