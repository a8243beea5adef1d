"""Every format: records put together by hand, what survives a round trip, and what is refused."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from fingergen.runtime.errors import BadInput
from fingergen.runtime.minutiae import (
    FORMATS,
    WRITABLE,
    Minutia,
    MinutiaType,
    Point,
    Template,
    read_template,
    write_template,
)

DATA = Path(__file__).parents[1] / "data" / "minutiae"
SAMPLE = DATA / "sample.json"
ENDING, BIFURCATION, OTHER = MinutiaType.ENDING, MinutiaType.BIFURCATION, MinutiaType.OTHER
RECORDS = ("iso19794-2-2005", "iso19794-2-2011", "ansi378-2004")

# Two finger views: the first with a vendor's area before its singular points, the second empty.
ISO_2005 = bytes.fromhex(
    "464d5200 20323000 0000005c"  # FMR, 20, 92 bytes
    "0000 0100 012c 00c5 00c5 02 00"  # device, 256 x 300, 197 px/cm, 2 views
    "07 00 50 03"  # left index, quality 80, 3 minutiae
    "4064 000e 50 5a"  # ending (100, 14), code 80 = 112.5°, 90
    "8037 c012 10 00"  # bifurcation (55, 18; reserved bits set), 22.5°, not reported
    "00ff 012b ff 64"  # other (255, 299), 358.59375°, 100
    "0026"  # 38 bytes of areas
    "0221 000a 01 44bc 36 21 43"  # a vendor's
    "0002 001c 02 4064 0078 40 0065 0079"  # 2 cores: (100, 120) at 90°, (101, 121)
    "02 4032 00fa 10 60 c0 0033 00fb 0000"  # 2 deltas: (50, 250), (51, 251); what follows is left alone
    "01 10 00 00 0000"  # right thumb, view 1, no minutiae, no areas
)
ISO_2011 = bytes.fromhex(
    "464d5200 30333000 00000067 0002 01"  # FMR, 030, 103 bytes, 2 representations, certified
    "0000 0035 07d5 0c 0f 11 23 14 0000 00 abcd 00b5"  # 53 bytes, 2005-12-15 17:35:20, device
    "01 5a abcd 0123 01 0103 01"  # a quality block, a certification
    "07 00 00c5 00c5 00 0100 012c 50 02"  # left index, 197 px/cm, 256 x 300, minutiae of 5 bytes, 2
    "4064 000e 50 8037 0012 10 0000"
    "0000 0023 ffffffffffffffffff 00 0000 0000 00 00 01 00 00c5 00c5 00 0200 0200 60 00 0000"
)
ANSI = bytes.fromhex(
    "464d5200 20323000 0049"  # FMR, 20, 73 bytes
    "0103 0000 8033 0100 012c 00c5 00c5 01 00"  # product, equipment, 256 x 300, 197 px/cm, 1 view
    "07 00 50 02"
    "4064 000e 50 5a"  # ending (100, 14), code 80 = 160°, 90
    "8037 0012 10 00"  # bifurcation (55, 18), 32°, not reported
    "001d"  # 29 bytes of areas
    "0001 0007 01 00 01"  # ridge counts
    "0002 0016 41 0064 0078 2d"  # a core with angle: (100, 120), 90°
    "02 0032 00fa 0033 00fb 0000 00"  # 2 deltas without: (50, 250), (51, 251); what follows is left alone
)


def read(tmp_path: Path, content: bytes, name: str = "template", **options) -> Template:
    path = tmp_path / name
    path.write_bytes(content)
    return read_template(path, **options)


def test_iso_2005_by_hand(tmp_path: Path):
    first = read(tmp_path, ISO_2005)
    assert (first.width, first.height, first.ppi) == (256, 300, 500)
    assert first.minutiae == (
        Minutia(100, 14, 112.5, ENDING, 90),
        Minutia(55, 18, 22.5, BIFURCATION, None),
        Minutia(255, 299, 358.59375, OTHER, 100),
    )
    assert first.cores == (Point(100, 120, (90,)), Point(101, 121))
    assert first.deltas == (Point(50, 250, (22.5, 135, 270)), Point(51, 251))
    assert read(tmp_path, ISO_2005, view=1) == Template(256, 300, 500)


def test_iso_2011_by_hand(tmp_path: Path):
    first, second = read(tmp_path, ISO_2011), read(tmp_path, ISO_2011, view=1)
    expected = Minutia(100, 14, 112.5, ENDING, None), Minutia(55, 18, 22.5, BIFURCATION, None)
    assert first == Template(256, 300, 500, expected)
    assert second == Template(512, 512, 500)


def test_ansi_by_hand(tmp_path: Path):
    template = read(tmp_path, ANSI)
    assert template.minutiae == (Minutia(100, 14, 160, ENDING, 90), Minutia(55, 18, 32, BIFURCATION, None))
    assert template.cores == (Point(100, 120, (90,)),) and template.deltas == (Point(50, 250), Point(51, 251))
    long_length = ANSI[:8] + bytes.fromhex("0000 0000004d") + ANSI[10:]
    assert read(tmp_path, long_length) == template


def test_iso_2011_qualities(tmp_path: Path):
    records = bytes.fromhex("4064 000e 50 fe 4065 000f 50 ff 4066 0010 50 00 4067 0011 50 64")
    view = bytes.fromhex("00" * 15 + "01 00 00c5 00c5 00 0100 012c 60 04") + records + b"\0\0"
    record = bytes.fromhex("464d5200 30333000") + (19 + len(view)).to_bytes(4, "big") + b"\0\1\0"
    template = read(tmp_path, record + (4 + len(view)).to_bytes(4, "big") + view)
    assert [m.quality for m in template.minutiae] == [None, None, 0, 100]


def test_what_follows_the_record_is_left_alone(tmp_path: Path):
    assert read(tmp_path, ANSI + b"padding") == read(tmp_path, ANSI)


def test_size_and_resolution_that_a_record_leaves_out(tmp_path: Path):
    blank = ANSI[:16] + bytes(8) + ANSI[24:]
    with pytest.raises(BadInput, match=r"--template-size WIDTH HEIGHT .in Python: width=, height=."):
        read(tmp_path, blank)
    with pytest.raises(BadInput, match=r"--template-ppi PPI .in Python: ppi=."):
        read(tmp_path, blank, width=256, height=300)
    filled = read(tmp_path, blank, width=256, height=300, ppi=500)
    assert filled == read(tmp_path, ANSI, width=999, height=999, ppi=99, override=False)


@pytest.mark.parametrize(("ppi", "per_cm"), [(500, 197), (250, 98), (1000, 394), (508, 200), (569, 224)])
def test_resolution_in_pixels_per_centimeter(tmp_path: Path, ppi: float, per_cm: int):
    path = tmp_path / "t.fmr"
    write_template(path, Template(10, 10, ppi))
    assert path.read_bytes()[18:22] == per_cm.to_bytes(2, "big") * 2
    assert read_template(path).ppi == pytest.approx(ppi, rel=1e-3)
    assert (read_template(path).ppi == ppi) == (
        ppi != 569
    )  # 569 ppi is no whole number of pixels per centimeter


def test_xyt_by_hand(tmp_path: Path):
    """A minutia 30 px below the top, pointing right by NBIS: to the left by ISO/IEC 19794-2."""
    template = read(
        tmp_path, b"10 270 0 55\n\n20 1 200\n21 0 350 7\n", "t.xyt", width=256, height=300, ppi=1000
    )
    assert template == Template(
        256,
        300,
        1000,
        (Minutia(10, 30, 180, quality=55), Minutia(20, 299, 20), Minutia(21, 299, 170, quality=7)),
    )
    write_template(tmp_path / "u.xyt", template)
    assert (tmp_path / "u.xyt").read_text() == "10 270 0 55\n20 1 200\n21 1 350 7\n"


def test_synfing_by_hand(tmp_path: Path):
    template = read(tmp_path, b"1 230 325 242.5\n2 467 158 73\r\n4 250.5 240 0\n5 180 400 0\n", "t.txt")
    assert template == Template(
        512,
        512,
        500,
        (Minutia(230, 325, 242.5, ENDING), Minutia(467, 158, 73, BIFURCATION)),
        (Point(250.5, 240),),
        (Point(180, 400),),
    )
    write_template(tmp_path / "u.txt", template)
    assert (tmp_path / "u.txt").read_text() == "1 230 325 242.5\n2 467 158 73\n4 250.5 240 0\n5 180 400 0\n"


def places(template: Template) -> list[tuple[float, float]]:
    return [(p.x, p.y) for p in template.minutiae + template.cores + template.deltas]


def same_places(one: Template, two: Template) -> bool:
    return places(one) == places(two)


@pytest.mark.parametrize("name", RECORDS)
def test_records_keep_the_sample(tmp_path: Path, name: str):
    sample, path = read_template(SAMPLE), tmp_path / "t"
    write_template(path, sample, name)
    back = read_template(path)
    assert same_places(back, sample) and (back.width, back.height, back.ppi) == (300, 400, 500)
    step = 2 if name == "ansi378-2004" else 360 / 256
    for ours, theirs in zip(back.minutiae, sample.minutiae, strict=True):
        assert (ours.type, ours.quality) == (theirs.type, theirs.quality)
        assert abs((ours.angle - theirs.angle + 180) % 360 - 180) <= step / 2
    assert [len(p.angles) for p in back.cores + back.deltas] == [1, 3]
    write_template(tmp_path / "again", back, name)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_json_alone_keeps_unclear_minutiae(tmp_path: Path):
    unclear = Minutia(3.25, 4.5, 271, MinutiaType.BIFURCATION), Minutia(7, 8, 9, quality=30)
    truth = replace(read_template(SAMPLE), unclear=unclear)
    for name in ("t.json", "t.ansi"):
        write_template(tmp_path / name, truth)
    assert read_template(tmp_path / "t.json") == truth
    stretched = read_template(tmp_path / "t.json", ppi=1000, override=True)
    assert stretched.ppi == 1000 and stretched.unclear == unclear
    assert read_template(tmp_path / "t.ansi").unclear == ()
    outside = altered_json(unclear=[{"type": "ending", "x": 999, "y": 1, "angle": 0}])
    with pytest.raises(BadInput, match="unclear minutia 1 at"):
        read(tmp_path, outside, "t.json")


@pytest.mark.parametrize("path", sorted(DATA.iterdir()), ids=lambda path: path.suffix)
def test_stored_samples(tmp_path: Path, path: Path):
    """Files written by an earlier version read as they did and are written byte for byte."""
    sample, size = read_template(SAMPLE), {"width": 300, "height": 400}
    bare = path.suffix in (".xyt", ".min", ".iso-fmc-ns", ".iso-fmc-cs")  # without cores and deltas
    expected = replace(sample, cores=(), deltas=()) if bare else sample
    back, step = read_template(path, **size), {".iso-fmc-ns": 0.1, ".iso-fmc-cs": 1.0}.get(path.suffix, 0.0)
    for one, other in zip(places(back), places(expected), strict=True):
        assert one == pytest.approx(other, abs=step)
    if path.suffix == ".min":
        return  # it is read only
    write_template(tmp_path / path.name, sample)
    assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_json_keeps_everything(tmp_path: Path):
    template = Template(
        31,
        41,
        499.7,
        (
            Minutia(0.1, 40.999, 359.9, OTHER, None),
            Minutia(1 / 3, 2, 3, ENDING, 0),
            Minutia(4, 5, 6, BIFURCATION, 99.5),
        ),
        (Point(1.5, 2.5), Point(3, 4, (0.1,))),
        (Point(7, 8, (1, 2, 3)),),
    )
    path = tmp_path / "t.json"
    write_template(path, template)
    assert read_template(path) == template
    write_template(path, Template(1, 1))
    assert read_template(path) == Template(1, 1)


def test_found_by_content_before_extension(tmp_path: Path):
    assert read(tmp_path, ANSI, "t.xyt").minutiae[0].angle == 160
    assert read(tmp_path, ISO_2005, "t.ansi").minutiae[0].angle == 112.5
    assert read(tmp_path, SAMPLE.read_bytes(), "t.txt") == read_template(SAMPLE)
    assert read(tmp_path, b"\xef\xbb\xbf\n" + SAMPLE.read_bytes()) == read_template(SAMPLE)
    assert read(tmp_path, b"1 2 3 4", "t.TXT").minutiae[0].x == 2


def test_a_long_iso_record_is_not_taken_for_ansi(tmp_path: Path):
    """Of 65,570 bytes and many views: the upper half of ISO's record length is then no longer 0."""
    view = bytes.fromhex("01 00 00 ff") + bytes.fromhex("4001 0001 00 00") * 255 + b"\0\0"
    count = 43
    record = (
        ISO_2005[:8]
        + (24 + count * len(view)).to_bytes(4, "big")
        + ISO_2005[12:22]
        + bytes((count, 0))
        + view * count
    )
    assert len(record) > 65535
    assert len(read(tmp_path, record, view=count - 1).minutiae) == 255


