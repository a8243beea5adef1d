"""The studio's server: what it answers over HTTP, and what it refuses."""

import base64
import io
import json
import signal
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fingergen.runtime import load
from fingergen.runtime.datasets.mated import Mate, MatedSynthesis
from fingergen.runtime.images import decode_image, read_text
from fingergen.runtime.minutiae import (
    WRITABLE,
    Minutia,
    Template,
    decode_template,
    read_template,
    write_template,
)
from fingergen.runtime.records import FORMATS, FingerImage, decode_record, write_record
from fingergen.runtime.studio.files import to_file
from fingergen.runtime.studio.prints import Print, Studio
from fingergen.runtime.studio.requests import print_request

from ..tiny_bundle import write_tiny_bundle
from .studio_server import ask, served, template_fields

SAMPLES = Path(__file__).parent.parent / "data" / "minutiae"


@pytest.fixture(scope="module")
def model():
    """The demo bundle, which has ridge noise."""
    with load() as model:
        yield model


@pytest.fixture(scope="module")
def port(model):
    with served(model) as port:
        yield port


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A bundle as published: no ridge noise, an encoder of minutiae maps."""
    with load(write_tiny_bundle(tmp_path_factory.mktemp("studio") / "tiny")) as model:
        yield model


@pytest.fixture(scope="module")
def seven(model) -> Print:
    """The print of seed 7."""
    return Studio(model).make(print_request({"seed": "7"}))


def pixels(shown: dict) -> np.ndarray:
    return np.asarray(decode_image(base64.b64decode(shown["image"].partition(",")[2]), "shown").image)


def made(port: int, path: str, **fields) -> dict:
    status, _, body = ask(port, path, fields)
    assert status == 200, body
    return json.loads(body)


def refused(port: int, path: str = "/api/print", status: int = 400, **given) -> str:
    found, _, body = ask(port, path, **given)
    assert found == status
    line = json.loads(body)["error"]
    assert line.isprintable() and "Traceback" not in line and len(line) <= 600
    return line


def test_the_page_loads_nothing_from_elsewhere(port: int):
    for path in ("/", "/studio.js", "/studio.css"):
        status, headers, body = ask(port, path)
        assert status == 200
        assert b"https:" not in body and b"//cdn" not in body
        assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert ask(port, "/../app.py")[0] == ask(port, "/api/nothing")[0] == 404


def test_a_seeds_print_is_that_of_synth(port: int, model):
    shown = made(port, "/api/print", seed="7")
    assert (pixels(shown) == model.synthesize([7])[0]).all()
    truth = model.fingers([7])[0].impression(0, "easy").template
    assert len(shown["minutiae"]) == len(truth.minutiae)
    x, y, angle, kind = shown["minutiae"][0]
    first = truth.minutiae[0]
    assert (x, y, angle, kind) == pytest.approx((first.x, first.y, first.angle, first.type.value), abs=0.06)


def test_an_edit_is_that_of_the_model(port: int, model):
    shown = made(port, "/api/print", seed="7", traits={"moisture": 3.0}, truncation=0.5)
    z = model.z([7])
    *_, plus = model.edit(model.map(z), "moisture", 3.0, truncation=0.5, seeds=[7], z=z)
    assert (pixels(shown) == plus[0]).all()


def test_impressions_are_those_of_dataset(port: int, model):
    steps = MatedSynthesis(model, preset="medium")
    (levels,) = steps.compute(steps.prepare([Mate(7, 2)]))
    pair = made(port, "/api/pair", seed="7", preset="medium", left=0, right=1)
    assert (pixels(pair["prints"][1]) == steps.finish(levels)).all()


def test_mates_are_the_same_minutia_of_the_finger(port: int, model):
    pair = made(port, "/api/pair", seed="7", preset="easy", left=0, right=1)
    left, right = (each["minutiae"] for each in pair["prints"])
    assert len(pair["mates"]) > 20
    assert all(left[one][3] == right[other][3] for one, other in pair["mates"])
    # Both are moved by placement and distortion alone: a rigid motion brings mates close.
    one, other = (
        np.array([m[:2] for m in part])
        for part in ([left[i] for i, _ in pair["mates"]], [right[j] for _, j in pair["mates"]])
    )
    centered = one - one.mean(0), other - other.mean(0)
    u, _, v = np.linalg.svd(centered[0].T @ centered[1])
    assert np.abs(centered[0] @ (u @ v) - centered[1]).max() < 12


def test_score(port: int):
    pytest.importorskip("nbis", reason="needs extra [eval]")
    pair = made(port, "/api/pair", seed="7", preset="easy", left=0, right=1)
    assert pair["score"] >= 40 and pair["remark"] == "a likely match"


def test_without_bozorth3_the_page_says_so(model, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "nbis", None)
    monkeypatch.delitem(sys.modules, "fingergen.runtime.datasets.nist", raising=False)
    studio = Studio(model)
    pair = studio.pair(print_request({"seed": "7"}), (0, 1))
    assert pair.score is None and "pip install 'fingergen[eval]'" in pair.remark
    assert pair.mates


@pytest.mark.parametrize("path", sorted(SAMPLES.iterdir()), ids=lambda path: path.name)
def test_templates_of_every_format_are_read(path: Path):
    size = {} if path.suffix in (".json", ".min") else {"width": 400, "height": 500, "ppi": 500}
    source = print_request({"template": template_fields(path, **size)}).source
    assert source is not None
    assert source.template == read_template(path, **size, on_warning=lambda _: None)


def test_a_reconstruction_is_that_of_the_model(port: int, model):
    path = SAMPLES / "sample.fmr"
    shown = made(port, "/api/print", seed="3", template=template_fields(path))
    assert (pixels(shown) == model.reconstruct(read_template(path), seeds=[3])[0]).all()


@pytest.mark.parametrize("format", [*FORMATS, *WRITABLE])
def test_downloads_in_every_format(seven: Print, format: str):
    file = to_file(seven, "7_0", format)
    name, body = file.name, file.data
    assert name.startswith("7_0.")
    assert seven.template is not None
    if format in WRITABLE:
        read = decode_template(body, name, format, width=512, height=512, on_warning=lambda _: None)
        assert len(read.minutiae) == len(seven.template.minutiae)
        return
    note: dict = {}
    if name.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(body)) as packed:
            name = name.removesuffix(".zip")
            body, note = packed.read(name), json.loads(packed.read(f"{name}.json"))
    content = decode_record(body, name, format, size=(512, 512), ppi=500)
    (image,) = content.images
    assert np.abs(image.pixels.astype(int) - seven.pixels).mean() < 12
    assert len(content.templates) == (format == "ansi-nist")
    if format in ("png", "bmp"):
        assert (note or read_text(body))["synthetic"] == "yes"


def test_a_download_is_the_print_that_is_shown(port: int, seven: Print):
    status, headers, body = ask(port, "/api/file", {"seed": "7", "to": "pgm"})
    assert status == 200
    assert headers["Content-Disposition"] == 'attachment; filename="7_0.pgm.zip"'
    with zipfile.ZipFile(io.BytesIO(body)) as packed:
        (image,) = decode_record(packed.read("7_0.pgm"), "7_0.pgm", ppi=500).images
    assert (image.pixels == seven.pixels).all()


def test_bundles_without_ridge_noise(tiny, tmp_path: Path):
    with served(tiny) as port:
        about = json.loads(ask(port, "/api/about")[2])
        assert about["presets"] == [] and about["traits"][:2] == ["0", "1"] and about["reconstructs"]
        shown = made(port, "/api/print", seed="7")
        assert shown["minutiae"] is None
        assert (pixels(shown) == tiny.synthesize([7])[0]).all()
        moved = made(port, "/api/print", seed="7", traits={"1": 4})
        assert (pixels(moved) != pixels(shown)).any()
        pair = made(port, "/api/pair", seed="7", left=0, right=0)
        assert pair["mates"] == []
        template = Template(64, 64, 500, (Minutia(20, 30, 45), Minutia(40, 20, 200)))
        path = tmp_path / "small.json"
        write_template(path, template)
        rebuilt = made(port, "/api/print", seed="7", template=template_fields(path))
        assert (pixels(rebuilt) == tiny.reconstruct(template, seeds=[7])[0]).all()
        line = refused(port, "/api/file", fields={"seed": "7", "to": "xyt"})
        assert "minutiae of this bundle's prints are not known" in line


def test_bad_requests_are_one_line(port: int, tmp_path: Path):
    path = SAMPLES / "sample.fmr"
    for fields, part in [
        ({"seed": "x"}, "seed 'x'"),
        ({"seed": 7}, "seed 7"),
        ({"seed": str(2**64)}, "2**64 - 1"),
        ({"seed": "9" * 5000}, "2**64 - 1"),
        ({"seed": "0" * 21 + "9" * 30}, "2**64 - 1"),
        ({"seed": "0" * 21 + "1" * 5000}, "2**64 - 1"),
        ({"number": -1}, "number"),
        ({"preset": "no"}, "preset 'no'"),
        ({"preset": []}, "preset []"),
        ({"traits": {"charm": 1}}, "charm"),
        ({"traits": {"moisture": 1e9}}, "trait moisture"),
        ({"traits": {"moisture": float("nan")}}, "trait moisture"),
        ({"traits": {"x" * 100_000: 1}}, "index: xxx"),
        ({"number": 10**4000}, "number: 1000"),
        ({"traits": []}, "traits"),
        ({"truncation": "a"}, "truncation"),
        ({"template": [1]}, "template: give its name"),
        ({"template": {"name": "a.fmr", "data": "?"}}, "a.fmr: its data is not base64"),
        ({"template": {"name": "a.fmr", "data": base64.b64encode(b"FMR\0 20\0").decode()}}, "a.fmr"),
        ({"template": template_fields(path, width=-1)}, "width"),
        ({"template": template_fields(path, format="no")}, "format 'no'"),
        ({"template": {"name": "a.fmr", "data": "A" * (3 << 19)}}, "1 MiB"),
    ]:
        assert part in refused(port, fields=fields)
    assert "choose png" in refused(port, "/api/file", fields={"to": "exe"})
    assert "left" in refused(port, "/api/pair", fields={"right": 1})
    pair = {"template": template_fields(path), "left": 0, "right": 1}
    assert "remove the template" in refused(port, "/api/pair", fields=pair)
    assert "no JSON" in refused(port, body=b"\xff")
    assert "no JSON" in refused(port, body=b"[" * 100_000)
    assert "JSON object" in refused(port, body=b"[]")
    refused(port, status=413, body=b" " * (3 << 20))
    refused(port, status=415, body=b"{}", headers={"Content-Type": "text/plain"})
    assert ask(port, "/", headers={"Host": "elsewhere.example"})[0] == 400
    assert ask(port, "/api/print", {"seed": "7"})[0] == 200  # the server lives


def test_names_from_elsewhere_are_shown_as_text(port: int):
    given = template_fields(SAMPLES / "sample.fmr", width=400) | {"name": "a\x7f\ud800\n.fmr"}
    shown = made(port, "/api/print", template=given)
    assert "a\\x7f\\ud800 .fmr" in shown["caption"]
    assert all(line.isprintable() for line in shown["warnings"]) and shown["warnings"]


def test_a_transactions_minutiae_are_read(port: int, tmp_path: Path):
    from fingergen.runtime.records import Content

    template = read_template(SAMPLES / "sample.fmr")
    path = tmp_path / "finger.an2"
    image = FingerImage(np.full((500, 400), 200, np.uint8), 500)
    write_record(path, Content((image,), (template,)), "ansi-nist")
    shown = made(port, "/api/print", template=template_fields(path))
    assert len(shown["minutiae"]) == len(template.minutiae)
    write_record(path, image, "ansi-nist")
    assert "holds no minutiae" in refused(port, fields={"template": template_fields(path)})


def test_the_command_serves_until_it_is_interrupted(tmp_path: Path):
    bundle = write_tiny_bundle(tmp_path / "tiny")
    program = str(Path(sys.executable).with_name("fg-run"))
    command = [program, "studio", "--bundle", str(bundle), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        port = int(line.partition("127.0.0.1:")[2].partition("/")[0])
        with socket.create_connection(("127.0.0.1", port)) as leaving:
            leaving.sendall(
                b"POST /api/print HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: 99\r\n\r\n{"
            )
        assert ask(port, "/api/print", {"seed": "7"})[0] == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0 and process.stderr.read() == ""
    busy = [*command[:-1], "1", "--host", "192.0.2.1"]  # an address of nobody's (RFC 5737)
    result = subprocess.run(busy, capture_output=True, text=True)
    assert result.returncode == 2
    assert "192.0.2.1 port 1: cannot listen there" in result.stderr and result.stderr.count("\n") == 1
