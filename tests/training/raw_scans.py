"""Raw scans for `fg-train prepare`, extractors of one's own, and what is in the dataset that it makes."""

import json
from pathlib import Path

import numpy as np
from click.testing import CliRunner, Result
from PIL import Image

from fingergen.runtime.minutiae import Minutia, MinutiaType, Template
from fingergen.training.cli import main

MIDDLE = f"{__name__}:middle"  # an extractor of one's own
PREPARE = ["prepare", "--size", 192, "--processes", 1, "--extractor", MIDDLE]


def middle(image: np.ndarray, ppi: float) -> Template:
    """A minutia in the middle, which lies on the print, and one in the corner, which does not."""
    height, width = image.shape
    places = ((width / 2, height / 2), (0, 0))
    return Template(width, height, ppi, tuple(Minutia(*at, 30.0, MinutiaType.ENDING) for at in places))


def wrong_size(image: np.ndarray, ppi: float) -> Template:
    return Template(9, 9, ppi)


def failing(image: np.ndarray, ppi: float) -> Template:
    raise RuntimeError("two\nlines")


def scan(number: int = 0, side: int = 140, place: tuple[int, int] = (70, 90), ppi: int = 500) -> Image.Image:
    """Paper with a round print of `side` pixels at 500 ppi whose top left corner is at `place` (x, y)."""
    shape = np.array([300, 320]) * ppi // 500
    y, x = np.mgrid[: shape[0], : shape[1]] * 500 / ppi
    center = np.array(place) + side / 2
    ridges = 120 + 100 * np.cos(np.hypot(x - center[0] + 20 + number, y - center[1] + 30) * 2 * np.pi / 9)
    inside = np.hypot(x - center[0], y - center[1]) < side / 2
    paper = np.random.default_rng(number).normal(235, 3, inside.shape)
    return Image.fromarray(np.where(inside, ridges, paper).clip(0, 255).astype(np.uint8))


def save(path: Path, image: Image.Image, ppi: float | None = 500) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **({"dpi": (ppi, ppi)} if ppi else {}))
    return path


def run(raw: Path, *words: object, out: Path | None = None) -> Result:
    where = out or raw.parent / "out"
    arguments = [*PREPARE, raw, "--out", where, *words]
    return CliRunner().invoke(main, [str(word) for word in arguments], prog_name="fg-train")


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def damage(path: Path, number: int) -> None:
    """Damage a file in one of four ways: empty, half of it, its size in the header, one bit."""
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(
        [
            b"",
            whole[:middle],
            whole[:16] + b"\xff" * 8 + whole[24:],
            whole[:middle] + bytes([whole[middle] ^ 4]) + whole[middle + 1 :],
        ][number % 4]
    )


def skipped(raw: Path) -> dict[str, str]:
    report = json.loads((raw.parent / "out/prepare.json").read_text())
    lines = (raw.parent / "out/skipped.txt").read_text().splitlines()
    assert lines == [f"{each['file']}: {each['reason']}" for each in report["skipped"]]
    return {each["file"]: each["reason"] for each in report["skipped"]}
