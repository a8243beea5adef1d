"""Images as they come: any depth, photometric interpretation and orientation; nothing but images."""

import io
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fingergen.runtime import images
from fingergen.runtime.errors import BadInput
from fingergen.runtime.images import decode_image, read_image

LEVELS = np.random.default_rng(0).integers(0, 256, (6, 9)).astype(np.uint8)
LEVELS[0, :3] = 0, 128, 255


def tiff(
    levels: np.ndarray, bits: int, *, white_is_zero: bool, big: bool = False, orientation: int = 1
) -> bytes:
    """An uncompressed TIFF file of gray levels, put together by TIFF 6.0."""
    order = ">" if big else "<"
    height, width = levels.shape
    pixels = levels.astype(np.dtype(np.uint8 if bits == 8 else np.uint16).newbyteorder(order)).tobytes()
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, 0 if white_is_zero else 1), (273, 8)]
    tags += [(274, orientation), (277, 1), (278, height), (279, len(pixels))]
    entries = b"".join(
        struct.pack(order + "HHI", tag, 3, 1) + struct.pack(order + "HH", value, 0) for tag, value in tags
    )
    directory = struct.pack(order + "H", len(tags)) + entries + bytes(4)
    return (b"MM\0*" if big else b"II*\0") + struct.pack(order + "I", 8 + len(pixels)) + pixels + directory


def big_tiff(levels: np.ndarray, *, white_is_zero: bool) -> bytes:
    """The same, of 16 bits, as BigTIFF."""
    height, width = levels.shape
    pixels = levels.astype("<u2").tobytes()
    tags = [(256, width), (257, height), (258, 16), (259, 1), (262, 0 if white_is_zero else 1), (273, 16)]
    tags += [(277, 1), (278, height), (279, len(pixels))]
    entries = b"".join(struct.pack("<HHQQ", tag, 3, 1, value) for tag, value in tags)
    header = b"II" + struct.pack("<HHHQ", 43, 8, 0, 16 + len(pixels))
    return header + pixels + struct.pack("<Q", len(tags)) + entries + bytes(8)


def read(content: bytes) -> np.ndarray:
    return np.asarray(decode_image(content, "x").image)


