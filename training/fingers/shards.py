"""Masters kept on disk: shards of fingers as .npz files without pickles, written atomically, resumable."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fingergen.runtime.errors import BadInput

from .finger import Finger, make_finger
from .minutiae import Minutiae
from .patterns import PatternClass

_KINDS = list(PatternClass)


def write_masters(
    folder: Path, seeds: range, window: tuple[int, int], shard_size: int = 100
) -> Iterator[Path]:
    """Make the fingers of `seeds` (step 1) and yield each finished shard; shards already there are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(seeds.start, seeds.stop, shard_size):
        chunk = range(start, min(start + shard_size, seeds.stop))
        path = folder / f"masters_{chunk.start:08d}_{len(chunk):04d}.npz"
        if not path.exists():
            write_shard(path, [make_finger(seed, window) for seed in chunk])
        yield path


def read_masters(folder: Path) -> list[Finger]:
    """All fingers of a folder's shards, in order of seed."""
    paths = sorted(folder.glob("masters_*.npz"))
    if not paths:
        raise BadInput(f"{folder}: no masters_*.npz shards here; make them with write_masters")
    return [finger for path in paths for finger in read_shard(path)]


def write_shard(path: Path, fingers: Sequence[Finger]) -> None:
    """One .npz; what differs in length from finger to finger is joined, with the lengths beside it."""
    arrays: dict[str, NDArray] = {
        "seeds": np.array([finger.seed for finger in fingers], np.uint64),
        "kinds": np.array([_KINDS.index(finger.kind) for finger in fingers], np.uint8),
        "origins": np.array([finger.origin for finger in fingers], np.float32),
        "ridges": np.stack([finger.ridges for finger in fingers]),
    }
    for name, parts in {
        "xy": [finger.minutiae.xy for finger in fingers],
        "angle": [finger.minutiae.angle for finger in fingers],
        "kind": [finger.minutiae.kind for finger in fingers],
        "cores": [finger.cores for finger in fingers],
        "deltas": [finger.deltas for finger in fingers],
        "creases": [finger.creases for finger in fingers],
    }.items():
        arrays[name] = np.concatenate(parts)
        arrays[f"{name}_lengths"] = np.array([len(part) for part in parts], np.int32)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(temporary, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # its stub takes **kwds for allow_pickle
    os.replace(temporary, path)


def read_shard(path: Path) -> list[Finger]:
    """The fingers of one shard."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        columns = {name: _split(arrays, name) for name in ("xy", "angle", "kind", "cores", "deltas", "creases")}
        return [
            Finger(
                seed=int(seed),
                kind=_KINDS[int(arrays["kinds"][i])],
                ridges=arrays["ridges"][i],
                minutiae=Minutiae(columns["xy"][i], columns["angle"][i], columns["kind"][i]),
                cores=columns["cores"][i],
                deltas=columns["deltas"][i],
                creases=columns["creases"][i],
                origin=(float(arrays["origins"][i, 0]), float(arrays["origins"][i, 1])),
            )
            for i, seed in enumerate(arrays["seeds"])
        ]
    except (OSError, ValueError, KeyError, IndexError, zipfile.BadZipFile) as error:
        raise BadInput(f"{path}: not a shard of masters ({error}); delete it and make it again") from error


def _split(arrays: dict[str, NDArray], name: str) -> list[NDArray]:
    return np.split(arrays[name], np.cumsum(arrays[f"{name}_lengths"])[:-1])
