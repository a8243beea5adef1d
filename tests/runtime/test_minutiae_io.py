"""Template files as they come: odd fields, values that the caller corrects, views, wrapped records."""

import base64
import json
import struct
import warnings
from pathlib import Path

import pytest

from fingergen.runtime.errors import BadInput
from fingergen.runtime.minutiae import (
    Minutia,
    MinutiaType,
    Point,
    Template,
    TemplateWarning,
    decode_template,
    read_template,
    write_template,
)

ENDING, BIFURCATION, OTHER = MinutiaType.ENDING, MinutiaType.BIFURCATION, MinutiaType.OTHER
KINDS = (ENDING, BIFURCATION)
TRUE = Template(
    200,
    300,
    500,
    tuple(Minutia(10 + 15 * i, 20 + 23 * i, 28 * i, KINDS[i % 2], 50 + i) for i in range(12)),
    (Point(90, 120, (90,)),),
    (Point(40, 250, (0, 90, 180)),),
)
RECORDS = ("iso19794-2-2005", "iso19794-2-2011", "ansi378-2004", "ansi378-2009")
MINUTIAE_AT = {"iso19794-2-2005": 28, "iso19794-2-2011": 47, "ansi378-2004": 30, "ansi378-2009": 38}
LENGTH_AT = {
    "iso19794-2-2005": (8, 4),
    "iso19794-2-2011": (8, 4),
    "ansi378-2004": (8, 2),
    "ansi378-2009": (8, 4),
}
PPI_AT = {"iso19794-2-2005": 18, "iso19794-2-2011": 36, "ansi378-2004": 20, "ansi378-2009": 33}
SIZE_AT = {"iso19794-2-2005": 14, "iso19794-2-2011": 41, "ansi378-2004": 16, "ansi378-2009": 29}
EACH_RECORD = pytest.mark.parametrize("name", RECORDS)


@pytest.fixture
def record(tmp_path: Path, name: str) -> bytes:
    write_template(tmp_path / "t", TRUE, name)
    data = (tmp_path / "t").read_bytes()
    minutiae, first = MINUTIAE_AT[name], TRUE.minutiae[0]
    assert data[minutiae - 1] == 12  # the table of offsets is right
    assert data[minutiae : minutiae + 4] == struct.pack(">HH", 1 << 14 | int(first.x), int(first.y))
    assert data[PPI_AT[name] : PPI_AT[name] + 4] == struct.pack(">HH", 197, 197)
    assert data[SIZE_AT[name] : SIZE_AT[name] + 4] == struct.pack(">HH", 200, 300)
    at, size = LENGTH_AT[name]
    assert int.from_bytes(data[at : at + size], "big") == len(data)
    return data


def changed(data: bytes, at: int, content: bytes) -> bytes:
    return data[:at] + content + data[at + len(content) :]


def minutia(name: str, data: bytes, number: int, offset: int, content: bytes) -> bytes:
    """A record with bytes of its `number`-th minutia, from 0, changed."""
    return changed(data, MINUTIAE_AT[name] + 6 * number + offset, content)


def read(data: bytes, name: str = "file", **options) -> tuple[Template, list[str]]:
    """The template and the warnings, without the file's name."""
    found: list[str] = []
    template = decode_template(data, name, on_warning=found.append, **options)
    assert all(warning.startswith(f"{name}: ") and warning.isprintable() for warning in found)
    return template, [warning.removeprefix(f"{name}: ") for warning in found]


def read_odd(data: bytes, said: str, name: str = "file") -> Template:
    """Read with one warning that has `said` in it; refused when strict."""
    template, found = read(data, name)
    assert len(found) == 1 and said in found[0], found
    with pytest.raises(BadInput, match="--strict"):
        decode_template(data, name, strict=True)
    return template


