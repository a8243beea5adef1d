"""A real Triton server answers over HTTP and gRPC what the Python runtime makes."""

import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import fingergen.runtime as fgr
from fingergen.export.triton import write_model_repository
from fingergen.runtime.bundle.bundle import DEMO
from fingergen.runtime.datasets.mated import Mate, MatedSynthesis
from fingergen.runtime.minutiae import decode_template, read_template

from ..tiny_bundle import write_tiny_bundle
from .triton_server import Server, client_folder, running

DATA = Path(__file__).parents[1] / "data" / "minutiae"
CLIENT = Path(__file__).with_name("triton_client.py")
pytestmark = pytest.mark.slow

Requests = list[tuple[str, dict[str, np.ndarray]]]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("triton")
    write_model_repository(write_tiny_bundle(folder / "bundle"), folder / "models")
    return folder / "models"


@pytest.fixture(scope="module")
def server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(repository, tmp_path_factory.mktemp("server") / "log.txt") as found:
        yield found


@pytest.fixture(scope="module")
def model(repository: Path) -> Iterator[fgr.Model]:
    with fgr.load(repository / "synthesize" / "bundle") as found:
        yield found


def row(*values: object, kind: object = None) -> np.ndarray:
    return np.array(values, kind).reshape(-1, 1)


def text(*rows: bytes) -> np.ndarray:
    return np.array([list(each) for each in rows], np.uint8)


def seeds(*values: int) -> np.ndarray:
    return row(*values, kind=np.uint64)