def encoded(image: Image.Image, form: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("white_is_zero", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_tiff_of_any_depth(bits: int, white_is_zero: bool, big: bool):
    """Fewer bits than 16 stand in 16, at the lower end; TIFF 6.0: interpretation 0 is white-is-zero."""
    highest = (1 << bits) - 1
    stored = np.rint(LEVELS / 255.0 * highest).astype(np.int64)
    content = tiff(highest - stored if white_is_zero else stored, bits if bits == 8 else 16,
                   white_is_zero=white_is_zero, big=big)  # fmt: skip
    assert np.array_equal(read(content), LEVELS)


@pytest.mark.parametrize("white_is_zero", [False, True])
def test_big_tiff(white_is_zero: bool):
    stored = LEVELS * np.int64(257)
    content = big_tiff(0xFFFF - stored if white_is_zero else stored, white_is_zero=white_is_zero)
    assert np.array_equal(read(content), LEVELS)


@pytest.mark.parametrize("white_is_zero", [False, True])
@pytest.mark.parametrize("big", [False, True])
def test_tiff_with_a_long_where_a_short_belongs(white_is_zero: bool, big: bool):
    stored = LEVELS * np.int64(257)
    content = tiff(0xFFFF - stored if white_is_zero else stored, 16, white_is_zero=white_is_zero, big=big)
    order, value = ">" if big else "<", 0 if white_is_zero else 1
    short = struct.pack(order + "HHIHH", 262, 3, 1, value, 0)
    assert content.count(short) == 1
    content = content.replace(short, struct.pack(order + "HHII", 262, 4, 1, value))
    assert np.array_equal(read(content), LEVELS)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_png_and_jpeg_2000_of_more_than_8_bits(bits: int):
    stored = np.rint(LEVELS / 255.0 * ((1 << bits) - 1)).astype(np.uint16)
    assert np.array_equal(read(encoded(Image.fromarray(stored), "PNG")), LEVELS)
    assert np.array_equal(read(encoded(Image.fromarray(stored), "JPEG2000", irreversible=False)), LEVELS)
    pgm = b"P5 9 6 %d\n" % ((1 << bits) - 1) + stored.astype(">u2").tobytes()
    assert np.abs(read(pgm).astype(int) - LEVELS).max() <= 1


def test_a_dark_image_of_16_bits_is_not_made_lighter():
    assert read(encoded(Image.fromarray((LEVELS // 8).astype(np.uint16) * 257), "PNG")).max() == 31


TURNS = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.T,
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).T,
    8: lambda a: np.rot90(a, -1),
}
"""From upright to what is stored with each orientation (EXIF 2.3, table of tag 274)."""


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF", "TIFF16"])
def test_orientation(orientation: int, form: str):
    stored = np.ascontiguousarray(TURNS[orientation](LEVELS))
    if form == "TIFF16":
        stored16 = (65535 - stored.astype(np.int64) * 257) & 0xFFFF
        content = tiff(stored16, 16, white_is_zero=True, orientation=orientation)
    else:
        exif = Image.Exif()
        exif[274] = orientation
        options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}.get(form, {})
        content = encoded(Image.fromarray(stored), form, exif=exif, dpi=(500, 1000), **options)
    scan = decode_image(content, "x")
    pixels = np.asarray(scan.image.convert("L")).astype(int)
    assert np.abs(pixels - LEVELS).max() <= (4 if form == "JPEG" else 0)
    if form in ("PNG", "JPEG", "TIFF"):
        assert scan.ppi == pytest.approx((1000, 500) if orientation > 4 else (500, 1000), rel=1e-3)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP", "PPM", "JPEG2000", "GIF"])
def test_formats_without_loss(form: str, tmp_path: Path):
    (tmp_path / "x").write_bytes(encoded(Image.fromarray(LEVELS), form))
    found = read_image(tmp_path / "x")
    assert np.array_equal(found if found.ndim == 2 else found[..., 0], LEVELS)


def test_damaged_exif_costs_no_pixels():
    exif = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + bytes(20)
    content = encoded(Image.fromarray(LEVELS), "PNG", exif=exif)
    assert np.array_equal(read(content), LEVELS)


@pytest.mark.parametrize(
    "content",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(x) (w) file\n%%EOF\n",
        b"\x0a\x05\x01\x08" + bytes(124) + bytes(64),  # PCX
        b"8BPS\0\1" + bytes(30),
        b"\xd7\xcd\xc6\x9a" + bytes(80),  # WMF
        b"not an image",
        b"",
    ],
)
def test_nothing_else_is_read(content: bytes, monkeypatch: pytest.MonkeyPatch):
    """Above all, no program is started: Pillow gives PostScript to Ghostscript."""
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("a program was started"))
    with pytest.raises(BadInput, match=r"^x: not a readable image"):
        decode_image(content, "x")


def test_several_images_in_a_file():
    pages = [Image.fromarray(LEVELS), Image.fromarray(255 - LEVELS)]
    for form in ("TIFF", "GIF", "WEBP"):
        content = encoded(pages[0], form, save_all=True, append_images=pages[1:])
        with pytest.raises(BadInput, match="it holds 2 images: save each as a file"):
            decode_image(content, "x")


@pytest.mark.parametrize("size", [(65535, 65535), (20000, 20000), (8193, 8192)])
def test_pixels_are_capped_before_they_are_decoded(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch):
    content = bytearray(encoded(Image.new("L", (8, 8)), "BMP"))
    content[18:26] = struct.pack("<ii", *size)
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("decoded"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(BadInput, match=r"x: not a readable image .*pixels"):
            decode_image(bytes(content), "x")


def test_every_reader_of_images_names_its_formats():
    """`Image.open` stands once in the programs, with `formats=`."""
    root = Path(images.__file__).parents[1]
    parts = ("runtime", "export", "training", "benchmarks", "cpp_ops")
    found = {
        path.relative_to(root).as_posix(): path.read_text(encoding="utf-8").count("Image.open(")
        for part in parts
        for path in (root / part).rglob("*.py")
    }
    assert {name: count for name, count in found.items() if count} == {"runtime/images.py": 1}