@EACH_RECORD
def test_a_sound_record_gives_no_warning(name: str, record: bytes):
    template, found = read(record, strict=True)
    assert not found
    assert [(m.x, m.y, m.type, m.quality) for m in template.minutiae] == [
        (m.x, m.y, m.type, m.quality) for m in TRUE.minutiae
    ]
    assert [(p.x, p.y) for p in template.cores + template.deltas] == [(90, 120), (40, 250)]


# -- odd fields ---------------------------------------------------------------------------------------------


@EACH_RECORD
@pytest.mark.parametrize("code", [101, 200, 253])
def test_quality_beyond_100_is_not_known(name: str, record: bytes, code: int):
    data = minutia(name, minutia(name, record, 0, 5, bytes([code])), 7, 5, bytes([code]))
    template = read_odd(data, f"minutiae 1 and 8: quality {code} is not in 0 to 100, taken as not known")
    expected = [None if i in (0, 7) else 50 + i for i in range(12)]
    assert [m.quality for m in template.minutiae] == expected


@EACH_RECORD
@pytest.mark.parametrize("code", [254, 255])
def test_quality_254_and_255(name: str, record: bytes, code: int):
    """Not reported and failed: since 2009; before, not allowed."""
    template, found = read(minutia(name, record, 3, 5, bytes([code])))
    assert template.minutiae[3].quality is None
    assert bool(found) == (name in ("iso19794-2-2005", "ansi378-2004"))


@EACH_RECORD
def test_reserved_type_is_other(name: str, record: bytes):
    data = minutia(name, record, 11, 0, struct.pack(">H", 3 << 14 | 175))
    template = read_odd(data, "minutia 12: type 3 is reserved, taken as other")
    assert [m.type for m in template.minutiae] == [*(m.type for m in TRUE.minutiae[:11]), OTHER]


@EACH_RECORD
@pytest.mark.parametrize(("x", "y"), [(200, 100), (100, 300), (200, 300)])
def test_a_point_on_the_border_is_moved_inside(name: str, record: bytes, x: int, y: int):
    data = minutia(name, record, 5, 0, struct.pack(">HH", 1 << 14 | x, y))
    template = read_odd(data, "minutia 6: on the border of the image of 200 x 300, moved inside")
    assert (template.minutiae[5].x, template.minutiae[5].y) == (min(x, 199), min(y, 299))


@EACH_RECORD
def test_a_point_outside_is_dropped(name: str, record: bytes):
    data = minutia(name, record, 5, 0, struct.pack(">HH", 1 << 14 | 300, 100))
    template = read_odd(data, "minutia 6: outside the image of 200 x 300, dropped")
    assert [m.x for m in template.minutiae] == [m.x for i, m in enumerate(TRUE.minutiae) if i != 5]


@EACH_RECORD
def test_a_wrong_size_is_refused(name: str, record: bytes):
    data = changed(record, SIZE_AT[name], struct.pack(">HH", 50, 60))
    with pytest.raises(
        BadInput, match=r"10 of 12 minutiae lie outside the image of 50 x 60.*--template-size"
    ):
        read(data)
    template, found = read(data, width=200, height=300)
    assert len(template.minutiae) == 12 and found == [
        "the file says 50 x 60 pixels; 200 x 300, as given, is used"
    ]


@EACH_RECORD
@pytest.mark.parametrize("wrong", [0, 30, -24, 6])
def test_wrong_record_length(name: str, record: bytes, wrong: int):
    at, size = LENGTH_AT[name]
    length = wrong if wrong in (0, 30) else len(record) + wrong
    template = read_odd(changed(record, at, length.to_bytes(size, "big")), f"record length is {length}")
    assert template == read(record)[0]


@EACH_RECORD
def test_x_and_y_resolution_that_differ_by_rounding(name: str, record: bytes):
    data = changed(record, PPI_AT[name], struct.pack(">HH", 197, 196))
    template = read_odd(data, "taken for rounding")
    assert template.ppi == 500 and template.height == 300