def test_qualities_at_the_ends(tmp_path: Path):
    """0 says 'not reported' in 2005 and in 378, so the worst quality becomes 1."""
    template = Template(
        10, 10, 500, tuple(Minutia(1, 1, 0, ENDING, quality) for quality in (None, 0, 0.6, 100))
    )
    for name, expected in zip(
        RECORDS, ([None, 1, 1, 100], [None, 0, 1, 100], [None, 1, 1, 100]), strict=True
    ):
        write_template(tmp_path / "t", template, name)
        assert [m.quality for m in read_template(tmp_path / "t").minutiae] == expected


def test_ansi_angles_of_some_cores(tmp_path: Path):
    """The record says once for all cores whether they have angles: not all do, so none is written."""
    template = Template(99, 99, 500, (), (Point(1, 2, (90,)), Point(3, 4)), (Point(5, 6, (0, 120, 240)),))
    write_template(tmp_path / "t.ansi", template)
    assert read_template(tmp_path / "t.ansi") == replace(template, cores=(Point(1, 2), Point(3, 4)))


def test_rounding_stays_in_the_image_and_the_turn(tmp_path: Path):
    template = Template(10, 10, 500, (Minutia(9.9, 9.7, 359.9, ENDING, 50),), (Point(9.9, 9.9, (359.9,)),))
    for name in (*RECORDS, "xyt"):
        write_template(tmp_path / "t", template, name)
        back = read_template(tmp_path / "t", "xyt" if name == "xyt" else None, width=10, height=10)
        assert [(m.x, m.y, m.angle) for m in back.minutiae] == [(9, 9, 0)]


