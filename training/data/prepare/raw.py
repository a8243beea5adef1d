"""The raw files: each one checked by itself, then all of them together."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fingergen.runtime.errors import BadInput, BadOption
from fingergen.runtime.images import Scan

from ..image_io import PLAUSIBLE, TOLERANCE, decode, shown_ppi
from ..splits import FingerRule, fingers_that_share_images, held_out
from ..storage import IMAGE_SUFFIXES, StoredFile, find_files

TRAIN, TEST = "train", "test"
_READ_NAMES = "PNG, TIFF, BMP, JPEG, JPEG 2000, PGM, WebP, GIF or WSQ"
_START = 160  # bytes that identify a file's format
_READ = (
    *(b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"\xff\xa0\xff"),
    *(b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),  # JPEG 2000: in its file format, and bare
)
_WEBP = re.compile(rb"RIFF.{4}WEBP", re.DOTALL)
_PNM = re.compile(rb"P[1-6]\s+(?:#.*\s+)*\d+\s+\d+\s")
# HEIF and AVIF, DICOM, Photoshop, PostScript, JPEG XL, JPEG-LS, ISO/IEC 19794-4 records, ANSI/NIST-ITL files
_NOT_READ = re.compile(
    rb"\A(?:.{4}ftyp(?:hei|hev|mif|msf|avi)|.{128}DICM|8BPS|%!PS|\xff\x0a|\0\0\0\x0cJXL |\xff\xd8\xff\xf7"
    rb"|FIR\0|1\.0?01:)",
    re.DOTALL,
)
_IMAGES_NOT_READ = {
    *(
        ".heic",
        ".heif",
        ".avif",
        ".jxl",
        ".jls",
        ".jxr",
        ".psd",
        ".ps",
        ".eps",
        ".pdf",
        ".svg",
        ".dcm",
        ".dicom",
    ),
    *(
        ".tga",
        ".pcx",
        ".ras",
        ".sgi",
        ".xbm",
        ".xpm",
        ".ico",
        ".exr",
        ".hdr",
        ".dib",
        ".pam",
        ".pfm",
        ".wmf",
        ".emf",
    ),
    *(".dng", ".nef", ".cr2", ".cr3", ".arw", ".raw", ".eft", ".ebts", ".an2", ".nist", ".nst", ".fir"),
}
LONGEST_NAME = 200  # bytes without extension: file systems take 255, files that are being written need more
_COLORLESS = 16  # levels that the channels of a gray image may differ by, as JPEG makes them


@dataclass(frozen=True)
class PrepareOptions:
    """What makes a prepared dataset, beside its raw files."""

    size: tuple[int, int]  # (width, height) in pixels
    target_ppi: int
    ppi: int | None
    ignore_file_ppi: bool
    resample: bool
    color: str  # "gray" or "refuse"
    invert: bool
    background: str  # "white" or "keep"
    extractor: str
    template_format: str
    ridge_maps: bool
    finger_pattern: str | None
    test_fraction: float

    def as_json(self) -> dict[str, Any]:
        """The options as plain values, for dataset.json."""
        values = {
            "format": "fingergen-prepared",
            "format_version": 1,
            **asdict(self),
            "size": list(self.size),
        }
        if not self.ridge_maps:
            del values["ridge_maps"]  # as in datasets from before there were any
        return values


@dataclass(frozen=True)
class Raw:
    """A raw file that can be used. file_hash, pixel_hash: of its bytes and of its pixels; ppi: (x, y)."""

    file_hash: str
    pixel_hash: str
    ppi: tuple[float, float]
    color: bool


@dataclass(frozen=True)
class Plan:
    """What becomes of every raw file. Keys are paths below the raw folder without extension."""

    kept: dict[str, tuple[Path, Raw]]  # by key
    skipped: dict[Path, str]  # with the reason
    fingers: dict[str, str]  # by key
    parts: dict[str, str]  # by key: TRAIN, TEST, or "" for a dataset that is not split
    findings: dict[str, Any]  # for the report


def check(options: PrepareOptions, path: Path) -> Raw | str:
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
        ppi = _resolution(scan, options)
    except ValueError as error:
        return str(error)
    color = _is_color(scan.image)
    if color and options.color == "refuse":
        return "in color; --color gray converts it"
    image = scan.image
    pixels = hashlib.blake2b(f"{image.mode}{image.size}".encode() + image.tobytes(), digest_size=16)
    return Raw(hashlib.sha256(content).hexdigest(), pixels.hexdigest(), ppi, color)


def plan(
    folder: Path, checked: dict[Path, Raw | str], fingers: dict[Path, str], options: PrepareOptions
) -> Plan:
    """Decide what is kept: of files with the same name or the same pixels the first, in order of path."""
    kept: dict[str, tuple[Path, Raw]] = {}
    skipped: dict[Path, str] = {}
    first: dict[str, Path] = {}  # by pixels
    same: dict[Path, list[Path]] = {}
    for path in [each for each in checked if each not in fingers]:
        skipped[path] = f"--finger-pattern {options.finger_pattern} is not found in its name"
    checked = {path: raw for path, raw in checked.items() if path in fingers}
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
    shared = ({fingers[path] for path in group} for group in same.values())
    joined = _joined([*shared, *fingers_that_share_images(by_key.values())])
    split_by = {key: joined.get(finger, finger) for key, finger in by_key.items()}
    if options.test_fraction and len(set(split_by.values())) > 1:
        apart = held_out(split_by.values(), options.test_fraction)
        parts = {key: TEST if finger in apart else TRAIN for key, finger in split_by.items()}
    return Plan(kept, skipped, by_key, parts, _findings(folder, checked, fingers, same))


def printable(name: str) -> str:
    """A file's name as reports and messages hold it: itself if it is text, else in ASCII with escapes."""
    return name if is_text(name) and name.isprintable() else ascii(name)