def ask(server: Server, folder: Path, requests: Requests) -> dict[str, np.ndarray]:
    """Answers by `PROTOCOL/NUMBER/OUTPUT`."""
    arrays = {
        f"{number}/{name}/{key}": value
        for number, (name, inputs) in enumerate(requests)
        for key, value in inputs.items()
    }
    np.savez(folder / "requests.npz", **arrays)
    places = map(str, (server.http, server.grpc, folder / "requests.npz", folder / "answers.npz"))
    environment = {**os.environ, "PYTHONPATH": str(client_folder())}
    result = subprocess.run(
        [sys.executable, str(CLIENT), *places], env=environment, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    return dict(np.load(folder / "answers.npz"))


def test_images_are_those_of_the_runtime(server, model, tmp_path):
    template = (DATA / "sample.fmr").read_bytes()
    degree = np.float32(3)
    edited = {"SEED": seeds(5), "INDEX": text(b"1"), "DEGREE": row(degree)}
    requests: Requests = [
        ("synthesize", {"SEED": seeds(3)}),
        ("synthesize", {"SEED": seeds(4, 2**64 - 1), "TRUNCATION": row(0.5, 0.7, kind=np.float32)}),
        ("edit", edited),
        ("reconstruct", {"TEMPLATE": text(template, template)}),
        ("reconstruct", {"TEMPLATE": text(template), "SEED": seeds(8), "FORMAT": text(b"iso19794-2-2005")}),
        *(("synthesize", {"SEED": seeds(seed)}) for seed in range(10, 42)),
    ]
    answers = ask(server, tmp_path, requests)
    read = read_template(DATA / "sample.fmr")
    truncations = [float(each) for each in row(0.5, 0.7, kind=np.float32)[:, 0]]
    expected = [
        model.synthesize([3]),
        np.concatenate(
            [model.synthesize([4], truncations[0]), model.synthesize([2**64 - 1], truncations[1])]
        ),
        np.stack(model.edit(model.map(model.z([5])), 1, float(degree), seeds=[5]), axis=1),
        model.reconstruct([read, read], seeds=[0, 0]),
        model.reconstruct(read, seeds=[8]),
        *(model.synthesize([seed]) for seed in range(10, 42)),
    ]
    for protocol in ("http", "grpc"):
        for number, images in enumerate(expected):
            assert np.array_equal(answers[f"{protocol}/{number}/IMAGE"], images), (
                protocol,
                requests[number][0],
            )
    assert "Traceback" not in server.log.read_text()


def test_a_bad_request_gets_one_line_and_harms_nobody(server, model, tmp_path):
    requests: Requests = [
        ("reconstruct", {"TEMPLATE": text(b"no template")}),
        ("reconstruct", {"TEMPLATE": text(b"1 2 3 4"), "FORMAT": text(b"pdf")}),
        ("edit", {"SEED": seeds(1), "INDEX": text(b"999"), "DEGREE": row(1, kind=np.float32)}),
        ("synthesize", {"SEED": seeds(1), "TRUNCATION": row(np.nan, kind=np.float32)}),
        ("synthesize", {"SEED": row(1, kind=np.int32)}),
        ("synthesize", {"SEED": seeds(6)}),
    ]
    answers = ask(server, tmp_path, requests)
    for protocol in ("http", "grpc"):
        lines = [str(answers[f"{protocol}/{number}/error"]) for number in range(5)]
        for line, part in zip(lines, ["TEMPLATE: format not known", "FORMAT: 'pdf'", "999"], strict=False):
            assert part in line and "\n" not in line and len(line) < 500
        assert "TRUNCATION: nan; must be a finite number" in lines[3]
        assert "UINT64" in lines[4]
        assert np.array_equal(answers[f"{protocol}/5/IMAGE"], model.synthesize([6]))


def test_fingers(tmp_path):
    """A bundle with ridge noise: all four models."""
    repository = tmp_path / "models"
    assert write_model_repository(DEMO, repository) == ["synthesize", "reconstruct", "edit", "impression"]
    template = (DATA / "sample.fmr").read_bytes()
    numbers = row(0, 5, kind=np.uint32)
    requests: Requests = [
        ("synthesize", {"SEED": seeds(3)}),
        ("impression", {"SEED": seeds(3, 4), "NUMBER": numbers, "PRESET": text(b"medium", b"medium")}),
        ("reconstruct", {"TEMPLATE": text(template)}),
        ("edit", {"SEED": seeds(5), "INDEX": text(b"moisture"), "DEGREE": row(2, kind=np.float32)}),
        ("impression", {"SEED": seeds(3), "PRESET": text(b"extreme")}),
    ]
    with running(repository, tmp_path / "log.txt") as server:
        answers = ask(server, tmp_path, requests)
    with fgr.load(DEMO, backend="onnxruntime") as model:
        steps = MatedSynthesis(model, preset="medium", taken={})
        z = model.z([5])
        mates = [Mate(3, 1, number=0), Mate(4, 1, number=5)]
        expected = [
            model.synthesize([3]),
            np.stack([steps.finish(levels) for levels in steps.compute(steps.prepare(mates))]),
            model.reconstruct(read_template(DATA / "sample.fmr"), seeds=[0]),
            np.stack(model.edit(model.map(z), "moisture", 2.0, seeds=[5], z=z), axis=1),
        ]
        assert steps.taken is not None
        truths = [steps.taken[mate].template for mate in mates]
    for protocol in ("http", "grpc"):
        for number, images in enumerate(expected):
            assert np.array_equal(answers[f"{protocol}/{number}/IMAGE"], images), requests[number][0]
        for record, truth in zip(answers[f"{protocol}/1/TEMPLATE"], truths, strict=True):
            found = decode_template(record.tobytes(), "TEMPLATE").minutiae
            assert [each.type for each in found] == [each.type for each in truth.minutiae]
        assert "preset 'extreme': choose easy, medium, hard, partial" in str(answers[f"{protocol}/4/error"])


def test_health_and_metrics(server):
    assert server.get("/v2/health/live")[0] == server.get("/v2/health/ready")[0] == 200
    status, metadata = server.get("/v2/models/synthesize")
    assert status == 200 and json.loads(metadata)["outputs"][0]["shape"] == [-1, 64, 64]
    assert "nv_inference_count" in server.get("/metrics", server.metrics)[1]


def test_sigterm_drains(repository, tmp_path):
    """What a model computes is answered whole, and the server ends well."""
    with running(repository, tmp_path / "log.txt") as server:
        tensor = {"name": "SEED", "datatype": "UINT64", "shape": [32, 1], "data": list(range(32))}
        output = {"name": "IMAGE", "parameters": {"binary_data": True}}
        body = json.dumps({"inputs": [tensor], "outputs": [output]}).encode()
        address = f"http://127.0.0.1:{server.http}/v2/models/synthesize/infer"
        sizes: list[int] = []

        def request() -> None:
            with (
                suppress(ConnectionError, urllib.error.URLError),
                urllib.request.urlopen(urllib.request.Request(address, body)) as answer,
            ):
                sizes.append(len(answer.read()))

        threads = [threading.Thread(target=request) for _ in range(8)]
        for thread in threads:
            thread.start()
        while not sizes:
            time.sleep(0.001)
        status = server.stop()
        for thread in threads:
            thread.join(30)
    assert status == 0 and sizes and min(sizes) >= 32 * 64 * 64
