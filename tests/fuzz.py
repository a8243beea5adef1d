"""Long fuzzing of every reader of files, guided by coverage; the short form is in the tests.

    python -m tests.fuzz                       # lists the readers
    python -m tests.fuzz json --cases 200000   # exits with 0, or prints the input that broke the reader
    nox -s fuzz                                # all of them, 200,000 cases each

A reader must give its result or raise BadInput with one short line, whatever the bytes. Needs the package
`atheris`. An input that breaks a reader is written to a file `crash-…` in the current folder: add it to the
reader's tests.
"""

import argparse
import base64
import io
import json
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import atheris

with atheris.instrument_imports(include=["fingergen"]):
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from fingergen.benchmarks.speed.regression import read_run
    from fingergen.runtime import cbeff
    from fingergen.runtime.bundle.bundle import DEMO, _read_latents, read_manifest
    from fingergen.runtime.bundle.graph_files import has_external_data, has_functions, output_names
    from fingergen.runtime.bundle.manifest import MANIFEST
    from fingergen.runtime.datasets.table import SETTINGS, TABLE, read_rows, read_settings
    from fingergen.runtime.datasets.writer import stated_files
    from fingergen.runtime.errors import BadInput
    from fingergen.runtime.images import decode_image, read_provenance
    from fingergen.runtime.minutiae import FORMATS, Template, decode_template
    from fingergen.runtime.records import FORMATS as RECORDS
    from fingergen.runtime.records import Content, Details, FingerImage, decode_record
    from fingergen.runtime.records.wsq import decode_wsq
    from fingergen.runtime.studio.requests import parse_json, print_request
    from fingergen.training.checkpoints.files import read as read_checkpoint
    from fingergen.training.config import read_configuration
    from fingergen.training.data.masters import read_shard
    from fingergen.training.data.metadata import INDEX, METADATA, keep_metadata, stated_fingers, view_of
    from fingergen.training.data.storage import find_samples
    from fingergen.training.trainers.run_dir import read_rows as read_metrics

from .runtime.test_minutiae_fuzz import sample

DEMO_MANIFEST = read_manifest(DEMO)
SMALL = DEMO_MANIFEST._replace(architecture=DEMO_MANIFEST.architecture._replace(resolution=8, style_dim=4))
LATENTS = {
    "w_avg": np.zeros(4, np.float32),
    "sefa_directions": np.eye(4, dtype=np.float32)[:2],
    "sefa_singular_values": np.ones(2, np.float32),
    **{f"noise_{k}": np.zeros(shape, np.float32) for k, shape in enumerate(SMALL.architecture.noise_shapes)},
    "look_directions": np.zeros((len(SMALL.ridge_noise.looks if SMALL.ridge_noise else ()), 4), np.float32),
}
Reader = Callable[[bytes], object]
RECORD_STANDARDS = ("iso19794-4-2005", "iso19794-4-2011", "iso39794-4", "ansi-nist", "raw")


def template(name: str) -> Reader:
    """A format of templates, read with and without `strict`."""

    def read(data: bytes) -> None:
        for strict in (False, True):
            found = decode_template(
                data, "file", name, width=300, height=400, strict=strict, on_warning=check_line
            )
            assert isinstance(found, Template)

    return read


def any_template(data: bytes) -> None:
    """A template of a format that is to be found, the first byte choosing the extension."""
    suffixes = [suffix for known in FORMATS.values() for suffix in known.extensions]
    suffix = suffixes[data[0] % len(suffixes)] if data else ""
    found = decode_template(data[1:], f"file{suffix}", on_warning=check_line)
    assert isinstance(found, Template)


def image(data: bytes) -> None:
    scan = decode_image(data, "file")
    assert scan.image.mode in ("L", "RGB") and np.asarray(scan.image).size
    assert scan.ppi is None or all(0 < each < float("inf") for each in scan.ppi)


def wsq(data: bytes) -> None:
    try:
        decode_wsq(data)
    except ValueError as error:
        check_line(str(error))


