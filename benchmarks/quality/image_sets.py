"""A set of fingerprint images to be measured: a folder as it is, or a bundle's own mated set."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from fingergen.runtime.bundle import open_bundle
from fingergen.runtime.cli import main as fg_run
from fingergen.runtime.errors import BadInput
from fingergen.runtime.fingers.master import GROWTH
from fingergen.training.data.metadata import stated_fingers
from fingergen.training.data.splits import FingerRule
from fingergen.training.data.storage import IMAGE_SUFFIXES, find_images

TEMPLATES = (".json", ".xyt", ".fmr", ".iso", ".fmd", ".min")
"""Extensions of a truth template beside its image, in the order in which they are looked for."""


@dataclass(frozen=True)
class PrintFile:
    """One image of a set.

    Attributes:
        path: of the image.
        finger: which finger it shows, as its name says; unique within the set.
        truth: file of the minutiae that it truly has, if there is one.
    """

    path: Path
    finger: str
    truth: Path | None = None


@dataclass(frozen=True)
class ImageSet:
    """Images under one name; those of a finger follow each other."""

    name: str
    files: tuple[PrintFile, ...]

    def fingers(self) -> list[list[int]]:
        """Returns the indices of each finger's images, in the order of `files`."""
        groups: dict[str, list[int]] = {}
        for index, file in enumerate(self.files):
            groups.setdefault(file.finger, []).append(index)
        return list(groups.values())


def read_folder(folder: Path, rule: FingerRule | None = None, most: int | None = None) -> ImageSet:
    """Find the images below a folder: flat, FVC (`12_3.tif`), NIST SD4 or FingerGen's own sets with truth.

    Args:
        folder: to be searched, with its subfolders; of a dataset of `fg-train`, which has maps beside its
            images, the subfolder `images`.
        rule: how a name states its finger; without a pattern, a dataset's metadata.jsonl says it first.
        most: take so many fingers, spread evenly over the sorted names; None takes all.

    Raises:
        BadInput: there is no image below the folder.
    """
    root = folder / "images" if (folder / "images").is_dir() else folder
    paths = find_images(root)
    if not paths:
        suffixes = ", ".join(IMAGE_SUFFIXES)
        raise BadInput(f"{folder}: no images here; give a bundle, or a folder of {suffixes} files")
    keys = [path.relative_to(root).with_suffix("").as_posix() for path in paths]
    groups: dict[str, list[Path]] = {}
    wanted = rule or FingerRule()
    stated = {} if wanted.pattern else stated_fingers(folder)
    for key, path in zip(keys, paths, strict=True):
        groups.setdefault(stated.get(key) or wanted.finger(key) or key, []).append(path)
    names = list(_spread(list(groups), most))
    files = [PrintFile(path, finger, _truth(path)) for finger in names for path in groups[finger]]
    return ImageSet(folder.name, tuple(files))


def from_bundle(
    bundle: Path | None,
    cache: Path,
    fingers: int,
    impressions: int,
    first_seed: int,
    degree: float,
    preset: str | None = None,
) -> ImageSet:
    """The mated set that `fg-run dataset` writes from a bundle; what is in the cache is not made again.

    Args:
        bundle: directory; None for the packaged demo bundle.
        cache: folder for the images.
        fingers: how many.
        impressions: of each finger.
        first_seed: of the first finger.
        degree: most that a further impression is edited by.
        preset: of impressions with ridge noise; None: the first is that of `fg-run synth` with the finger's
            seed.
    """
    opened = open_bundle(bundle)
    arguments = ["--fingers", fingers, "--impressions", impressions, "--seed", first_seed, "--degree", degree]
    arguments += ["--preset", preset] if preset else []
    settings = hashlib.sha256(f"{GROWTH} {opened.sha256} {arguments}".encode()).hexdigest()[:16]
    out = cache / "bundles" / settings
    where = ["--bundle", str(bundle)] if bundle is not None else []
    with redirect_stdout(sys.stderr):  # standard output is for the report
        words = ["dataset", *map(str, arguments), "--out", str(out), "--resume", *where]
        fg_run.main(words, standalone_mode=False)
    return ImageSet(opened.manifest.name, read_folder(out).files)


def _spread(names: Sequence[str], most: int | None) -> Iterator[str]:
    if most is None or most >= len(names):
        yield from names
        return
    for number in range(most):
        yield names[number * len(names) // most]


def _truth(image: Path) -> Path | None:
    return next((path for suffix in TEMPLATES if (path := image.with_suffix(suffix)).is_file()), None)
