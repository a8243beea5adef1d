"""Bundles: what is written is read back; whatever is wrong is one clear line before any graph is loaded."""

import dataclasses
import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from fingergen.runtime.bundle import Latents, read_bundle, read_manifest, write_bundle
from fingergen.runtime.bundle import bundle as bundle_module
from fingergen.runtime.bundle.manifest import Architecture, EncoderInput, Engine, Graphs, ImageSize, Manifest
from fingergen.runtime.errors import BadInput

ARCHITECTURE = Architecture(
    resolution=16, channels=1, style_dim=8, num_ws=6, n_mlp=2, channel_base=64, channel_max=4
)
MANIFEST = Manifest(
    name="test",
    architecture=ARCHITECTURE,
    image=ImageSize(ppi=250, output_size=32, output_ppi=500),
    encoder=EncoderInput(input_size=32, w_plus=False),
    graphs=Graphs("mapping.onnx", "synthesis.onnx", "encoder.onnx", "decoder.onnx"),
    tools={"fingergen": "0.1.0"},
    provenance={
        "created": "2026-01-01T00:00:00Z",
        "checkpoints": [{"file": "g.pt", "role": "generator", "sha256": "0" * 64}],
    },
    parity={"mapping": {"max_abs_error": 1e-6, "tolerance": 1e-4, "batches": [1, 3, 8], "seeds": 8}},
    engines=(Engine("engines/a.engine", "synthesis", "TensorRT", "10.14", ("sm_90",), "fp16", (1, 8, 64)),),
)


def latents(value: float = 0.5) -> Latents:
    noise = tuple(np.full(shape, value, np.float32) for shape in ARCHITECTURE.noise_shapes)
    return Latents(
        np.full(8, value, np.float32),
        np.eye(8, dtype=np.float32),
        np.arange(8, 0, -1, np.float32),
        noise,
        noise,
    )


def graph(producer: str) -> bytes:
    """The smallest ONNX file: a model whose only field is producer_name."""
    return bytes([0x12, len(producer)]) + producer.encode()


CONTENTS = {
    "mapping.onnx": graph("mapping"),
    "synthesis.onnx": graph("synthesis"),
    "encoder.onnx": graph("encoder"),
    "decoder.onnx": graph("decoder"),
    "engines/a.engine": b"engine",
    "latents.npz": latents().to_bytes(),
}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "bundle", MANIFEST, CONTENTS)
    return tmp_path / "bundle"


def rewrite(bundle: Path, change) -> None:
    """Change the parsed bundle.json in place."""
    content = json.loads((bundle / "bundle.json").read_text())
    change(content)
    (bundle / "bundle.json").write_text(json.dumps(content))


def test_round_trip(bundle: Path):
    read = read_bundle(bundle)
    assert read.manifest._replace(files={}) == MANIFEST
    record = read.manifest.files["mapping.onnx"]
    assert (record.bytes, record.sha256) == (9, hashlib.sha256(graph("mapping")).hexdigest())
    assert read.sha256 == hashlib.sha256((bundle / "bundle.json").read_bytes()).hexdigest()
    assert read.latents.w_avg.tolist() == [0.5] * 8
    assert [a.shape for a in read.latents.decoder_noise] == ARCHITECTURE.noise_shapes
    assert read.file("engines/a.engine").read_bytes() == b"engine"


def test_files_may_be_copied_from_elsewhere(tmp_path: Path):
    (tmp_path / "graph").write_bytes(graph("from a file"))
    written = write_bundle(tmp_path / "b", MANIFEST, CONTENTS | {"mapping.onnx": tmp_path / "graph"})
    assert (tmp_path / "b/mapping.onnx").read_bytes() == graph("from a file")
    assert written == read_manifest(tmp_path / "b")


def test_noise_shapes_of_the_published_generator():
    sizes = [h for _, _, h, _ in Architecture(256, 1, 512, 14, 8, 32768, 512).noise_shapes]
    assert sizes == [4, 8, 8, 16, 16, 32, 32, 64, 64, 128, 128, 256, 256]


