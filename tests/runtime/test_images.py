"""Image files: pixels, resolution, provenance; sheets; the writer."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fingergen.runtime import images
from fingergen.runtime.errors import BadInput
from fingergen.runtime.pipeline.writer import Folder, Planned, PlannedImage, write_images

PROVENANCE = {
    "synthetic": "yes",
    "operation": "synth",
    "seed": "7",
    "template": "Fingerärzte.xyt",
    "fingergen": "1",
}


def ramp(height: int = 40, width: int = 30) -> np.ndarray:
    return (np.arange(height * width) % 256).astype(np.uint8).reshape(height, width)


def test_to_levels_rounds_and_clips():
    raw = np.array([-3.0, -1.0, -1 + 0.49 / 127.5, -1 + 0.51 / 127.5, 0.0, 1.0, 9.0], np.float32)
    assert images.to_levels(raw).tolist() == [0, 0, 0, 1, 128, 255, 255]


def test_to_picture():
    gray, color = np.zeros((1, 4, 5), np.uint8), np.zeros((3, 4, 5), np.uint8)
    color[1] = 7
    assert images.to_picture(gray).shape == (4, 5)
    assert images.to_picture(color).shape == (4, 5, 3)
    assert images.to_picture(color)[0, 0].tolist() == [0, 7, 0]


def test_resize_is_bicubic():
    """Keys' cubic convolution with a = -1/2 (Keys 1981), at the pixels' centers; sizes that halve average."""

    def cubic(x: float) -> float:
        x = abs(x)
        if x < 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0

    line = np.array([10, 10, 200, 90, 30, 160, 60, 60], np.uint8)
    image = np.repeat(line[None], 8, axis=0)
    found = images.resize(image, 16)
    assert found.shape == (16, 16) and (found == found[:1]).all()
    for x in range(6, 10):  # away from the borders
        weights = [cubic((x + 0.5) / 2 - 0.5 - k) for k in range(8)]
        assert abs(int(found[0, x]) - np.dot(weights, line)) <= 1


def test_resize_keeps_what_has_the_size():
    image = ramp(32, 32)
    assert images.resize(image, 32) is image
    assert images.resize(np.full((32, 32), 77, np.uint8), 64).tolist() == np.full((64, 64), 77).tolist()


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".tif", ".bmp", ".PNG"])
@pytest.mark.parametrize("color", [False, True])
def test_round_trip(tmp_path: Path, suffix: str, color: bool):
    image = np.stack([ramp(), ramp()[::-1], ramp() // 2], axis=-1) if color else ramp()
    path = tmp_path / f"image{suffix}"
    images.save_image(path, image, 500, PROVENANCE)
    assert np.array_equal(images.read_image(path), image)
    provenance = images.read_provenance(path)
    assert {key: provenance.get(key) for key in PROVENANCE} == PROVENANCE
    with Image.open(path) as picture:
        assert picture.info["dpi"] == pytest.approx((500, 500), abs=0.01)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_bmp_carries_its_provenance_beside(tmp_path: Path):
    images.save_image(tmp_path / "a.bmp", ramp(), 1000, PROVENANCE)
    assert json.loads((tmp_path / "a.bmp.json").read_text()) == PROVENANCE


def test_unknown_format_writes_nothing(tmp_path: Path):
    with pytest.raises(BadInput, match=r"'\.gif': write \.png"):
        images.save_image(tmp_path / "a.gif", ramp(), 500, PROVENANCE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x89PNG\r\n\x1a\n"])
def test_unreadable_image(tmp_path: Path, content: bytes):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(BadInput, match=r"a\.png: not a readable image"):
        images.read_image(tmp_path / "a.png")
    assert images.read_provenance(tmp_path / "a.png") == {}


def test_contact_sheet_places_images():
    tiles = [np.full((10, 20), value, np.uint8) for value in (0, 50, 100, 150, 200)]
    sheet = images.contact_sheet(tiles, columns=3, padding=2)
    assert sheet.shape == (2 * 12 + 2, 3 * 22 + 2)
    assert sheet[2:12, 2:22].max() == 0 and sheet[14:24, 24:44].min() == 200
    assert sheet[0].min() == 255 and sheet[14:24, 46:].min() == 255


def test_contact_sheet_labels_and_color():
    tiles = [np.full((64, 64, 3), 255, np.uint8)] * 2
    plain, labeled = (images.contact_sheet(tiles, labels=labels) for labels in (None, ["7", "8"]))
    assert labeled.shape[0] > plain.shape[0] and plain.min() == 255 and labeled.min() < 128
    with pytest.raises(BadInput, match="no images"):
        images.contact_sheet([])


def impression(folder: Path, name: str, image: images.Pixels) -> PlannedImage:
    return Folder(folder, "png", 500, PROVENANCE).impression(Planned(name, name, {}), image)


def test_writer_writes_all(tmp_path: Path):
    made = (impression(tmp_path, str(i), np.full((8, 8), i, np.uint8)) for i in range(50))
    assert len(list(write_images(made, workers=2))) == 50
    assert all(images.read_image(tmp_path / f"{i}.png")[0, 0] == i for i in range(50))


def test_writer_reports_a_write_that_failed(tmp_path: Path):
    made = (impression(tmp_path / f"nowhere{i % 2}", "a", ramp()) for i in range(100))
    with pytest.raises(OSError, match="nowhere"):
        list(write_images(made, workers=2))


def test_writer_lets_go_when_images_fail(tmp_path: Path):
    def made():
        yield impression(tmp_path, "a", ramp())
        raise BadInput("no more")

    with pytest.raises(BadInput, match="no more"):
        list(write_images(made(), workers=2))
    assert [p for p in tmp_path.iterdir() if p.name != "a.png"] == []
