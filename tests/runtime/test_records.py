"""Image records: round trips, and readers that others wrote agree."""

import io
import struct
from datetime import datetime
from pathlib import Path

import iso19794  # registers the format FIR with Pillow
import nistitl
import numpy as np
import pytest
import wsq  # registers the format WSQ with Pillow
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fingergen.runtime.errors import BadInput
from fingergen.runtime.minutiae import read_template
from fingergen.runtime.records import (
    COMPRESSIONS,
    FORMATS,
    Content,
    Details,
    FingerImage,
    decode_record,
    read_record,
    write_record,
)

SAMPLES = Path(__file__).parents[1] / "data" / "minutiae"
WHEN = datetime(2026, 2, 3, 4, 5, 6)
LOSSY = {"jp2", "wsq"}
WITH_COMPRESSION = [
    (name, compression) for name, known in FORMATS.items() for compression in known.compressions or (None,)
]
STANDARDS = [name for name, known in FORMATS.items() if known.several]
assert iso19794 and wsq


class Pillow13Reader(iso19794.FIR.FIRImageFile):
    """The package's reader sets `mode`, which newer Pillow does not allow."""

    mode = property(lambda self: self._mode, lambda self, value: setattr(self, "_mode", value))


def ridges(height: int = 120, width: int = 96) -> np.ndarray:
    y, x = np.mgrid[:height, :width] - 40.0
    return (127.5 + 100 * np.cos(np.hypot(x, y) * 2 * np.pi / 9)).astype(np.uint8)


def image(ppi: float = 500, **fields: object) -> FingerImage:
    return FingerImage(ridges(), ppi, **{"position": 7, "impression_type": 1} | fields)


def encoded(name: str, content: Content | FingerImage, **details: object) -> bytes:
    content = content if isinstance(content, Content) else Content((content,))
    return FORMATS[name].encode(content, Details(**{"captured": WHEN} | details))


def is_close(one: np.ndarray, other: np.ndarray) -> bool:
    return abs(one.astype(int) - other).mean() < 12


# -- round trips --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ppi", [500, 1000])
@pytest.mark.parametrize(("name", "compression"), WITH_COMPRESSION)
def test_round_trip(tmp_path, name, compression, ppi):
    given = image(ppi, provenance={"synthetic": "yes", "seed": "7"})
    path = tmp_path / f"x{FORMATS[name].extensions[0]}"
    write_record(path, given, name, Details(compression, WHEN))
    (found,) = read_record(path).images
    if compression in LOSSY or name in LOSSY:
        assert found.pixels.shape == given.pixels.shape and is_close(found.pixels, given.pixels)
    else:
        assert np.array_equal(found.pixels, given.pixels)
    assert (found.ppi, found.provenance) == (ppi, given.provenance)
    if name in STANDARDS:
        assert (found.position, found.impression_type) == (7, 1)


@pytest.mark.parametrize("name", STANDARDS)
def test_several_images_in_one_record(name):
    images = (image(), image(position=3), FingerImage(ridges(80, 200), 500))
    found = decode_record(encoded(name, Content(images)), "x").images
    assert [each.position for each in found] == [7, 3, 0]
    assert found[2].pixels.shape == (80, 200)


@pytest.mark.parametrize("name", ["jp2", "wsq"])
def test_fifteen_to_one(name):
    finger = np.random.default_rng(0).normal(ridges(400, 400), 30).clip(0, 255).astype(np.uint8)
    assert len(encoded(name, FingerImage(finger, 500))) == pytest.approx(finger.size / 15, rel=0.2)


def test_a_template_goes_with_its_image():
    template = read_template(SAMPLES / "sample.json")
    found = decode_record(encoded("ansi-nist", Content((image(),), (template,))), "x")
    assert found.images[0].position == 7
    (back,) = found.templates
    assert (back.width, back.height, back.ppi) == (template.width, template.height, template.ppi)
    assert [(each.type, each.quality) for each in back.minutiae] == [
        (each.type, None if each.quality is None else round(each.quality)) for each in template.minutiae
    ]
    for one, other in zip(back.minutiae, template.minutiae, strict=True):
        assert abs(one.x - other.x) <= 0.5 and abs(one.y - other.y) <= 0.5
        assert abs((one.angle - other.angle + 180) % 360 - 180) <= 1
    assert len(back.cores) == len(template.cores) and len(back.deltas) == len(template.deltas)


def test_pixels_per_centimeter():
    data = bytearray(encoded("iso19794-4-2005", image()))
    data[19] = 2
    data[24:28] = struct.pack(">HH", 197, 197)
    assert decode_record(bytes(data), "x").images[0].ppi == 500


# -- readers that others wrote ------------------------------------------------------------------------------


def test_nistitl_reads_transactions():
    template = read_template(SAMPLES / "sample.json")
    message = nistitl.Message()
    message.parse(encoded("ansi-nist", Content((image(),), (template,))))
    assert [record.type for record in message] == [1, 2, 9, 14]
    fingerprint = next(message.iter(14))
    assert [fingerprint[number].value for number in (6, 7, 9, 11, 13)] == ["96", "120", "500", "WSQ20", "7"]
    with Image.open(io.BytesIO(fingerprint.DATA)) as picture:
        assert picture.format == "WSQ" and is_close(np.asarray(picture), ridges())
    minutiae = next(message.iter(9))[137]
    assert len(minutiae) == len(template.minutiae)
    assert minutiae[0].values[1:3] == [str(each) for each in template.pixel(template.minutiae[0])]


def test_nistitl_reads_type_4():
    message = nistitl.Message()
    message.parse(encoded("ansi-nist", image(), record_type=4, compression="none"))
    (record,) = message.iter(4)
    *_, width, height, compression, pixels = record.unpack(">B6sBHHB")
    assert pixels == ridges().tobytes()
    assert (width, height, compression) == (96, 120, 0)