ONE = (Minutia(1, 1, 0, ENDING),)


@pytest.mark.parametrize(
    ("template", "names", "said"),
    [
        (Template(9, 9, 500, ONE * 256), RECORDS, "256 minutiae, a record carries up to 255"),
        (Template(20000, 9, 500, (Minutia(16384, 1, 0),)), RECORDS, r"minutia 1 is at \(16384, 1\)"),
        (Template(9, 20000, 500, (), (Point(1, 16384),)), RECORDS, r"core 1 is at \(1, 16384\)"),
        (Template(70000, 9, 500), RECORDS, "image width is 70000"),
        (Template(9, 70000, 500), RECORDS, "image height is 70000"),
        (Template(9, 9, 1), RECORDS, "1 ppi"),
        (Template(9, 9, 500, (), (Point(1, 1),) * 16), RECORDS, "16 cores, a record carries up to 15"),
        (Template(9, 9, 500, (), (), (Point(1, 1),) * 16), RECORDS, "16 deltas"),
        (Template(9, 9, 500, (Minutia(1, 1, 0),)), ("synfing",), "minutia 1 is of type 'other'"),
    ],
)
def test_what_a_format_cannot_carry(tmp_path: Path, template: Template, names: tuple[str, ...], said: str):
    for name in names:
        with pytest.raises(BadInput, match=said) as error:
            write_template(tmp_path / "t", template, name)
        assert str(error.value).startswith(f"{tmp_path / 't'}: ")
    assert not any(tmp_path.iterdir())


