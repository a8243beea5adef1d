"""A bundle as a model repository of NVIDIA Triton Inference Server.

The folder holds one model for each operation that the bundle can do:

    synthesize/  config.pbtxt  1/model.py  bundle/       the bundle itself, which the others refer to
    reconstruct/ config.pbtxt  1/model.py
    edit/        config.pbtxt  1/model.py
    impression/  config.pbtxt  1/model.py                of ridge noise

Each model answers a request of its own before the server calls it ready.
"""

from __future__ import annotations

from pathlib import Path

from fingergen.runtime.bundle import check_replaceable, read_bundle, write_bundle
from fingergen.runtime.bundle.manifest import Manifest
from fingergen.runtime.errors import BadInput
from fingergen.runtime.files import recover_folder, replacing
from fingergen.runtime.serving import OPERATIONS, Operation, Tensor

LARGEST_BATCH = 32
QUEUE_DELAY = 2000  # microseconds that a request waits for others to share its batch
LONGEST_QUEUE = 256  # requests that wait; the next is refused at once, so that clients notice
_BUNDLE = "bundle"
_HOLDS_BUNDLE = "synthesize"
_RAGGED = " allow_ragged_batch: true"  # of an input whose length differs between requests
_MODEL = '''"""Started by Triton's Python backend; needs the package fingergen in its Python."""

from fingergen.runtime.serving.triton import TritonPythonModel

__all__ = ["TritonPythonModel"]
'''


def write_model_repository(bundle: Path, out: Path, overwrite: bool = False) -> list[str]:
    """Write a model repository for a bundle: made beside `out` and moved into place at once.

    Args:
        bundle: The bundle; it is copied.
        out: The repository.
        overwrite: Replace the repository at `out`.

    Returns:
        The names of its models.

    Raises:
        BadInput: If the bundle is not whole, or `out` may not be replaced.
    """
    opened = read_bundle(bundle)
    recover_folder(out)
    check_repository(out, overwrite)
    manifest = opened.manifest
    possible = {name: each for name, each in OPERATIONS.items() if each.is_possible(manifest)}
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out, new=not overwrite) as folder:
        for name, operation in possible.items():
            (folder / name / "1").mkdir(parents=True)
            (folder / name / "1" / "model.py").write_text(_MODEL)
            (folder / name / "config.pbtxt").write_text(configuration(name, operation, manifest))
        contents = {file: opened.read(file) for file in manifest.files}
        write_bundle(folder / _HOLDS_BUNDLE / _BUNDLE, manifest, contents)
        check_repository(out, overwrite)  # again: another process may have come between
    return list(possible)


def check_repository(out: Path, overwrite: bool) -> None:
    """BadInput unless `out` is absent or, with `overwrite`, a model repository that was written here."""
    if not out.exists():
        return
    if not overwrite:
        raise BadInput(f"{out}: exists already (pass --overwrite to replace it)")
    others = {path.name for path in out.iterdir()} - set(OPERATIONS)
    if others or not (out / _HOLDS_BUNDLE / "config.pbtxt").is_file():
        raise BadInput(f"{out}: exists and is not a model repository of FingerGen; it will not be replaced")
    bundle = out / _HOLDS_BUNDLE / _BUNDLE
    ours = {out / name / file for name in OPERATIONS for file in ("config.pbtxt", "1/model.py")}
    for path in sorted(out.rglob("*")):
        if not path.is_dir() and path not in ours and not path.is_relative_to(bundle):
            raise BadInput(
                f"{path}: not of this model repository, which would be replaced; move it elsewhere"
            )
    check_replaceable(bundle, overwrite)


def configuration(name: str, operation: type[Operation], manifest: Manifest) -> str:
    """The file `config.pbtxt` of a model."""
    bundle = _BUNDLE if name == _HOLDS_BUNDLE else f"../{_HOLDS_BUNDLE}/{_BUNDLE}"
    parameters = {"operation": name, "bundle": bundle, "backend": "auto", "threads": "0"}
    blocks = [
        f'name: "{name}"',
        'backend: "python"',
        f"max_batch_size: {LARGEST_BATCH}",
        *(f"input [ {_tensor(each, _RAGGED if -1 in each.dims else '')} ]" for each in operation.inputs),
        *(f"output [ {_tensor(each)} ]" for each in operation.outputs(manifest)),
        "# One instance keeps the processor or GPU busy: it computes a batch at a time with all threads.",
        "instance_group [ { kind: KIND_CPU count: 1 } ]",
        "dynamic_batching {",
        f"  max_queue_delay_microseconds: {QUEUE_DELAY}",
        f"  default_queue_policy {{ max_queue_size: {LONGEST_QUEUE} }}",
        "}",
        "# backend: as fg-run's --backend; threads: 0 is one for each usable core.",
        *(
            f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}'
            for key, value in parameters.items()
        ),
    ]
    return "\n".join(blocks) + "\n"


def _tensor(tensor: Tensor, options: str = "") -> str:
    dims = ", ".join(map(str, tensor.dims))
    options += " optional: true" if tensor.optional else ""
    return f'{{ name: "{tensor.name}" data_type: {tensor.data_type} dims: [ {dims} ]{options} }}'