def test_what_nistitl_writes_is_read():
    message = nistitl.Message()
    message.TOT, message[0].DAT, message[0].TCN = "TEST", "20260203", "1"
    record = nistitl.AsciiRecord(14)
    fields = [(3, "0"), (4, "X"), (5, "20260203"), (6, "96"), (7, "120"), (8, "1"), (9, "500"), (10, "500")]
    for number, value in [*fields, (11, "NONE"), (12, "8"), (13, "4")]:
        record += nistitl.Field(14, number, value)
    record += nistitl.BinaryField(14, 999, ridges().tobytes())
    message += record
    (found,) = decode_record(message.NIST, "x").images
    assert found.position == 4 and np.array_equal(found.pixels, ridges())


@pytest.mark.parametrize("compression", ["none", "jp2-lossless", "wsq", "jp2"])
def test_iso19794_reads_records(compression):
    with Pillow13Reader(io.BytesIO(encoded("iso19794-4-2011", image(), compression=compression))) as picture:
        assert picture.format == "FIR" and picture.header["position"] == "LEFT_INDEX_FINGER"
        assert picture.header["horizontal_image_sampling_rate"] == 500
        assert picture.header["capture_datetime"] == WHEN
        if compression in ("none", "jp2-lossless"):
            assert np.array_equal(np.asarray(picture), ridges())


def test_what_iso19794_writes_is_read():
    picture = Image.fromarray(ridges())
    picture.header = {"image_compression_algo": "RAW", "position": "RIGHT_THUMB"}
    stream = io.BytesIO()
    picture.save(stream, "FIR")
    (found,) = decode_record(stream.getvalue(), "x").images
    assert found.position == 1 and np.array_equal(found.pixels, ridges())


def test_pillow_reads_the_resolution_of_jpeg_2000():
    with Image.open(io.BytesIO(encoded("jp2-lossless", image(1000)))) as picture:
        assert picture.info["dpi"] == pytest.approx((1000, 1000), rel=1e-3)


# -- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "details", "message"),
    [
        ("png", Content((image(), image())), {}, "holds one image, not 2"),
        ("png", image(), {"compression": "wsq"}, "is not written with compression wsq"),
        ("iso19794-4-2011", image(512.5), {}, "512.5 ppi: a record carries whole numbers"),
        ("iso19794-4-2005", Content((image(), image(1000))), {}, "500 and 1000 ppi: a record states one"),
        ("iso39794-4", image(position=13), {}, "finger position 13 is not in 0 to 10"),
        ("ansi-nist", image(1000), {"record_type": 4}, "Type-4 records have 500 ppi, write Type-14"),
        ("wsq", FingerImage(ridges(20, 90), 500), {}, "WSQ takes 32 or more per side"),
        ("wsq", FingerImage(np.full((64, 64), 255, np.uint8), 500), {}, ""),
    ],
)
def test_what_a_format_cannot_carry(tmp_path, name, content, details, message):
    path = tmp_path / "x"
    try:
        write_record(path, content, name, Details(**{"captured": WHEN} | details))
    except BadInput as error:
        assert str(error).startswith(f"{path}: ") and message in str(error)
        assert not path.exists()
    else:
        assert not message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is empty"),
        (b"FIR\x00999\x00", "version b'999\\x00' at offset 4"),
        (encoded("iso19794-4-2011", image())[:-1], "needs"),
        (encoded("iso19794-4-2005", image())[:-1], "needs"),
        (encoded("iso39794-4", image())[:-1], "needs"),
        (encoded("ansi-nist", image())[:-1], "bytes"),
        (encoded("ansi-nist", image()).replace(b"14.006:96", b"14.006:97"), "96 x 120 pixels, the record"),
        (encoded("pgm", image()), "does not state its resolution: give it with --image-ppi"),
    ],
)  # fmt: skip
def test_damaged_records_get_one_line(data, message):
    with pytest.raises(BadInput) as failure:
        decode_record(data, "x")
    assert str(failure.value).startswith("x: ") and message in str(failure.value)


def test_raw_pixels_need_their_size():
    data = ridges().tobytes()
    with pytest.raises(BadInput, match="--image-size"):
        decode_record(data, "x.raw", ppi=500)
    with pytest.raises(BadInput, match="11520 bytes, 96 x 121 pixels need 11616"):
        decode_record(data, "x.raw", size=(96, 121), ppi=500)
    (found,) = decode_record(data, "x.raw", size=(96, 120), ppi=500).images
    assert np.array_equal(found.pixels, ridges())


SMALL = FingerImage(ridges(12, 10), 500)
WHOLE = {name: [encoded(name, SMALL, compression=each) for each in ("none", "png")] for name in STANDARDS}
WHOLE["ansi-nist"].append(encoded("ansi-nist", Content(templates=(read_template(SAMPLES / "sample.json"),))))


@pytest.mark.parametrize("name", STANDARDS)
@given(st.data())
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_images_or_one_line(name, data):
    whole = data.draw(st.sampled_from(WHOLE[name]))
    cuts = st.integers(0, len(whole))
    first, last = sorted((data.draw(cuts), data.draw(cuts)))
    middle = data.draw(st.binary(max_size=8))
    if data.draw(st.booleans()):
        last = min(len(whole), first + len(middle))
    try:
        found = decode_record(whole[:first] + middle + whole[last:], "x", name)
    except BadInput as error:
        assert str(error).isprintable() and len(str(error)) < 400
    else:
        assert found.images or found.templates


def test_every_compression_is_known():
    assert all(set(known.compressions) <= set(COMPRESSIONS) for known in FORMATS.values())