def test_most_that_a_record_carries(tmp_path: Path):
    template = Template(16384, 16384, 500, (Minutia(16383, 16383, 0, ENDING),) * 255, (Point(1, 1),) * 15)
    for name in RECORDS:
        write_template(tmp_path / "t", template, name)
        assert read_template(tmp_path / "t") == template


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.xyt", b"1 2\n", "line 1 has 2 columns: a row is 'x y theta"),
        ("t.xyt", b"1 2 3\n1 b 3\n", "line 2 '1 b 3' is not all numbers"),
        (
            "t.xyt",
            b"600 2 3\n",
            "minutia 1 at .600, 510. lies outside the image of 512 x 512 .* assumed.*--template-size",
        ),
        ("t.xyt", b"1 2 nan\n", "line 1: angle is nan"),
        ("t.txt", b"3 1 1 0\n", "line 1: type 3 is none of"),
        ("t.txt", b"1 1 1 0\n4 1 700 0\n", "core 1 at .1, 700. lies outside"),
        ("t.txt", b"1 1\xff 1 0", "offset 3 is not UTF-8"),
        ("t.json", b"{", "not JSON"),
        ("t.json", b"[]", "not a JSON object"),
        ("t.json", b"[" * 100000, "not JSON"),
        ("t.json", b"{}", "has no 'format'"),
        ("t.bin", b"FMR\x00020\x00", r"version b'020\\x00' at offset 4"),
        ("t.bin", b"1 2 3 4", "format not known by content or extension"),
        ("t.fmr", b"", "format identifier at offset 0 needs 4 bytes but 0 are left"),
        ("t.fmr", b"GIF89a", "not a finger minutiae record.*read as ISO/IEC 19794-2:2005"),
        ("t", ISO_2005[:40], "minutia 3 at offset 40 needs 6 bytes but 0 are left"),
        ("t.min", b"Image 3 4", "line 1 is not 'Image"),
        (
            "t.min",
            b"Image (w,h) 9 9\n\n 1 Minutiae Detected\n\n 0 : 1, 1 : 3 : x",
            "line 5: '0 : 1, 1 : 3 : x' is no",
        ),
        ("t.min", b"Image (w,h) 0 9\n", "does not say the size"),
        ("t.iso-fmc-ns", b"\xff123", "4 bytes are no whole number of minutiae of 5 bytes"),
        ("t.iso-fmc-cs", b"", "0 bytes are no whole number"),
    ],
)
def test_malformed_files(tmp_path: Path, name: str, content: bytes, said: str):
    with pytest.raises(BadInput, match=said) as error:
        read(tmp_path, content, name)
    message = str(error.value)
    assert message.startswith(f"{tmp_path / name}: ") and "\n" not in message and len(message) < 400