def in_folder(name: str, read: Callable[[Path], object]) -> Reader:
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))

    def read_file(data: bytes) -> None:
        (folder / name).write_bytes(data)
        read(folder)

    return read_file


def record(name: str) -> Reader:
    """A format of image records."""

    def read(data: bytes) -> None:
        check_content(decode_record(data, "file", name, size=(12, 10), ppi=500))

    return read


def any_record(data: bytes) -> None:
    """An image record of a format that is to be found."""
    check_content(decode_record(data, "file"))


def studio(data: bytes) -> None:
    """What the studio's page may send."""
    request = print_request(parse_json(data))
    for warning in request.source.warnings if request.source else ():
        check_line(warning)


def dataset(folder: Path) -> None:
    """What fg-train keeps of a dataset: that of another one, and its own whatever it says."""
    view = view_of(folder)
    assert view is None or min(view) > 0
    try:
        own = json.loads((folder / METADATA).read_bytes())
    except (ValueError, RecursionError):
        own = None
    if not isinstance(own, dict) or own != json.loads(json.dumps(own)):  # no option is NaN
        own = {}
    try:
        keep_metadata(folder, {"size": [64, 64]}, ())
    except BadInput as error:
        check_line(str(error))
    keep_metadata(folder, own, ())


def table(folder: Path) -> None:
    """The manifest of a dataset of fg-run."""
    for row in read_rows(folder / TABLE):
        list(stated_files(row))


def note(folder: Path) -> None:
    """The provenance beside a BMP file."""
    if not (folder / "a.bmp").exists():
        Image.new("L", (8, 8)).save(folder / "a.bmp")
    found = read_provenance(folder / "a.bmp")
    assert all(isinstance(each, str) for item in found.items() for each in item)


def latents(data: bytes) -> None:
    """A bundle's arrays; a case that is no archive is one array of it, for a mutated archive's checksum is
    wrong, and nothing behind that check would be reached."""
    if data and not data.startswith(b"PK"):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            for number, (name, array) in enumerate(LATENTS.items()):
                changed = number == data[0] % len(LATENTS)
                archive.writestr(f"{name}.npy", data[1:] if changed else as_npy(array))
        data = stream.getvalue()
    _read_latents(Path("latents.npz"), data, SMALL)


