"""Our PNG files: read by Pillow and by the chunks of the standard."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from fingergen.runtime.png import encode_png


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, shape, np.uint8)


def read(content: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(content))
    picture.load()
    return picture


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 1), (31, 18), (1, 1, 3), (20, 33, 3)])
@pytest.mark.parametrize("content", ["noise", "black", "white", "ramp"])
def test_pixels_come_back(shape: tuple[int, ...], content: str):
    ramp = np.arange(np.prod(shape), dtype=np.int64).reshape(shape).astype(np.uint8)
    image = {"noise": noise(*shape), "black": ramp * 0, "white": ramp * 0 + 255, "ramp": ramp}[content]
    picture = read(encode_png(image, 500, {}))
    assert picture.mode == ("L" if image.ndim == 2 else "RGB")
    assert np.array_equal(np.asarray(picture), image)


def test_views_of_other_images_come_back():
    whole = noise(40, 60)
    for view in (whole[::2, 1::3], whole.T, whole[::-1, ::-1]):
        assert np.array_equal(np.asarray(read(encode_png(view, 500, {}))), view)


def test_resolution_and_text():
    text = {"plain": "a = 1", "accent": "é", "far": "指紋", "empty": ""}
    picture = read(encode_png(noise(4, 4), 1000, text))
    assert picture.info["dpi"] == pytest.approx((1000, 1000), abs=0.02)
    assert {key: picture.info[key] for key in text} == text


def test_blank_paper_takes_little_room():
    paper = np.full((512, 512), 255, np.uint8)
    assert len(encode_png(paper, 500, {})) < 2000
    paper[200:300, 200:300] = noise(100, 100)
    assert len(encode_png(paper, 500, {})) < 15000


def test_noisy_prints_take_hardly_more_than_by_the_best_of_all_filters():
    y, x = np.mgrid[-200:200, -150:150]
    ridges = 128 + 90 * np.sin(np.hypot(x, y) / 1.5)  # of all directions
    image = np.clip(ridges + np.random.default_rng(2).normal(0, 4, ridges.shape), 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", compress_type=zlib.Z_RLE)
    assert len(encode_png(image, 500, {})) < 1.1 * len(stream.getvalue())
