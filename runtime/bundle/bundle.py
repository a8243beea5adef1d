"""The bundle: a directory of ONNX graphs, latents and a manifest that has every file's SHA-256 and size.

Nothing in it is a pickle. Reading checks everything before any graph is loaded; writing makes the bundle
beside its final place and renames it there, so a bundle is whole or absent.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from .manifest import MANIFEST, FileRecord, Manifest

MANIFEST_BYTES = 4 * 2**20
LATENTS_BYTES = 512 * 2**20


@dataclass(frozen=True, eq=False)
class Latents:
    """`latents.npz`, all float32.

    `w_avg` (style_dim,); `sefa_directions` (K, style_dim), a row a direction, largest singular value first,
    its component of largest magnitude positive; `sefa_singular_values` (K,); `noise`: the stored buffers, of
    shapes `Architecture.noise_shapes`; `decoder_noise`: the decoder's, where the bundle has a decoder graph.
    """

    w_avg: NDArray[np.float32]
    sefa_directions: NDArray[np.float32]
    sefa_singular_values: NDArray[np.float32]
    noise: tuple[NDArray[np.float32], ...]
    decoder_noise: tuple[NDArray[np.float32], ...] | None = None

    def to_bytes(self) -> bytes:
        """The content of `latents.npz`."""
        arrays = {
            "w_avg": self.w_avg,
            "sefa_directions": self.sefa_directions,
            "sefa_singular_values": self.sefa_singular_values,
        }
        arrays |= {f"noise_{i}": buffer for i, buffer in enumerate(self.noise)}
        arrays |= {f"decoder_noise_{i}": buffer for i, buffer in enumerate(self.decoder_noise or ())}
        stream = io.BytesIO()
        np.savez(stream, allow_pickle=False, **{key: np.asarray(a, np.float32) for key, a in arrays.items()})
        return stream.getvalue()


@dataclass(frozen=True, eq=False)
class Bundle:
    """A verified bundle. `sha256`: of `bundle.json`, which has every other file's, so it names them all."""

    path: Path
    manifest: Manifest
    latents: Latents
    sha256: str

    def file(self, name: str) -> Path:
        """Full path of a file of the bundle, given as in the manifest."""
        return self.path / name


def read_manifest(path: str | Path) -> Manifest:
    """The manifest of the bundle directory `path`, no other file read; `BadInput` if it is malformed."""
    return _read_manifest(Path(path))[0]


def read_bundle(path: str | Path) -> Bundle:
    """Verify the bundle directory `path` (schema, paths, sizes, hashes, latents) and read its latents.

    `BadInput` names the file that is wrong.
    """
    path = Path(path)
    manifest, sha256 = _read_manifest(path)
    for name, record in manifest.files.items():
        _check_file(path, name, record)
    latents = _read_latents(path / manifest.latents, manifest)
    return Bundle(path, manifest, latents, sha256)


def write_bundle(
    out: str | Path,
    manifest: Manifest,
    contents: Mapping[str, bytes | Path],
    overwrite: bool = False,
) -> Manifest:
    """Write a bundle directory and return its manifest, completed with every file's hash and size.

    `contents`: bundle path → the file's bytes, or a file to copy. The bundle is made beside `out`, verified,
    and renamed into place; on any failure `out` is as it was. `BadInput` if `out` exists without `overwrite`.
    """
    out = Path(out)
    if out.exists() and not overwrite:
        raise BadInput(f"{out}: exists already (pass --overwrite to replace it)")
    if out.exists() and not (out / MANIFEST).is_file():
        raise BadInput(f"{out}: exists and is no bundle; it will not be replaced")
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        new, old = beside / "new", beside / "old"
        new.mkdir()
        files = {name: _write_file(new, name, content) for name, content in sorted(contents.items())}
        manifest = dataclasses.replace(manifest, files=files)
        text = json.dumps(manifest.to_json(), indent=2) + "\n"
        (new / MANIFEST).write_text(text, encoding="utf-8")
        read_bundle(new)
        if out.exists():
            out.rename(old)
        try:
            new.rename(out)
        except OSError:
            if old.exists():
                old.rename(out)
            raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return manifest


def _write_file(folder: Path, name: str, content: bytes | Path) -> FileRecord:
    target = folder / name
    if not target.resolve().is_relative_to(folder.resolve()) or name == MANIFEST:
        raise BadInput(f"bundle file {name!r}: not a path inside the bundle")
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        target.write_bytes(content)
    else:
        shutil.copyfile(content, target)
    return FileRecord(_sha256(target), target.stat().st_size)


def _read_manifest(path: Path) -> tuple[Manifest, str]:
    """The manifest and the SHA-256 of its file."""
    source = path / MANIFEST
    if not path.is_dir():
        raise BadInput(f"{path}: no such bundle directory")
    if not source.is_file():
        raise BadInput(f"{path}: not a bundle: it has no {MANIFEST}")
    if source.stat().st_size > MANIFEST_BYTES:
        raise BadInput(f"{source}: larger than {MANIFEST_BYTES} bytes; not a bundle manifest")
    raw = source.read_bytes()
    try:
        content = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{source}: not JSON: {error}") from None
    return Manifest.from_json(content, str(source)), hashlib.sha256(raw).hexdigest()


def _no_constant(name: str) -> None:
    """Python's parser would take NaN and Infinity, which are no JSON."""
    raise ValueError(f"{name} is no number")


def _check_file(folder: Path, name: str, record: FileRecord) -> None:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise BadInput(f"{path}: a link that leads out of the bundle")
    if not path.is_file():
        raise BadInput(f"{path}: missing from the bundle")
    size = path.stat().st_size
    if size != record.bytes:
        raise BadInput(f"{path}: {size} bytes, not the manifest's {record.bytes}; it is damaged or changed")
    if _sha256(path) != record.sha256:
        raise BadInput(f"{path}: its SHA-256 is not the manifest's; it is damaged or changed")


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read_latents(path: Path, manifest: Manifest) -> Latents:
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > LATENTS_BYTES:
            raise BadInput(f"{path}: unpacks to {unpacked} bytes; at most {LATENTS_BYTES} are read")
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise BadInput(f"{path}: not an archive of plain arrays: {error}") from None
    architecture, style_dim = manifest.architecture, manifest.architecture.style_dim
    directions = arrays.get("sefa_singular_values", np.empty(0)).size

    def take(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        array = arrays.get(name)
        if array is None:
            raise BadInput(f"{path}: {name}: missing")
        if array.dtype != np.float32 or array.shape != shape:
            raise BadInput(f"{path}: {name}: {array.dtype} {array.shape}; must be float32 {shape}")
        if not np.isfinite(array).all():
            raise BadInput(f"{path}: {name}: has values that are not finite")
        return array

    def take_noise(prefix: str) -> tuple[NDArray[np.float32], ...]:
        return tuple(take(f"{prefix}_{i}", shape) for i, shape in enumerate(architecture.noise_shapes))

    return Latents(
        w_avg=take("w_avg", (style_dim,)),
        sefa_directions=take("sefa_directions", (directions, style_dim)),
        sefa_singular_values=take("sefa_singular_values", (directions,)),
        noise=take_noise("noise"),
        decoder_noise=take_noise("decoder_noise") if manifest.graphs.decoder else None,
    )
