"""The bundle: a directory of ONNX graphs, latents and a manifest that has every file's SHA-256 and size.

Nothing in it is a pickle. Reading checks everything before any graph is loaded; writing makes the bundle
beside its final place and renames it there, so a bundle is whole or absent.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from ..files import recover_folder, replacing, write_atomically
from .graph_files import has_external_data, output_names
from .manifest import MANIFEST, FileRecord, Manifest

DEMO = Path(__file__).resolve().parents[1] / "demo"  # a strict editable install links every file
MANIFEST_BYTES = 4 * 2**20
LATENTS_BYTES = 512 * 2**20


@dataclass(frozen=True, eq=False)
class Latents:
    """The arrays of `latents.npz`, all float32.

    Attributes:
        w_avg: (style_dim,), the center of truncation.
        sefa_directions: (K, style_dim), one direction per row, largest singular value first, its component of
            largest magnitude positive.
        sefa_singular_values: (K,).
        noise: The stored buffers, of shapes `Architecture.noise_shapes`.
        decoder_noise: Those of the decoder; None where the bundle has no decoder graph.
        look_directions: (L, style_dim): for each of the manifest's `ridge_noise.looks`, how w changes with
            half a standard deviation of that number of z; None where it names none.
    """

    w_avg: NDArray[np.float32]
    sefa_directions: NDArray[np.float32]
    sefa_singular_values: NDArray[np.float32]
    noise: tuple[NDArray[np.float32], ...]
    decoder_noise: tuple[NDArray[np.float32], ...] | None = None
    look_directions: NDArray[np.float32] | None = None

    def to_bytes(self) -> bytes:
        """The content of the file `latents.npz`.

        Returns:
            An uncompressed archive of float32 arrays, without pickles.
        """
        arrays = {
            "w_avg": self.w_avg,
            "sefa_directions": self.sefa_directions,
            "sefa_singular_values": self.sefa_singular_values,
        }
        arrays |= {f"noise_{i}": buffer for i, buffer in enumerate(self.noise)}
        arrays |= {f"decoder_noise_{i}": buffer for i, buffer in enumerate(self.decoder_noise or ())}
        if self.look_directions is not None:
            arrays["look_directions"] = self.look_directions
        stream = io.BytesIO()
        np.savez(stream, allow_pickle=False, **{key: np.asarray(a, np.float32) for key, a in arrays.items()})
        return stream.getvalue()


@dataclass(frozen=True, eq=False)
class Bundle:
    """A verified bundle.

    Attributes:
        path: Its directory.
        manifest: What `bundle.json` says.
        latents: What `latents.npz` holds.
        sha256: Of `bundle.json`, which has every other file's, so that it names them all.
        outputs: For each ONNX graph, by its path in the bundle, the names of its outputs.
    """

    path: Path
    manifest: Manifest
    latents: Latents
    sha256: str
    outputs: Mapping[str, Sequence[str]]

    def file(self, name: str) -> Path:
        """Full path of a file, for messages; `read` has the content.

        Args:
            name: The file's path in the bundle, as in the manifest.

        Returns:
            The path with the bundle's directory; nothing is opened.
        """
        return self.path / name

    def read(self, name: str) -> bytes:
        """The content of a file of the bundle, checked against the manifest.

        What runs must be what was checked, so a graph or an engine is loaded from these bytes, never from the
        file's path: the file may have changed since the bundle was opened. What has the same hash still is
        what `read_bundle` looked into, such as a graph that holds all its weights.

        Args:
            name: The file's path in the bundle, as in the manifest.

        Returns:
            All bytes of the file.

        Raises:
            BadInput: The file is missing, its size or SHA-256 is not the manifest's, or it is a link that
                leads out of the bundle.
            KeyError: The manifest lists no such file.
        """
        return _read_file(self.path, name, self.manifest.files[name])

    def direction(self, index: int | str) -> NDArray[np.float32]:
        """A direction of edits.

        Args:
            index: Number of a SeFa direction, or name of a trait.

        Returns:
            float32 (style_dim,).

        Raises:
            BadInput: If the bundle has none of this number or name.
        """
        names, named = self.traits, self.latents.look_directions
        if named is not None and isinstance(index, str) and index in names:
            return named[names.index(index)]
        count = len(self.latents.sefa_directions)
        if isinstance(index, bool | str) or not isinstance(index, Integral) or not 0 <= index < count:
            traits = f" and {', '.join(names)}" if names else ""
            raise BadInput(f"index: {index}; this bundle has directions 0-{count - 1}{traits}")
        return self.latents.sefa_directions[index]

    @property
    def traits(self) -> tuple[str, ...]:
        """Names that `direction` takes: none where the bundle names no numbers of z."""
        noise = self.manifest.ridge_noise
        return noise.looks if noise else ()


def read_manifest(path: str | Path) -> Manifest:
    """The manifest of a bundle; no other file is read.

    Args:
        path: The bundle's directory.

    Returns:
        What `bundle.json` says, checked against its schema.

    Raises:
        BadInput: There is no bundle, or its manifest is malformed.
    """
    return _read_manifest(Path(path))[0]


def read_bundle(path: str | Path) -> Bundle:
    """Verify a bundle directory and read its latents.

    Args:
        path: The directory.

    Returns:
        The bundle, every file of which has the hash that the manifest states.

    Raises:
        BadInput: Names the file and the field that are wrong: the manifest is malformed; a file is missing,
            not listed, changed or a link that leads out of the bundle; a graph has weights in another file;
            the latents do not fit the architecture.
    """
    path = Path(path)
    manifest, sha256 = _read_manifest(path)
    _refuse_unlisted(path, manifest)
    graphs, outputs = manifest.graph_files(), {}
    for name, record in manifest.files.items():
        content = _read_file(path, name, record)
        if name in graphs:
            outputs[name] = _check_graph(path / name, content)
        if name == manifest.latents:
            latents = _read_latents(path / name, content, manifest)
    return Bundle(path, manifest, latents, sha256, outputs)


def open_bundle(path: str | Path | None = None) -> Bundle:
    """Read and check a bundle, as `read_bundle` does.

    Args:
        path: Its directory; None: the packaged demo bundle.

    Returns:
        The bundle, every file of which has the hash that the manifest states.

    Raises:
        BadInput: Names the file and the field that is wrong, or says that there is no such bundle.
    """
    if path is not None and not isinstance(path, str | Path):
        raise BadInput(f"bundle: {path!r}; must be the path of a directory")
    if path is None and not DEMO.is_dir():
        raise BadInput("this install has no packaged demo bundle; name a bundle directory")
    return read_bundle(DEMO if path is None else path)


def write_bundle(
    out: str | Path,
    manifest: Manifest,
    contents: Mapping[str, bytes | Path],
    overwrite: bool = False,
) -> Manifest:
    """Write a bundle directory: made beside `out`, verified, and moved into place at once.

    Args:
        out: The directory; its parents are made.
        manifest: What the bundle says of itself, without `files`.
        contents: Path in the bundle → the file's bytes, or a file to copy.
        overwrite: Whether to replace the bundle at `out`, if it holds no other files.

    Returns:
        The manifest with the hash and size of every file.

    Raises:
        BadInput: `out` exists and may not be replaced, or the contents are not a valid bundle. `out` is as it
            was.
    """
    out = Path(out)
    recover_folder(out)
    check_replaceable(out, overwrite)
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out, new=not overwrite) as new:
        new.mkdir()
        files = {name: _write_file(new, name, content) for name, content in sorted(contents.items())}
        manifest = manifest._replace(files=files)
        text = json.dumps(manifest.to_json(), indent=2) + "\n"
        write_atomically(new / MANIFEST, text.encode())
        read_bundle(new)
        check_replaceable(out, overwrite)  # again: another process may have come between
    return manifest


def check_replaceable(out: Path, overwrite: bool) -> None:
    """Check that `write_bundle` may write there, before the work that makes the bundle.

    Args:
        out: The bundle's directory.
        overwrite: Whether a bundle that is there may be replaced.

    Raises:
        BadInput: `out` exists, unless `overwrite` is given and it holds a bundle and nothing else.
    """
    if not os.path.lexists(out):
        return
    if not overwrite:
        raise BadInput(f"{out}: exists already (pass --overwrite to replace it)")
    if not (out / MANIFEST).is_file():
        raise BadInput(f"{out}: exists and is not a bundle; it will not be replaced")
    try:
        _refuse_unlisted(out, read_manifest(out), hidden=True)
    except BadInput as error:
        raise BadInput(f"{out}: will not be replaced; remove it first ({error})") from None


def _write_file(folder: Path, name: str, content: bytes | Path) -> FileRecord:
    target = folder / name
    if not target.resolve().is_relative_to(folder.resolve()) or name == MANIFEST:
        raise BadInput(f"bundle file {name!r}: not a path inside the bundle")
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Path):
        content = content.read_bytes()
    write_atomically(target, content)
    return FileRecord(hashlib.sha256(content).hexdigest(), len(content))


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
    raise ValueError(f"{name} is not a number")


def _refuse_unlisted(folder: Path, manifest: Manifest, hidden: bool = False) -> None:
    """`BadInput` for a file that the manifest does not list. Hidden ones, such as .DS_Store, count only with
    `hidden`: a manifest cannot list them, so nothing opens them.
    """
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        counts = hidden or not any(part.startswith(".") for part in name.split("/"))
        if counts and not path.is_dir() and name != MANIFEST and name not in manifest.files:
            raise BadInput(f"{path}: a file that the bundle's manifest does not list; move it elsewhere")


def _read_file(folder: Path, name: str, record: FileRecord) -> bytes:
    """The content of a file; see `Bundle.read`."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise BadInput(f"{path}: a link that leads out of the bundle")
    if not path.is_file():
        raise BadInput(f"{path}: missing from the bundle")
    with path.open("rb") as stream:
        content = stream.read(record.bytes + 1)
        size = max(len(content), os.fstat(stream.fileno()).st_size)
    if size != record.bytes:
        raise BadInput(f"{path}: {size} bytes, not the manifest's {record.bytes}; it is damaged or changed")
    if hashlib.sha256(content).hexdigest() != record.sha256:
        raise BadInput(f"{path}: its SHA-256 is not the manifest's; it is damaged or changed")
    return content