def as_npy(array: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def graph(data: bytes) -> None:
    """A bundle's graph, whose reader raises ValueError."""
    for read in (has_external_data, has_functions, output_names):
        try:
            read(data)
        except ValueError as error:
            check_line(str(error))


def check_content(content: Content) -> None:
    assert content.images or content.templates
    assert all(image.pixels.size and image.ppi > 0 for image in content.images)


READERS: dict[str, Reader] = {
    **{name: template(name) for name in FORMATS},
    "template": any_template,
    **{name: record(name) for name in RECORD_STANDARDS},
    "record": any_record,
    "studio": studio,
    "image": image,
    "wsq": wsq,
    "shard": in_folder("0.tar", find_samples),
    "metadata": in_folder(INDEX, stated_fingers),
    "dataset": in_folder(METADATA, dataset),
    "set": in_folder(SETTINGS, read_settings),
    "table": in_folder(TABLE, table),
    "note": in_folder("a.bmp.json", note),
    "manifest": in_folder(MANIFEST, read_manifest),
    "latents": latents,
    "graph": graph,
    "options": in_folder("options.yaml", lambda folder: read_configuration(folder / "options.yaml")),
    "checkpoint": in_folder("a.pt", lambda folder: read_checkpoint(folder / "a.pt")),
    "masters": in_folder("a.npz", lambda folder: read_shard(folder / "a.npz")),
    "metrics": in_folder("metrics.jsonl", lambda folder: read_metrics(folder / "metrics.jsonl")),
    "speeds": in_folder("speeds.json", lambda folder: read_run(folder / "speeds.json")),
}


def corpus(reader: str) -> list[bytes]:
    """What a reader's cases start from."""
    levels = np.arange(120, dtype=np.uint8).reshape(10, 12)
    match reader:
        case "image":
            files = []
            for form in ("PNG", "TIFF", "BMP", "JPEG", "JPEG2000", "PPM", "WEBP", "GIF"):
                for pixels in (levels, levels.astype(np.uint16) * 257):
                    stream = io.BytesIO()
                    try:
                        Image.fromarray(pixels).save(stream, form)
                    except (OSError, ValueError):
                        continue  # of 16 bits
                    files.append(stream.getvalue())
            return files
        case "wsq":
            import _wsq

            return [_wsq.compress(np.ascontiguousarray(np.tile(levels, (8, 8))).tobytes(), 96, 80, 500)]
        case "shard":
            import tarfile

            stream = io.BytesIO()
            with tarfile.open(fileobj=stream, mode="w") as archive:
                for name in ("1_1.png", "1_1.json", "1_2.png", "1_2.map.png"):
                    member = tarfile.TarInfo(name)
                    member.size = 5
                    archive.addfile(member, io.BytesIO(b"12345"))
            return [stream.getvalue()]
        case "metadata":
            return [
                (json.dumps({"image": f"images/{k}_1.png", "finger": k}) + "\n").encode() for k in (1, "a")
            ]
        case "template":
            return [b"\0" + sample(name) for name in FORMATS] + [b"\0" + sample("json").hex().encode()]
        case name if name in RECORD_STANDARDS:
            return list(records(name))
        case "record":
            found = [(name, data) for name in RECORD_STANDARDS for data in records(name)]
            when = datetime(2026, 1, 1)
            wrapped = [
                cbeff.wrap(data, name, False, when) for name, data in found if name in cbeff.IDENTIFIERS
            ]
            return [data for _, data in found] + wrapped
        case "dataset":
            made = {"format": "fingergen-data-set", "format_version": 2, "seed": 0, "templates": "json"}
            prepared = {"format": "fingergen-prepared", "target_ppi": 500, "ppi": None, "resample": True}
            stated = (made | {"window": [64, 64], "ppi": 500}, prepared | {"size": [64, 96]})
            return [json.dumps(each).encode() for each in stated]
        case "set" | "note" | "metrics":
            row = {"operation": "dataset", "size": [64, 64], "window": [64, 64], "ppi": 500, "images": 8}
            return [json.dumps(row).encode()]
        case "table":
            from fingergen.runtime.datasets.table import COLUMNS

            files = {"files": "a.png b.json", "bytes": "5 7", "sha256": "a b"}
            row = [files.get(key, key) for key in COLUMNS]
            return ["\n".join(",".join(line) for line in (COLUMNS, row)).encode()]
        case "manifest":
            return [(DEMO / MANIFEST).read_bytes()]
        case "graph":
            import onnx
            from onnx import TensorProto, helper

            vector = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 2]) for name in "xy"]
            weights = helper.make_tensor("b", TensorProto.FLOAT, [2], [0.5, 1.0])
            made = helper.make_graph(
                [helper.make_node("Add", ["x", "b"], ["y"])], "g", vector[:1], vector[1:], [weights]
            )
            return [helper.make_model(made).SerializeToString(), onnx.ModelProto().SerializeToString()]
        case "latents":
            stream = io.BytesIO()
            np.savez(stream, **LATENTS)
            arrays = [bytes([k]) + as_npy(array) for k, array in enumerate(LATENTS.values())]
            return [stream.getvalue(), *arrays]
        case "options":
            return [b"batch: 8\n# no\nlearning-rate: 0.002\nmetrics: [fid, kid]\nname: &a 'x'\nother: *a\n"]
        case "checkpoint":
            import torch

            stream = io.BytesIO()
            torch.save({"g_ema": {"a": torch.zeros(2)}, "config": {"ppi": 500}, "d": {}}, stream)
            return [stream.getvalue(), stream.getvalue()[:-40]]
        case "masters":
            from fingergen.runtime.fingers import make_finger
            from fingergen.training.data.masters import write_shard

            with tempfile.TemporaryDirectory() as folder:
                write_shard(Path(folder) / "a.npz", [make_finger(1, (64, 64))])
                return [(Path(folder) / "a.npz").read_bytes()]
        case "speeds":
            setting = {"executor": "onnxruntime", "precision": "fp32", "threads": 1, "batch": 8}
            return [json.dumps({"results": [{"setting": setting, "relative_speed": 1.5}]}).encode()]
        case "studio":
            given = {
                "name": "a.fmr",
                "data": base64.b64encode(sample("iso19794-2-2005")).decode(),
                "ppi": 500,
            }
            fields = {"seed": "7", "number": 1, "preset": "medium", "traits": {"moisture": 3.0, "1": -1}}
            return [
                json.dumps(fields | {"template": each, "truncation": 0.5}).encode() for each in (None, given)
            ]
        case name:
            return [sample(name)]