def test_files_that_appear_while_it_is_written_are_kept(bundle: Path, monkeypatch: pytest.MonkeyPatch):
    """Of the user, or another process's whole bundle."""
    write = bundle_module.write_atomically

    def write_and_interfere(path: Path, content: bytes) -> None:
        write(path, content)
        (bundle / "notes.txt").write_text("mine")

    monkeypatch.setattr(bundle_module, "write_atomically", write_and_interfere)
    with pytest.raises(BadInput, match=r"notes\.txt"):
        write_bundle(bundle, MANIFEST, CONTENTS, overwrite=True)
    assert (bundle / "notes.txt").read_text() == "mine"
    (bundle / "notes.txt").unlink()
    away = bundle.rename(bundle.with_name("away"))
    monkeypatch.setattr(
        bundle_module,
        "write_atomically",
        lambda *it: (write(*it), bundle.exists() or shutil.copytree(away, bundle)),
    )
    with pytest.raises(BadInput, match="exists already"):
        write_bundle(bundle, MANIFEST, CONTENTS)
    assert read_bundle(bundle).sha256 == read_bundle(away).sha256


def test_existing_bundle_needs_overwrite_and_survives_a_failure(bundle: Path):
    with pytest.raises(BadInput, match="exists already"):
        write_bundle(bundle, MANIFEST, CONTENTS)
    with pytest.raises(BadInput, match=r"synthesis\.onnx has no entry"):
        write_bundle(bundle, MANIFEST, {"mapping.onnx": graph("half a bundle")}, overwrite=True)
    assert (bundle / "mapping.onnx").read_bytes() == CONTENTS["mapping.onnx"]
    write_bundle(bundle, MANIFEST, CONTENTS | {"mapping.onnx": graph("new")}, overwrite=True)
    assert (bundle / "mapping.onnx").read_bytes() == graph("new")
    assert [p.name for p in bundle.parent.iterdir()] == ["bundle"]


def test_a_folder_that_is_no_bundle_is_never_replaced(tmp_path: Path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home/thesis.txt").write_text("years of work")
    with pytest.raises(BadInput, match="will not be replaced"):
        write_bundle(tmp_path / "home", MANIFEST, CONTENTS, overwrite=True)
    assert (tmp_path / "home/thesis.txt").exists()


def nested(levels: int) -> list:
    value: list = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "bundle.json", "a/../../outside"])
def test_writing_stays_inside(tmp_path: Path, name: str):
    with pytest.raises(BadInput, match="not a path inside"):
        write_bundle(tmp_path / "b", MANIFEST, CONTENTS | {name: b""})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(format="zip"), "format"),
        (lambda c: c.update(format_version=2), "format_version: 2; this FingerGen reads version 1"),
        (lambda c: c.pop("name"), "'name' is a required property"),
        (lambda c: c["image"].update(ppi=-1), "image.ppi: -1"),
        (lambda c: c["image"].update(ppi=float("nan")), "NaN is not a number"),
        (lambda c: c["image"].update(ppi=5e-324), "image.ppi: 5e-324"),
        (lambda c: c["image"].update(output_ppi=600), "image.output_ppi: 600"),
        (lambda c: c["image"].update(output_size=32.0), "image.output_size: 32.0 is not of type 'integer'"),
        (lambda c: c["architecture"].update(resolution=16.0), "architecture.resolution: 16.0"),
        (lambda c: c.update(format_version=1.0), "format_version: 1.0"),
        (lambda c: c.update(name="\ud800"), "name: holds half of a surrogate pair"),
        (lambda c: c["provenance"].update(big=10**30), "provenance.big: too large a number"),
        (lambda c: c["provenance"].update(deep=nested(40)), "more than 32 levels deep"),
        (lambda c: c["encoder"].update(noise_layers=list(range(10**5))), "100000 items; at most 4096"),
        (lambda c: c["architecture"].update(num_ws=7), "architecture.num_ws: 7; resolution 16 has 6"),
        (lambda c: c["architecture"].update(resolution=17), "architecture.resolution: 17"),
        (lambda c: c.update(encoder=None), "encoder: graphs.encoder and encoder"),
        (lambda c: c.update(surprise=1), "surprise"),
        (lambda c: c["files"].pop("mapping.onnx"), "mapping: mapping.onnx has no entry"),
        (lambda c: c["files"].pop("engines/a.engine"), "engines.0: engines/a.engine has no entry"),
        (lambda c: c["graphs"].update(mapping="../mapping.onnx"), "graphs.mapping: '../mapping.onnx'"),
        (lambda c: c.update(latents="/etc/passwd"), "latents: '/etc/passwd'"),
        (lambda c: c["files"].update({"../x": {"sha256": "0" * 64, "bytes": 0}}), "'../x'"),
        (lambda c: c["files"]["mapping.onnx"].update(sha256="0" * 64), "mapping.onnx: its SHA-256"),
        (lambda c: c["files"]["mapping.onnx"].update(bytes=8), "mapping.onnx: 9 bytes, not the manifest's 8"),
    ],
)
def test_wrong_manifest(bundle: Path, change, message: str):
    rewrite(bundle, change)
    with pytest.raises(BadInput) as caught:
        read_bundle(bundle)
    assert message in str(caught.value) and str(bundle) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_number_beyond_all_floats(bundle: Path):
    text = (bundle / "bundle.json").read_text()
    (bundle / "bundle.json").write_text(re.sub(r'"output_ppi": [\d.]+', '"output_ppi": 1e999', text))
    with pytest.raises(BadInput, match=r"bundle\.json: image\.output_ppi: too large a number"):
        read_bundle(bundle)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b"null"])