def test_pixels_that_are_not_square():
    """Twice as many pixels along y: y is halved, 45° on the finger was 63° in the pixels."""
    minutiae = struct.pack(">HHBB", 1 << 14 | 50, 101, 45, 60)  # code 45 of 256: 63.28°
    view = b"\0\0\0\1" + minutiae + b"\0\0"
    data = b"FMR\0 20\0" + struct.pack(">IHHHHHBB", 24 + len(view), 0, 200, 300, 197, 394, 1, 0) + view
    template = read_odd(data, "y coordinates are scaled to the x resolution")
    assert (template.width, template.height, template.ppi) == (200, 150, 500)
    assert (template.minutiae[0].x, template.minutiae[0].y) == (50, 50.25)
    assert template.minutiae[0].angle == pytest.approx(44.81, abs=0.01)


@EACH_RECORD
@pytest.mark.parametrize(
    "extended",
    [
        "000a 0002 000a 02 40640078 40",  # a core short
        "0004 0001 0000",  # a length of 0
        "000a 0121 0028 616263646566",  # a length beyond the end
        "0003 000200",  # no whole header
        "0100 0002",  # more than the file has
    ],
)
def test_damaged_extended_data(name: str, record: bytes, extended: str):
    data = record[: MINUTIAE_AT[name] + 72] + bytes.fromhex(extended)
    at, size = LENGTH_AT[name]
    data = changed(data, at, len(data).to_bytes(size, "big"))
    if name == "iso19794-2-2011":
        data = changed(data, 15, (len(data) - 15).to_bytes(4, "big"))
    template = read_odd(data, "extended data")
    assert len(template.minutiae) == 12 and not template.cores and not template.deltas


@pytest.mark.parametrize("name", ["ansi378-2004", "ansi378-2009"])
@pytest.mark.parametrize("code", [180, 255])
def test_angle_beyond_the_circle(name: str, record: bytes, code: int):
    template = read_odd(
        minutia(name, record, 2, 4, bytes([code])),
        f"minutia 3: angle code {code} is not in 0 to 179, dropped",
    )
    assert [m.x for m in template.minutiae] == [m.x for i, m in enumerate(TRUE.minutiae) if i != 2]


def test_odd_rows_of_text():
    template, found = read(b"1 200 0 50\n2 200 0 400\n", "t.xyt", width=200, height=300)
    assert [m.quality for m in template.minutiae] == [50, None] and "minutia 2: quality 400" in found[0]
    template, found = read(b"1 200 0\n200 200 0\n400 200 0\n", "t.xyt", width=200, height=300)
    assert [m.x for m in template.minutiae] == [1, 199] and len(found) == 2


# -- what the caller says -----------------------------------------------------------------------------------


@EACH_RECORD
def test_given_ppi_wins(name: str, record: bytes):
    data = changed(record, PPI_AT[name], struct.pack(">HH", 500, 500))  # ppi written as pixels per cm
    template, found = read(data)
    assert template.ppi == 1270 and "--template-ppi" in found[0]
    template, found = read(data, ppi=500)
    assert found == ["the file says 1270 ppi; 500 ppi, as given, is used"]
    assert template == read(record)[0]
    assert read(data, ppi=500, override=False)[0].ppi == 1270