def is_text(name: str) -> bool:
    """Whether a file's name, which may be any bytes, is one line of text that reports can hold."""
    return len(name.splitlines()) == 1 and name.encode(errors="ignore").decode() == name


def other_files(folder: Path) -> tuple[list[Path], dict[Path, str], Counter[str]]:
    """The files below a raw folder whose names are not those of images that are read.

    Returns:
        Those whose content is an image that is read all the same; those that are images of another format,
        with the reason to skip them, and folders that cannot be read; and how many others there are, by
        extension.
    """
    images: list[Path] = []
    skipped: dict[Path, str] = {}
    others: Counter[str] = Counter()
    for path in find_files(folder, skipped):
        suffix = path.suffix.lower()
        if suffix in IMAGE_SUFFIXES:
            continue
        try:
            with path.open("rb") as file:
                start = file.read(_START)
        except OSError as error:
            skipped[path] = f"cannot be read ({error.strerror})"
            continue
        if any(start.startswith(each) for each in _READ) or _WEBP.match(start) or _PNM.match(start):
            images.append(path)
        elif suffix in _IMAGES_NOT_READ or _NOT_READ.search(start):
            skipped[path] = f"an image format that is not read; convert it to one of {_READ_NAMES}"
        else:
            others[suffix] += 1
    return images, skipped, others


def key_of(path: Path, folder: Path) -> str:
    """A file's path below `folder` without extension, with slashes: what names it in a dataset."""
    return path.relative_to(folder).with_suffix("").as_posix()


def fingers_of(paths: Sequence[Path], folder: Path, pattern: str | None) -> dict[Path, str]:
    """The finger of every raw file, by its name.

    A name that states none is a finger of its own; where a pattern was given, the file is left out.

    Raises:
        BadInput: If a pattern was given that no name has in it.
    """
    rule = FingerRule(pattern)
    keys = {path: key_of(path, folder) for path in paths}
    fingers = {path: rule.finger(key) for path, key in keys.items()}
    if pattern is None:
        return {path: keys[path] if finger is None else finger for path, finger in fingers.items()}
    if not any(fingers.values()):
        raise BadOption(
            "finger-pattern", pattern, f"is not found in '{keys[paths[0]]}' nor in any other name"
        )
    return {path: finger for path, finger in fingers.items() if finger is not None}


def refuse_nameless(paths: Sequence[Path], folder: Path) -> None:
    """BadInput, for a split by finger, if the names of some files state no finger."""
    nameless = [path for path in paths if FingerRule().finger(key_of(path, folder)) is None]
    if nameless:
        raise BadOption(
            "test-fraction",
            None,
            f"the names of {len(nameless)} of {len(paths)} files, such as "
            f"{printable(nameless[0].relative_to(folder).as_posix())}, state no finger, so images of one "
            "finger could land on both sides; give --finger-pattern ('.+' if each file is another finger)",
        )


def gray(image: Image.Image, invert: bool) -> Image.Image:
    """As dark ridges on a light ground."""
    image = image.convert("L")
    return image.point(lambda level: 255 - level) if invert else image


def _resolution(scan: Scan, options: PrepareOptions) -> tuple[float, float]:
    """Pixels per inch along x and y; ValueError if they are not known or not usable."""
    stated = None if options.ignore_file_ppi else scan.ppi
    if stated is None:
        if options.ppi is None:
            raise ValueError("states no resolution; --ppi N gives that of such files")
        stated = options.ppi, options.ppi
    shown = shown_ppi(stated)
    if not all(PLAUSIBLE[0] <= each <= PLAUSIBLE[1] for each in stated):
        raise ValueError(f"has {shown} ppi, which no fingerprint has; --ppi N --ignore-file-ppi overrides it")
    if not options.resample and any(
        abs(each - options.target_ppi) > TOLERANCE * options.target_ppi for each in stated
    ):
        raise ValueError(f"has {shown} ppi instead of {options.target_ppi}; --resample converts it")
    return stated


def _is_color(image: Image.Image) -> bool:
    if image.mode == "L":
        return False
    pixels = np.asarray(image)
    return bool(np.percentile(np.ptp(pixels, axis=2), 99) > _COLORLESS)


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
        "color": sum(raw.color for raw in usable),
        "same_image": groups,
        "same_image_under_different_fingers": sum(len(group["fingers"]) > 1 for group in groups),
        "names_that_tell_no_finger": len(nameless),
    }
