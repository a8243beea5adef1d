"""The raw files: each one checked by itself, then all of them together."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fingergen.runtime.errors import BadInput
from fingergen.runtime.images import Scan

from ..image_io import PLAUSIBLE, TOLERANCE, decode, shown_ppi
from ..splits import FingerRule, held_out
from ..storage import StoredFile

TRAIN, TEST = "train", "test"
LONGEST_NAME = 200  # bytes without extension: file systems take 255, files that are being written need more
_COLOURLESS = 16  # levels that the channels of a grey image may differ by, as JPEG makes them


@dataclass(frozen=True)
class Recipe:
    """What makes a prepared data set, beside its raw files."""

    size: tuple[int, int]  # (width, height) in pixels
    target_ppi: int
    ppi: int | None
    ignore_file_ppi: bool
    resample: bool
    colour: str  # "grey" or "refuse"
    invert: bool
    background: str  # "white" or "keep"
    extractor: str
    template_format: str
    finger_pattern: str | None
    test_fraction: float

    def as_json(self) -> dict[str, Any]:
        return {"format": "fingergen-prepared", "format_version": 1, **asdict(self), "size": list(self.size)}


@dataclass(frozen=True)
class Raw:
    """A raw file that can be used. file_hash, pixel_hash: of its bytes and of its pixels; ppi: (x, y)."""

    file_hash: str
    pixel_hash: str
    ppi: tuple[float, float]
    colour: bool


@dataclass(frozen=True)
class Plan:
    """What becomes of every raw file. Keys are paths below the raw folder without extension."""

    kept: dict[str, tuple[Path, Raw]]  # by key
    skipped: dict[Path, str]  # with the reason
    fingers: dict[str, str]  # by key
    parts: dict[str, str]  # by key: TRAIN, TEST, or "" for a data set that is not split
    findings: dict[str, Any]  # for the report


def check(recipe: Recipe, path: Path) -> Raw | str:
    """Read a raw file; the reason if it cannot be used."""
    if not is_text(str(path)):
        return "its name is no UTF-8 text of one line; rename it"
    if len(path.stem.encode()) > LONGEST_NAME:
        return f"its name has more than {LONGEST_NAME} bytes; rename it"
    try:
        content = StoredFile(path).read()
        scan = decode(content, path)
    except BadInput as error:
        return str(error).removeprefix(f"{path}: ").removesuffix("; repair or remove it")
    try:
        ppi = _resolution(scan, recipe)
    except ValueError as error:
        return str(error)
    colour = _is_coloured(scan.image)
    if colour and recipe.colour == "refuse":
        return "in colour; --colour grey converts it"
    image = scan.image
    pixels = hashlib.blake2b(f"{image.mode}{image.size}".encode() + image.tobytes(), digest_size=16)
    return Raw(hashlib.sha256(content).hexdigest(), pixels.hexdigest(), ppi, colour)


def plan(folder: Path, checked: dict[Path, Raw | str], fingers: dict[Path, str], recipe: Recipe) -> Plan:
    """Decide what is kept: of files with the same name or the same pixels the first, in order of path."""
    kept: dict[str, tuple[Path, Raw]] = {}
    skipped: dict[Path, str] = {}
    first: dict[str, Path] = {}  # by pixels
    same: dict[Path, list[Path]] = {}
    for path, raw in sorted(checked.items()):
        key = key_of(path, folder)
        if isinstance(raw, str):
            skipped[path] = raw
        elif key in kept:
            skipped[path] = f"has the name of {kept[key][0].relative_to(folder)} but for the extension"
        elif (twin := first.setdefault(raw.pixel_hash, path)) != path:
            other = "" if fingers[twin] == fingers[path] else ", though of another finger by its name"
            skipped[path] = f"the same image as {twin.relative_to(folder)}{other}"
            same.setdefault(twin, [twin]).append(path)
        else:
            kept[key] = path, raw
    by_key = {key: fingers[path] for key, (path, _) in kept.items()}
    parts = dict.fromkeys(kept, "")
    # Fingers that an image joins go to the same side, whatever their names say.
    joined = _joined({fingers[path] for path in group} for group in same.values())
    split_by = {key: joined.get(finger, finger) for key, finger in by_key.items()}
    if recipe.test_fraction and len(set(split_by.values())) > 1:
        apart = held_out(split_by.values(), recipe.test_fraction)
        parts = {key: TEST if finger in apart else TRAIN for key, finger in split_by.items()}
    return Plan(kept, skipped, by_key, parts, _findings(folder, checked, fingers, same))


def is_text(name: str) -> bool:
    """Whether a file's name, which may be any bytes, is one line of text that reports can hold."""
    return len(name.splitlines()) == 1 and name.encode(errors="ignore").decode() == name


def key_of(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


def fingers_of(paths: Sequence[Path], folder: Path, pattern: str | None) -> dict[Path, str]:
    """The finger of every raw file, by its name."""
    return dict(zip(paths, FingerRule(pattern).fingers(key_of(path, folder) for path in paths), strict=True))


def grey(image: Image.Image, invert: bool) -> Image.Image:
    """As dark ridges on a light ground."""
    image = image.convert("L")
    return image.point(lambda level: 255 - level) if invert else image


def _resolution(scan: Scan, recipe: Recipe) -> tuple[float, float]:
    """Pixels per inch along x and y; ValueError if they are not known or not usable."""
    told = None if recipe.ignore_file_ppi else scan.ppi
    if told is None:
        if recipe.ppi is None:
            raise ValueError("tells no resolution; --ppi N says that of such files")
        told = recipe.ppi, recipe.ppi
    shown = shown_ppi(told)
    if not all(PLAUSIBLE[0] <= each <= PLAUSIBLE[1] for each in told):
        raise ValueError(f"has {shown} ppi, which no fingerprint has; --ppi N --ignore-file-ppi overrides it")
    if not recipe.resample and any(
        abs(each - recipe.target_ppi) > TOLERANCE * recipe.target_ppi for each in told
    ):
        raise ValueError(f"has {shown} ppi instead of {recipe.target_ppi}; --resample converts it")
    return told


def _is_coloured(image: Image.Image) -> bool:
    if image.mode == "L":
        return False
    pixels = np.asarray(image)
    return bool(np.percentile(np.ptp(pixels, axis=2), 99) > _COLOURLESS)


def _joined(groups: Iterable[set[str]]) -> dict[str, str]:
    """For every member of groups that overlap, directly or by others, the same first name."""
    joined: dict[str, set[str]] = {}
    for group in groups:
        together = group.union(*(joined.get(each, set()) for each in group))
        joined.update(dict.fromkeys(together, together))
    return {name: min(together) for name, together in joined.items()}


def _findings(
    folder: Path,
    checked: dict[Path, Raw | str],
    fingers: dict[Path, str],
    same: dict[Path, list[Path]],
) -> dict[str, Any]:
    usable: Iterable[Raw] = [raw for raw in checked.values() if isinstance(raw, Raw)]
    resolutions = Counter(shown_ppi(raw.ppi) for raw in usable)
    groups = [
        {
            "files": [path.relative_to(folder).as_posix() for path in group],
            "fingers": sorted({fingers[path] for path in group}),
        }
        for _, group in sorted(same.items())
    ]
    rule = FingerRule()
    nameless = [key for path in checked if rule.finger(key := key_of(path, folder)) is None]
    return {
        "ppi": dict(sorted(resolutions.items())),
        "coloured": sum(raw.colour for raw in usable),
        "same_image": groups,
        "same_image_under_different_fingers": sum(len(group["fingers"]) > 1 for group in groups),
        "names_that_tell_no_finger": len(nameless),
    }