def _check_graph(path: Path, content: bytes) -> Sequence[str]:
    """The names of an ONNX graph's outputs; `BadInput` if it is none, or has weights in another file."""
    try:
        external, outputs = has_external_data(content), output_names(content)
    except ValueError as error:
        raise BadInput(f"{path}: not an ONNX graph ({error}); export the bundle again") from None
    if external:
        raise BadInput(
            f"{path}: has weights in another file; a bundle's graphs must hold them: export it again"
        )
    return outputs


def _read_latents(path: Path, content: bytes, manifest: Manifest) -> Latents:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            unpacked = sum(member.file_size for member in members)
            if unpacked > LATENTS_BYTES:
                raise BadInput(f"{path}: unpacks to {unpacked} bytes; at most {LATENTS_BYTES} are read")
            arrays = {each.filename.removesuffix(".npy"): _to_array(archive.read(each)) for each in members}
    except BadInput:
        raise
    except Exception as error:  # of zipfile, zlib and NumPy's header parser, which have no common class
        raise BadInput(f"{path}: not an archive of plain arrays: {_first_line(error)}") from None
    architecture, style_dim = manifest.architecture, manifest.architecture.style_dim
    directions = arrays.get("sefa_singular_values", np.empty(0)).size
    looks = manifest.ridge_noise.looks if manifest.ridge_noise else ()

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
        look_directions=take("look_directions", (len(looks), style_dim)) if looks else None,
    )


def _to_array(content: bytes) -> NDArray[Any]:
    """The array of a .npy file as `np.savez` writes them, which takes `content` over without copying it."""
    stream = io.BytesIO(content)
    if (version := np.lib.format.read_magic(stream)) != (1, 0):
        raise ValueError(f"an array of format {version}, not (1, 0)")
    shape, columns_first, dtype = np.lib.format.read_array_header_1_0(stream)
    values = np.frombuffer(content, dtype, offset=stream.tell())
    return values.reshape(shape, order="F" if columns_first else "C")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