def altered_json(**members) -> bytes:
    return json.dumps(json.loads(SAMPLE.read_text()) | members).encode()


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"format": "other"}, "format and format_version"),
        ({"format_version": 2}, "format and format_version"),
        ({"width": 300.5}, "width is 300.5: give a whole number"),
        ({"width": True}, "width is True: give a whole number"),
        ({"width": 10**400}, "width is 1000"),
        ({"ppi": "500"}, "ppi is '500': give a number"),
        ({"ppi": float("nan")}, "ppi is nan"),
        ({"minutiae": {}}, "minutiae is not a list"),
        ({"minutiae": [3]}, r"minutiae\[0\] is not a JSON object"),
        ({"minutiae": [{"type": "ending", "x": 1, "y": 1}]}, r"minutiae\[0\] has no 'angle'"),
        ({"minutiae": [{"type": "dot", "x": 1, "y": 1, "angle": 1}]}, r"minutiae\[0\].type is 'dot'"),
        ({"minutiae": [{"type": [], "x": 1, "y": 1, "angle": 1}]}, r"minutiae\[0\].type is \[\]"),
        ({"minutiae": [{"type": "ending", "x": None, "y": 1, "angle": 1}]}, r"minutiae\[0\].x is None"),
        ({"cores": [{"x": 1, "y": 1, "angles": 5}]}, r"cores\[0\].angles is not a list"),
        ({"deltas": [{"x": 1, "y": 1, "angles": [5]}]}, "delta 1 has 1 angles"),
        ({"unclear": [{"type": "dot", "x": 1, "y": 1, "angle": 1}]}, r"unclear\[0\].type is 'dot'"),
        ({"loops": []}, "unknown key 'loops'"),
    ],
)
def test_malformed_json(tmp_path: Path, members: dict, said: str):
    with pytest.raises(BadInput, match=said):
        read(tmp_path, altered_json(**members), "t.json")