def test_given_values_that_agree_give_no_warning(tmp_path: Path):
    write_template(tmp_path / "t.json", TRUE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_template(tmp_path / "t.json", width=200, height=300, ppi=500) == TRUE
    with pytest.warns(TemplateWarning, match="says 500 ppi; 250 ppi, as given, is used"):
        assert read_template(tmp_path / "t.json", ppi=250).ppi == 250


def test_views():
    one = struct.pack(">HHBB", 1 << 14 | 5, 6, 0, 60)
    view = b"\0\0\0\1" + one + b"\0\0"
    data = b"FMR\0 20\0" + struct.pack(">IHHHHHBB", 24 + 12 + 6, 0, 20, 30, 197, 197, 2, 0) + view + bytes(6)
    template, found = read(data)
    assert len(template.minutiae) == 1
    assert found == ["holds 2 finger views: the first is read, --view 1 reads the second"]
    assert read(data, view=0) == (template, [])
    assert read(data, view=1)[0].minutiae == ()
    template, found = read(data[:-3])
    assert len(template.minutiae) == 1
    assert "finger view 1 and what follows it cannot be read" in found[0]


@pytest.mark.parametrize("ppi", ["5e-324", "0", "-1", "1e6", "NaN", "1e999"])
def test_resolutions_that_no_image_has(ppi: str):
    text = '{"format": "fingergen-template", "format_version": 1, "width": 9, "height": 9, "ppi": %s, '
    with pytest.raises(BadInput, match="ppi is"):
        read((text % ppi + '"minutiae": []}').encode(), "t.json")


# -- formats and wrappers -----------------------------------------------------------------------------------


def test_ansi_2009_by_hand():
    """The same layout with both version numbers; "030" is not taken for ISO/IEC 19794-2:2011."""
    view = bytes.fromhex(
        "07 01 00 50 0103 0001 0100 012c 00c5 00c5 02"  # left index, view 1, quality 80, 256 x 300, 197 px/cm
        "4064 000e 50 5a 8037 0012 10 fe"  # ending, 160°, 90; bifurcation, 32°, not reported
        "0012 0002 0012 41 0064 0078 2d 41 0032 00fa 00 2d 5a"  # a core at 90°, a delta
    )
    for version in (b"030\0", b"035\0"):
        head = b"FMR\0" + version + (21 + len(view)).to_bytes(4, "big")
        template, found = read(head + bytes.fromhex("0103 0000 80 0033 01 00") + view, strict=True)
        assert not found
        assert template == Template(
            256,
            300,
            500,
            (Minutia(100, 14, 160, ENDING, 90), Minutia(55, 18, 32, BIFURCATION, None)),
            (Point(100, 120, (90,)),),
            (Point(50, 250, (0, 90, 180)),),
        )


def test_an_amended_record_that_is_damaged_is_named():
    with pytest.raises(BadInput, match="read as ANSI/INCITS 378-2009"):
        read(b"FMR\x00035\0" + bytes(13))


def test_card_formats_by_hand(tmp_path: Path):
    """At 254 ppi a pixel is 0.1 mm."""
    compact = bytes([100, 50, 1 << 6 | 16, 255, 0, 2 << 6 | 63])
    template, found = read(compact, "t.iso-fmc-cs", ppi=254)
    assert not found
    assert template.minutiae == (Minutia(100, 50, 90, ENDING), Minutia(255, 0, 354.375, BIFURCATION))
    normal = struct.pack(">HHBHHB", 1 << 14 | 1000, 500, 64, 2 << 14 | 2550, 0xC000, 255)
    template, found = read(normal, format="iso19794-2-card-normal", ppi=254)
    assert not found
    assert template.minutiae == (Minutia(100, 50, 90, ENDING), Minutia(255, 0, 358.59375, BIFURCATION))
    write_template(tmp_path / "t.iso-fmc-ns", template)
    assert (tmp_path / "t.iso-fmc-ns").read_bytes() == normal.replace(b"\xc0\0", b"\0\0")
    write_template(tmp_path / "t.iso-fmc-cs", template)
    assert (tmp_path / "t.iso-fmc-cs").read_bytes()[:3] == compact[:3]
    with pytest.raises(BadInput, match=r"up to 25\.5 mm: write iso19794-2-card-normal"):
        write_template(tmp_path / "t.iso-fmc-cs", Template(512, 512, 254, (Minutia(400, 0, 0, ENDING),)))


def test_card_coordinates_that_are_no_metric_ones():
    minutiae = b"".join(struct.pack(">HHB", 60 + i, 50 + i, 0) for i in range(12))
    assert "extend over 0.1 mm" in read(minutiae, "t.iso-fmc-ns")[1][0]


def test_min_by_hand():
    """Direction 0 points up, 8 to the right; the true angle is 180° from what bozorth3's .xyt of it says."""
    text = (
        "Image (w,h) 256 300\n\n 3 Minutiae Detected\n\n"
        "   0 :   60,   50 :  0 :  0.600 :RIG :APP : 1 :   63,   50; 0 :   70,   51; 3\n"
        "   1 :   97,  103 :  8 :  0.61 :BIF :DIS : 2 :\n"
        "   2 :  134,  156 : 31 :  1.000 :RIG :APP : 14\n"
    )
    template, found = read(text.encode(), "t", strict=True)
    assert not found
    assert template == Template(
        256,
        300,
        500,
        (
            Minutia(60, 50, 90, ENDING, 60),
            Minutia(97, 103, 0, BIFURCATION, 61),
            Minutia(134, 156, 101.25, ENDING, 100),
        ),
    )
    odd = text.replace("3 Minutiae", "4 Minutiae").replace(": 31 :", ": 32 :").replace(":BIF", ":XXX")
    template, found = read(odd.encode(), "t")
    assert [m.type for m in template.minutiae] == [ENDING, OTHER]
    assert [warning.split(":")[0] for warning in found] == [
        "the file announces 4 minutiae and lists 3",
        "minutia 2",
        "minutia 3",
    ]


@EACH_RECORD
def test_wrapped_records(name: str, record: bytes):
    expected = read(record)[0]
    encoded = base64.b64encode(record).decode()
    lines = "\n".join(encoded[i : i + 64] for i in range(0, len(encoded), 64))
    pieces = record.hex(" ", 4)
    cbeff = b"\x03\x0d" + len(record).to_bytes(4, "big") + b"\0\0" + bytes(80)
    for wrapped in (
        encoded,
        lines + "\n",
        encoded.rstrip("="),
        base64.urlsafe_b64encode(record).decode(),
        json.dumps(encoded),
        f"data:application/octet-stream;base64,{encoded}",
        f"-----BEGIN TEMPLATE-----\n{lines}\n-----END TEMPLATE-----\n",
        record.hex(),
        record.hex().upper(),
        f"0x{record.hex()}\r\n",
        pieces,
        "\ufeff" + pieces.replace(" ", ":"),
        (cbeff + record).hex(),
    ):
        assert read(wrapped.encode(), "t.txt") == (expected, [])
    assert read(cbeff + record + b"signature", "t.dat") == (expected, [])
    assert read(b"\x7f\x61\x82\x01\x00\x02\x01\x01" + record, "t") == (expected, [])


def test_card_format_in_text():
    minutiae = bytes([100, 50, 1 << 6 | 16]) * 2
    assert len(read(minutiae.hex().encode(), "t.iso-fmc-cs")[0].minutiae) == 2


@pytest.mark.parametrize("content", [b"1 2 3 4\n", b"1 200 90\n12 34 56\n"])
def test_rows_of_numbers_are_not_taken_for_hexadecimal(content: bytes):
    assert len(read(content, "t.xyt")[0].minutiae) == content.count(b"\n")


def test_unknown_version_of_a_record():
    with pytest.raises(BadInput, match=r"version b'040\\x00' at offset 4: .*035.*Amendment 1"):
        read(b"FMR\x00040\0" + bytes(100))


def test_2011_declares_endings_at_ridge_ends(tmp_path: Path):
    write_template(tmp_path / "t", TRUE, "iso19794-2-2011")
    assert (tmp_path / "t").read_bytes()[MINUTIAE_AT["iso19794-2-2011"] - 2] == 6 << 4 | 1


def test_a_file_that_is_far_too_large(tmp_path: Path):
    with (tmp_path / "t.fmr").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(BadInput, match="has more than 64 MiB"):
        read_template(tmp_path / "t.fmr")
