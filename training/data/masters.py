"""Fingers kept on disk: shards as .npz files without pickles, written atomically, resumable."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fingergen.runtime.errors import BadInput, BadOption
from fingergen.runtime.files import write_atomically
from fingergen.runtime.fingers import Finger, Minutiae, PatternClass, make_finger
from fingergen.runtime.fingers.master import LEVELS

_KINDS = list(PatternClass)

HELD_OUT = 32
"""Fingers after those of a training, which are never trained on."""


def read_masters(
    folder: Path,
    seeds: range,
    window: tuple[int, int],
    on_progress: Callable[[int], object] | None = None,
    keep: Callable[[Finger], Finger] = lambda finger: finger,
) -> list[Finger]:
    """Fingers from the folder; those that it lacks are grown first.

    Args:
        folder: Where the shards are; made if it is not there.
        seeds: Of the fingers; step 1.
        window: (width, height) in pixels at 500 ppi of the impressions to be taken.
        on_progress: Called with the number of fingers read since the last call.
        keep: What to keep of each finger.

    Raises:
        BadInput: If the folder cannot be made, or a shard is damaged.
    """
    fingers: list[Finger] = []
    for shard in write_masters(folder, seeds, window):
        read = read_shard(shard)
        fingers += map(keep, read)
        if on_progress:
            on_progress(len(read))
    return fingers


class SplitMasters:
    """Fingers to train on, and others that are held out; which impressions of them a batch has.

    Attributes:
        trained: Those of seeds 0 … N - 1.
        spare: `HELD_OUT` more.
    """

    def __init__(
        self,
        folder: Path,
        fingers: int,
        window: tuple[int, int],
        on_progress: Callable[[int], object] | None = None,
        keep: Callable[[Finger], Finger] = lambda finger: finger,
    ) -> None:
        """Read the fingers; those that are missing are grown first.

        Args:
            folder: Where the shards are; made if it is not there.
            fingers: N.
            window: (width, height) in pixels at 500 ppi of the impressions to be taken.
            on_progress: Called with the number of fingers read since the last call.
            keep: What to keep of each finger.

        Raises:
            BadInput: If the folder cannot be made, or a shard is damaged.
        """
        self.trained = read_masters(folder, range(fingers), window, on_progress, keep)
        self.spare = read_masters(folder, range(fingers, fingers + HELD_OUT), window, on_progress, keep)

    def batch(self, rng: np.random.Generator, count: int) -> tuple[list[Finger], list[int]]:
        """`count` fingers to train on, chosen by `rng` alone, and a number of an impression of each."""
        chosen = [self.trained[index] for index in rng.integers(len(self.trained), size=count)]
        return chosen, rng.integers(2**31, size=count).tolist()

    def held_out(self, count: int) -> tuple[list[Finger], list[int]]:
        """The same at every call: impression 0 of each of the others, then impression 1, and so on."""
        spare = len(self.spare)
        return [self.spare[i % spare] for i in range(count)], [i // spare for i in range(count)]


def write_masters(
    folder: Path, seeds: range, window: tuple[int, int], shard_size: int = 100
) -> Iterator[Path]:
    """Make fingers for a window and keep them.

    Shards that are there already are kept: the same call continues where it was interrupted.

    Args:
        folder: Where the shards go; made if it is not there.
        seeds: Of the fingers; step 1.
        window: (width, height) in pixels of the impressions to be taken.
        shard_size: Fingers per shard.

    Yields:
        The path of each finished shard.

    Raises:
        BadInput: If the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadOption("masters", folder, f"cannot be made ({error.strerror}); choose another") from error
    for start in range(seeds.start, seeds.stop, shard_size):
        chunk = range(start, min(start + shard_size, seeds.stop))
        path = folder / f"fingers_{window[0]}x{window[1]}_{chunk.start:08d}_{len(chunk):04d}.npz"
        if not path.exists():
            write_shard(path, [make_finger(seed, window) for seed in chunk])
        yield path


def write_shard(path: Path, fingers: Sequence[Finger]) -> None:
    """One .npz; what differs in length from finger to finger is joined, with the lengths beside it."""
    arrays: dict[str, NDArray] = {
        "seeds": np.array([finger.seed for finger in fingers], np.uint64),
        "kinds": np.array([_KINDS.index(finger.kind) for finger in fingers], np.uint8),
        "origins": np.array([finger.origin for finger in fingers], np.float32),
        "windows": np.array([finger.window for finger in fingers], np.uint16),
        "ridges": np.stack([np.round(LEVELS * finger.ridges).astype(np.int8) for finger in fingers]),
    }
    ragged: dict[str, list[NDArray]] = {
        "xy": [finger.minutiae.xy for finger in fingers],
        "angle": [finger.minutiae.angle for finger in fingers],
        "kind": [finger.minutiae.kind for finger in fingers],
        "clear": [finger.minutiae.clear for finger in fingers],
        "cores": [finger.cores for finger in fingers],
        "deltas": [finger.deltas for finger in fingers],
        "creases": [finger.creases for finger in fingers],
    }
    for name, parts in ragged.items():
        arrays[name] = np.concatenate(parts)
        arrays[f"{name}_lengths"] = np.array([len(part) for part in parts], np.int32)
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]  # mypy takes the arrays for allow_pickle
    write_atomically(path, content.getvalue())


def read_shard(path: Path) -> list[Finger]:
    """The fingers of one shard."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        ragged = ("xy", "angle", "kind", "clear", "cores", "deltas", "creases")
        columns = {name: _split(arrays, name) for name in ragged}
        return [
            Finger(
                seed=int(seed),
                kind=_KINDS[int(arrays["kinds"][i])],
                window=(int(arrays["windows"][i, 0]), int(arrays["windows"][i, 1])),
                ridges=arrays["ridges"][i] / np.float32(LEVELS),
                find_minutiae=partial(
                    Minutiae, columns["xy"][i], columns["angle"][i], columns["kind"][i], columns["clear"][i]
                ),
                cores=columns["cores"][i],
                deltas=columns["deltas"][i],
                creases=columns["creases"][i],
                origin=(float(arrays["origins"][i, 0]), float(arrays["origins"][i, 1])),
            )
            for i, seed in enumerate(arrays["seeds"])
        ]
    except Exception as error:  # of zipfile, zlib and NumPy's header parser, which have no common class
        raise BadInput(f"{path}: not a shard of masters ({error}); delete it and make it again") from error


def _split(arrays: dict[str, NDArray], name: str) -> list[NDArray]:
    return np.split(arrays[name], np.cumsum(arrays[f"{name}_lengths"])[:-1])