def test_manifest_that_is_no_json_object(bundle: Path, raw: bytes):
    (bundle / "bundle.json").write_bytes(raw)
    with pytest.raises(BadInput, match=r"bundle\.json"):
        read_bundle(bundle)


def test_damaged_missing_and_linked_files(bundle: Path, tmp_path: Path):
    (bundle / "encoder.onnx").write_bytes(graph("ENCODER"))
    with pytest.raises(BadInput, match=r"encoder\.onnx: its SHA-256"):
        read_bundle(bundle)
    (bundle / "encoder.onnx").unlink()
    with pytest.raises(BadInput, match=r"encoder\.onnx: missing"):
        read_bundle(bundle)
    (tmp_path / "outside").write_bytes(b"encoder")
    (bundle / "encoder.onnx").symlink_to(tmp_path / "outside")
    with pytest.raises(BadInput, match="leads out of the bundle"):
        read_bundle(bundle)
    with pytest.raises(BadInput, match="no such bundle"):
        read_bundle(tmp_path / "nowhere")
    with pytest.raises(BadInput, match=r"no bundle\.json"):
        read_bundle(tmp_path)


class Exploit:
    ran = False

    def __reduce__(self):
        return (setattr, (Exploit, "ran", True))


def test_no_pickle_in_latents(tmp_path: Path):
    import io

    stream = io.BytesIO()
    np.savez(stream, w_avg=np.array([Exploit()], dtype=object))
    with pytest.raises(BadInput, match="not an archive of plain arrays"):
        write_bundle(tmp_path / "b", MANIFEST, CONTENTS | {"latents.npz": stream.getvalue()})
    assert not Exploit.ran


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"w_avg": np.zeros(9, np.float32)}, r"w_avg: float32 \(9,\); must be float32 \(8,\)"),
        ({"w_avg": np.full(8, np.nan, np.float32)}, "w_avg: has values that are not finite"),
        ({"sefa_directions": np.zeros((3, 8), np.float32)}, "sefa_directions"),
        ({"sefa_singular_values": np.float32(1)}, r"sefa_directions: .* must be float32 \(1, 8\)"),
        ({"noise": ()}, "noise_0: missing"),
        ({"decoder_noise": None}, "decoder_noise_0: missing"),
    ],
)
def test_wrong_latents(tmp_path: Path, change, message: str):
    wrong = dataclasses.replace(latents(), **change)
    with pytest.raises(BadInput, match=message):
        write_bundle(tmp_path / "b", MANIFEST, CONTENTS | {"latents.npz": wrong.to_bytes()})


@pytest.mark.parametrize("raw", [b"", b"PK\x03\x04", b"garbage", CONTENTS["latents.npz"][:-50]])
def test_latents_that_are_no_archive(tmp_path: Path, raw: bytes):
    with pytest.raises(BadInput, match=r"latents\.npz"):
        write_bundle(tmp_path / "b", MANIFEST, CONTENTS | {"latents.npz": raw})