def test_finger_views_that_are_not_there(tmp_path: Path):
    with pytest.raises(BadInput, match="finger view 2 is not there, the file holds 2: give 0 to 1"):
        read(tmp_path, ISO_2005, view=2)
    with pytest.raises(BadInput, match="finger view -1"):
        read(tmp_path, ISO_2005, view=-1)
    with pytest.raises(BadInput, match="holds 0: it is empty"):
        read(tmp_path, ISO_2005[:22] + b"\0" + ISO_2005[23:])


def test_formats_and_places(tmp_path: Path):
    cards = {"iso19794-2-card-normal", "iso19794-2-card-compact"}
    assert set(WRITABLE) == {*RECORDS, *cards, "ansi378-2009", "xyt", "synfing", "json"}
    assert set(FORMATS) - set(WRITABLE) == {"nbis-min"}
    template = Template(9, 9)
    with pytest.raises(BadInput, match="format 'jpeg' is not known: give one of iso19794-2-2005"):
        write_template(tmp_path / "t", template, "jpeg")
    with pytest.raises(BadInput, match="format not known by content or extension"):
        write_template(tmp_path / "t.png", template)
    with pytest.raises(BadInput, match="cannot be written"):
        write_template(tmp_path / "nowhere" / "t.json", template)
    with pytest.raises(BadInput, match="cannot be read"):
        read_template(tmp_path / "nowhere.json")
    with pytest.raises(BadInput, match="read only: give one of iso19794-2-2005"):
        write_template(tmp_path / "t.min", template)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "t.json"
    write_template(path, Template(9, 9))
    before = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(BadInput, match="No space left on device"):
        write_template(path, Template(10, 10))
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


# PyPI afis as an independent reader. It reads the 2005 layout, resolution as it stands, quality as 0 to 255;
# it writes the 2011 layout.


def test_what_the_compact_card_format_can_carry():
    near, far = Minutia(100.0, 501.0, 90.0), Minutia(100.0, 504.0, 90.0)
    template = Template(512, 512, 500, (near, far))
    card = FORMATS["iso19794-2-card-compact"]
    assert card.encode is not None
    with pytest.raises(BadInput, match=r"\(5\.1, 25\.6\) mm, the format carries up to 25\.5 mm"):
        card.encode(template)
    assert card.carried(template).minutiae == (near,)
    assert len(card.encode(card.carried(template))) == 3
    assert FORMATS["iso19794-2-card-normal"].carried(template) is template