def records(name: str) -> Iterator[bytes]:
    """A record of each compression; a transaction also with minutiae and with a Type-4 image."""
    image = FingerImage(np.arange(120, dtype=np.uint8).reshape(10, 12), 500)
    templates = (decode_template(sample("json"), "sample.json"),) if name == "ansi-nist" else ()
    for compression in ("none", "png") if RECORDS[name].compressions else (None,):
        for record_type in (14, 4):
            details = Details(compression, datetime(2026, 1, 1), record_type)
            yield RECORDS[name].encode(Content((image,), templates), details)


def check_line(text: str) -> None:
    """Fail unless a message is one short printable line."""
    assert text and text.isprintable() and len(text) < 600, text


ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    1e999,
    2**64,
    "",
    "64",
    "\ud800",
    "\x1b[2J",
    [],
    [0, 64],
    [[1]],
    {},
    {"a": 1},
]


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Half of the mutations of a JSON object change one value and leave it JSON."""
    random = Random(seed)
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        fields = None
    places = list(values_of(fields)) if isinstance(fields, dict) else []
    if places and random.random() < 0.5:
        holder, key = random.choice(places)
        holder[key] = random.choice(ODD)
        changed = json.dumps(fields).encode()
        if len(changed) <= max_size:
            return changed
    return atheris.Mutate(data, max_size)


def values_of(fields: Any) -> Iterator[tuple[Any, Any]]:
    """Where the values of a JSON object lie: in which object or list, at which key or index."""
    inner = fields.items() if isinstance(fields, dict) else enumerate(fields)
    for key, value in list(inner):
        yield fields, key
        if isinstance(value, dict | list):
            yield from values_of(value)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("reader", nargs="?", choices=READERS)
    parser.add_argument("--cases", type=int, default=200_000)
    arguments = parser.parse_args()
    if arguments.reader is None:
        print("\n".join(READERS))
        return
    read = READERS[arguments.reader]
    counts = {"cases": 0, "read": 0, "refused": 0}
    start = time.monotonic()

    def one_case(data: bytes) -> None:
        counts["cases"] += 1
        try:
            read(data)
        except BadInput as error:
            check_line(str(error))
            counts["refused"] += 1
        else:
            counts["read"] += 1
        if counts["cases"] % 10_000 == 0:
            print(f"{arguments.reader}: {counts} in {time.monotonic() - start:.0f} s", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        contents = list(corpus(arguments.reader))
        for number, content in enumerate(contents):
            (Path(folder) / str(number)).write_bytes(content)
            one_case(content)
        # A call for every mutation, several of which make a case, takes longer than most readers.
        mutator = mutate if any(content.startswith(b"{") for content in contents) else None
        options = [
            f"-runs={arguments.cases}",
            "-max_len=20000",
            "-timeout=60",
            "-print_final_stats=1",
            "-reduce_inputs=0",  # whole files say more than what is left of them
            folder,
        ]
        atheris.Setup([sys.argv[0], *options], one_case, custom_mutator=mutator)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