class TestWhatRunsIsWhatWasChecked:
    def test_read_gives_checked_bytes(self, bundle: Path):
        opened = read_bundle(bundle)
        assert opened.read("engines/a.engine") == b"engine"
        (bundle / "engines/a.engine").write_bytes(b"ENGINE")
        with pytest.raises(BadInput, match=r"a\.engine: its SHA-256 is not the manifest's"):
            opened.read("engines/a.engine")
        (bundle / "engines/a.engine").write_bytes(b"engine, and more")
        with pytest.raises(BadInput, match=r"a\.engine: 16 bytes, not the manifest's 6"):
            opened.read("engines/a.engine")
        with pytest.raises(KeyError):
            opened.read("bundle.json")

    @pytest.mark.parametrize("name", ["weights.bin", "engines/b.engine", "a/b/c"])
    def test_unlisted_files(self, bundle: Path, name: str):
        (bundle / name).parent.mkdir(parents=True, exist_ok=True)
        (bundle / name).touch()
        with pytest.raises(BadInput, match=f"{name}: a file that the bundle's manifest does not list"):
            read_bundle(bundle)

    def test_what_a_file_manager_leaves_is_passed_over(self, bundle: Path):
        (bundle / ".DS_Store").touch()
        assert read_bundle(bundle).manifest.name == "test"

    @pytest.mark.parametrize("hidden", [False, True])
    def test_overwriting_deletes_nothing_of_the_user(self, bundle: Path, hidden: bool):
        thesis = bundle / (".thesis.txt" if hidden else "thesis.txt")
        thesis.write_text("years of work")
        with pytest.raises(BadInput, match=r"will not be replaced; .*thesis\.txt"):
            write_bundle(bundle, MANIFEST, CONTENTS, overwrite=True)
        assert thesis.exists()

    @pytest.mark.parametrize("inside", ["initializer", "constant", "function", "subgraph"])
    def test_weights_in_another_file(self, tmp_path: Path, inside: str):
        (tmp_path / "w").write_bytes(np.ones(4, np.float32).tobytes())
        wrong = external(inside)
        assert b"w" in wrong
        for name in ("synthesis.onnx", "half.onnx"):
            manifest = MANIFEST._replace(precisions={"fp16": {"synthesis": "half.onnx"}})
            contents = CONTENTS | {"half.onnx": graph("half"), name: wrong}
            with pytest.raises(BadInput, match=f"{name}: has weights in another file"):
                write_bundle(tmp_path / "b", manifest, contents)

    @pytest.mark.parametrize("content", [b"mapping", b"\x12\xff", b"\x3a" * 300, b"\x0b\x0c", b"\xff" * 11])
    def test_graphs_that_are_none(self, tmp_path: Path, content: bytes):
        with pytest.raises(BadInput, match=r"mapping\.onnx: not an ONNX graph"):
            write_bundle(tmp_path / "b", MANIFEST, CONTENTS | {"mapping.onnx": content})


def external(inside: str) -> bytes:
    """An ONNX file with a tensor whose data is in the file `w`, in one of the places that tensors have."""
    import onnx
    from onnx import helper

    tensor = helper.make_tensor("w", onnx.TensorProto.FLOAT, [4], np.zeros(4, np.float32))
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="w")
    constant = helper.make_node("Constant", [], ["c"], value=tensor)
    out = helper.make_tensor_value_info("c", onnx.TensorProto.FLOAT, [4])
    body = helper.make_graph([constant], "body", [], [out])
    match inside:
        case "initializer":
            whole = helper.make_graph([helper.make_node("Identity", ["w"], ["c"])], "g", [], [out], [tensor])
        case "subgraph":
            branch = helper.make_node("If", ["x"], ["c"], then_branch=body, else_branch=body)
            whole = helper.make_graph([branch], "g", [], [out])
        case _:
            whole = body
    model = helper.make_model(whole)
    if inside == "function":
        model.functions.append(helper.make_function("d", "F", [], ["c"], [constant], []))
        del model.graph.node[:]
    return model.SerializeToString()
