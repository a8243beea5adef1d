"""Image files of every kind, folders and shards, and the split by finger."""

import io
import json
import os
import re
import struct
import tarfile
from contextlib import nullcontext
from pathlib import Path

import _wsq
import numpy as np
import pytest
import torch
from PIL import Image

from fingergen.runtime.errors import BadInput
from fingergen.runtime.minutiae import Minutia, MinutiaType, Point, Template, minutiae_map, write_template
from fingergen.training.data.datasets import ImageFolder
from fingergen.training.data.image_io import decode, refuse_mixed
from fingergen.training.data.pairs import PairFolder
from fingergen.training.data.splits import FingerRule, fingers_that_share_images, held_out
from fingergen.training.data.storage import find_images, find_samples, write_shards

GRAY = np.arange(48 * 64, dtype=np.uint8).reshape(48, 64)


def encoded(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    stream = io.BytesIO()
    (image or Image.fromarray(GRAY)).save(stream, kind, **options)
    return stream.getvalue()


def waves(side: int = 256) -> np.ndarray:
    """Concentric ridges 9 pixels apart, uint8 (side, side)."""
    y, x = np.mgrid[:side, :side] - side / 2
    return (127.5 + 110 * np.cos(np.hypot(x, y) * 2 * np.pi / 9)).astype(np.uint8)


def wsq(comment: bytes = b"") -> bytes:
    content = _wsq.compress(waves().tobytes(), 256, 256, 2.25)
    start = content.index(b"\xff\xa8") + 2
    (length,) = struct.unpack(">H", content[start : start + 2])
    return content[:start] + struct.pack(">H", 2 + len(comment)) + comment + content[start + length :]


# -- images -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_lossless_formats_are_read_exactly(kind):
    scan = decode(encoded(kind, dpi=(500, 500)), "x")
    assert np.array_equal(np.asarray(scan.image), GRAY)
    assert scan.ppi == pytest.approx((500, 500), rel=1e-4)


def test_jpeg():
    scan = decode(encoded("JPEG", Image.fromarray(waves()), dpi=(1000, 500), quality=95), "x")
    assert abs(np.asarray(scan.image).astype(int) - waves()).mean() < 3
    assert scan.ppi == (1000, 500)


def test_wsq():
    told = decode(wsq(b"NIST_COM 9\nPIX_WIDTH 256\nPPI 1000\nLOSSY 1\n"), "x")
    assert abs(np.asarray(told.image).astype(int) - waves()).mean() < 12
    assert told.ppi == (1000, 1000)
    assert decode(wsq(), "x").ppi is None


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "JPEG"])
def test_a_file_that_tells_no_resolution(kind):
    nothing = {"dpi": (0, 0)} if kind == "BMP" else {}  # Pillow's default for BMP is 96
    assert decode(encoded(kind, **nothing), "x").ppi is None


@pytest.mark.parametrize(
    ("image", "mode", "pixel"),
    [
        (Image.fromarray(np.full((4, 4), 40 * 257, np.uint16)), "L", 40),
        (Image.new("1", (4, 4), 1), "L", 255),
        (Image.new("LA", (4, 4), (0, 0)), "RGB", (255, 255, 255)),  # nothing there: white paper
        (Image.new("RGBA", (4, 4), (9, 8, 7, 255)), "RGB", (9, 8, 7)),
        (Image.new("RGB", (4, 4), (9, 8, 7)).quantize(4), "RGB", (9, 8, 7)),
    ],
)
def test_every_depth_becomes_gray_or_rgb(image, mode, pixel):
    read = decode(encoded("PNG", image), "x").image
    assert (read.mode, read.getpixel((1, 1))) == (mode, pixel)


def broken() -> dict[str, bytes]:
    huge = bytearray(wsq())
    frame = huge.index(b"\xff\xa2")
    huge[frame + 6 : frame + 10] = b"\xff\xff\xff\xff"  # 65535 x 65535 pixels
    return {
        "empty.png": b"",
        "text.png": b"not an image",
        "start.png": encoded("PNG")[:8],
        "half.png": encoded("PNG", Image.fromarray(waves()))[:2000],
        "half.tif": encoded("TIFF", compression="tiff_lzw")[:200],
        "half.bmp": encoded("BMP")[:500],
        "half.jpg": encoded("JPEG", Image.fromarray(waves()))[:2000],
        "half.wsq": wsq()[:1500],
        "start.wsq": wsq()[:2],
        "huge.wsq": bytes(huge),
        "pages.tif": encoded("TIFF", save_all=True, append_images=[Image.fromarray(GRAY)]),
        "float.tif": encoded("TIFF", Image.fromarray(GRAY.astype(np.float32))),
    }


@pytest.mark.parametrize("name", list(broken()))
def test_a_damaged_file_gets_one_line(name):
    with pytest.raises(BadInput) as failure:
        decode(broken()[name], name)
    message = str(failure.value)
    assert message.startswith(f"{name}: not a readable image (") and "\n" not in message
    assert "BytesIO" not in message and "b'" not in message


def test_a_lacking_wsq_package_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"pip install .fingergen.records.."):
        decode(wsq(), "x")


def test_hidden_and_other_files_are_no_images(tmp_path):
    for name in ("b/2.TIF", "a.png", "._a.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert find_images(tmp_path) == [tmp_path / "a.png", tmp_path / "b/2.TIF"]


def test_hidden_folders_are_passed_over_and_links_followed_once(tmp_path):
    for name in ("raw/real/a.png", "raw/.cache/a.png", "elsewhere/deep/b.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    raw = tmp_path / "raw"
    for link, target in (
        ("again", "real"),  # under its own name already
        ("linked", "../elsewhere"),
        ("linked/deep/back", "../.."),  # from there to what holds all this
        ("real/up", "../.."),
        ("itself.png", "itself.png"),
        ("dangling.png", "none.png"),
        ("file.png", "../elsewhere/deep/b.png"),
    ):
        (raw / link).symlink_to(target)
    found = [path.relative_to(raw).as_posix() for path in find_images(raw)]
    # A link that leads nowhere is a file that cannot be read: whoever reads it will say so.
    assert found == ["dangling.png", "file.png", "itself.png", "linked/deep/b.png", "real/a.png"]
    (tmp_path / "link").symlink_to("raw")
    assert len(find_images(tmp_path / "link")) == 5


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "open" / "locked").mkdir(parents=True)
    plain = os.scandir

    def scandir(path):
        if path.name == "locked":  # as it is for whoever has no right to it; root has
            raise PermissionError(13, "Permission denied")
        return plain(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(
        BadInput, match=r"open/locked: cannot be read \(Permission denied\); make it readable"
    ):
        find_images(tmp_path)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        (
            {"b.png": (1000, 1000)},
            "data: mixes resolutions, 500 ppi (a.png) and 1000 ppi (b.png); prepare it",
        ),
        ({"b.tif": (500, 1000)}, "500 ppi (a.png) and 500 x 1000 ppi (b.tif)"),
        ({"b.wsq": 1000}, "500 ppi (a.png) and 1000 ppi (b.wsq)"),
        ({"b.png": (501, 499), "c.png": None, "d.jpg": (72, 72), "e.wsq": 500}, ""),
    ],
)
def test_mixed_resolutions_are_refused(others, message, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    image = Image.fromarray(GRAY)
    image.save(data / "a.png", dpi=(500, 500))
    (data / "z.png").write_bytes(b"damaged: whoever decodes it says so")
    for name, ppi in others.items():
        if name.endswith(".wsq"):
            (data / name).write_bytes(wsq(b"NIST_COM 9\nPIX_WIDTH 256\nPPI %d\nLOSSY 1\n" % ppi))
        else:
            image.save(data / name, **({"dpi": ppi} if ppi else {}))
    samples = find_samples(data)
    with pytest.raises(BadInput, match=re.escape(message)) if message else nullcontext():
        refuse_mixed(data, samples, "prepare it")
    write_shards([sample for sample in samples if sample.key != "z"], tmp_path / "shards", 2)
    with pytest.raises(BadInput, match="mixes resolutions") if message else nullcontext():
        refuse_mixed(tmp_path / "shards", find_samples(tmp_path / "shards"), "prepare it")


# -- folders and shards -------------------------------------------------------------------------------------


def write_data(folder: Path, partner: str, fingers: int = 6) -> Path:
    """Two impressions of each finger, of random gray, with templates or maps."""
    rng = np.random.default_rng(0)
    for part in ("images", partner):
        (folder / part / "sub").mkdir(parents=True)
    for number in range(2 * fingers):
        name = f"sub/a.{number // 2}_{number % 2}"
        template = Template(64, 48, 500, (Minutia(20 + number % 12, 20, 30 * number, MinutiaType.ENDING),))
        Image.new("L", (64, 48), int(rng.integers(256))).save(folder / "images" / f"{name}.png")
        if partner == "templates":
            write_template(folder / partner / f"{name}.json", template)
        else:
            Image.fromarray(minutiae_map(template)).save(folder / partner / f"{name}.png")
    return folder


@pytest.mark.parametrize("partner", ["templates", "maps"])
def test_shards_equal_their_folder(tmp_path, partner):
    folder = write_data(tmp_path / "data", partner)
    shards = write_shards(find_samples(folder), tmp_path / "shards", 5)
    assert [path.name for path in shards] == ["000000.tar", "000001.tar", "000002.tar"]
    assert [s.key for s in find_samples(tmp_path / "shards")] == [s.key for s in find_samples(folder)]
    pairs = [PairFolder(data, 32, 1, 32) for data in (folder, tmp_path / "shards")]
    one, other = (dataset.batch(np.random.default_rng(5), 9) for dataset in pairs)
    assert torch.equal(one.images, other.images) and torch.equal(one.maps, other.maps)
    assert one.maps.any() and len(one.images.unique()) > 3
    assert torch.equal(pairs[0].held_out(3).images, pairs[1].held_out(3).images)
    datasets = [ImageFolder(folder, 16, 1), ImageFolder(tmp_path / "shards", 16, 1, memory=0)]
    images = [dataset.batch(np.random.default_rng(5), 9) for dataset in datasets]
    assert torch.equal(*images)
    before = [shard.read_bytes() for shard in shards]
    write_shards(find_samples(folder), tmp_path / "shards", 5)
    assert [shard.read_bytes() for shard in shards] == before


def test_shards_are_what_the_webdataset_format_says(tmp_path):
    (shard,) = write_shards(find_samples(write_data(tmp_path / "data", "maps", 1)), tmp_path, 5)
    with tarfile.open(shard) as archive:
        names = archive.getnames()
    assert names == [f"sub/a%2E0_{number}{end}" for number in (0, 1) for end in (".png", ".map.png")]


def test_one_shard_is_a_data_set(tmp_path):
    shards = write_shards(find_samples(write_data(tmp_path / "data", "maps")), tmp_path / "shards", 6)
    assert len(find_samples(shards[1])) == 6


@pytest.mark.parametrize("cut", [100, 1000, -5000])
def test_a_truncated_shard_is_named(tmp_path, cut):
    folder = write_data(tmp_path / "data", "templates")
    (shard,) = write_shards(find_samples(folder), tmp_path / "shards", 99)
    content = shard.read_bytes().rstrip(b"\0")
    shard.write_bytes(content[: cut if cut > 0 else len(content) + cut])
    with pytest.raises(BadInput, match=r"000000\.tar: not a readable tar archive .*(end of|truncated)"):
        find_samples(tmp_path / "shards")


def test_a_damaged_member_of_a_shard_is_named(tmp_path):
    folder = write_data(tmp_path / "data", "templates")
    (folder / "images/sub/a.2_0.png").write_bytes(b"x")
    write_shards(find_samples(folder), tmp_path / "shards", 99)
    with pytest.raises(BadInput, match=r"000000\.tar: sub/a%2E2_0\.png: not a readable image"):
        ImageFolder(tmp_path / "shards", 16, 1)


def test_of_a_split_data_set_the_trainers_take_the_training_part(tmp_path):
    write_data(tmp_path / "train", "templates", 5)
    write_data(tmp_path / "test", "templates", 2)
    assert len(find_samples(tmp_path)) == 10
    assert len(find_samples(tmp_path / "test")) == 4


# -- splits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("f0001_01", "s0001_01", True),  # SD4
        ("figs_0/f0001_01", "figs_0/s0001_01", True),
        ("f0001_01", "f0002_01", False),
        ("f0001_01", "f0001_02", False),  # the fingers of a hand
        ("F0000007", "S0000007", True),  # SD14
        ("12_3", "12_7", True),  # FVC
        ("1_2", "12_2", False),
        ("DB1/1_1", "DB2/1_1", False),
        ("000123_04", "000123_05", True),
        ("left_thumb_1", "left_thumb_12", True),
        ("left_thumb_1", "left_index_1", False),
        ("scan7", "scan8", False),
        ("00002303_A_roll_01", "00002303_B_roll_01", True),  # SD302: SUBJECT_DEVICE_roll_FRGP
        ("00002303_A_roll_01", "00002303_A_roll_02", False),
        ("00002303_A_roll_01", "00002304_A_roll_01", False),
        ("challengers/A/roll/png/00002303_A_roll_01", "baseline/R/00002303_R_plain_01", True),
        ("00001000_plain_500_03", "00001000_plain_1000_03", True),  # SD300: SUBJECT_plain_PPI_FRGP
        ("00001000_plain_500_03", "00001000_roll_500_03", True),
        ("00001000_plain_500_03", "00001000_plain_500_04", False),
        ("00001000_plain_500_11", "00001000_roll_500_01", True),  # FRGP 11: the plain right thumb
        ("00001000_plain_500_12", "00001000_roll_500_06", True),
        ("1__M_Left_index_finger", "1__M_Left_index_finger_CR", True),  # SOCOFing
        ("Real/1__M_Left_index_finger", "Altered/Altered-Easy/1__M_Left_index_finger_Zcut", True),
        ("1__M_Left_index_finger_Obl", "1__M_Left_middle_finger_Obl", False),
        ("1__M_Left_index_finger", "11__M_Left_index_finger", False),
        ("1__M_Left_thumb_finger", "1__M_Right_thumb_finger", False),
        ("user1/index/1", "user1/index/2", True),  # USER/FINGER/n
        ("user1/index/1", "user2/index/1", False),
        ("user1/index/1", "user1/thumb/1", False),
        ("p/left_thumb/a_1", "p/left_thumb/b_2", True),
        ("7/3/01", "7/3/12", True),
        ("7/3/01", "7/4/01", False),
    ],
)
def test_names_tell_the_finger(one, other, same):
    rule = FingerRule()
    fingers = [rule.finger(key) or key for key in (one, other)]
    assert (fingers[0] == fingers[1]) is same


@pytest.mark.parametrize("key", ["a", "scan", "7", "scan7", "people/anna", "00002303"])
def test_names_that_tell_no_finger(key):
    assert FingerRule().finger(key) is None


def test_slaps_stay_with_their_fingers():
    keys = ["1_slap_500_13", "1_roll_500_02", "1_roll_500_05", "1_roll_500_06", "2_slap_14", "2_R_roll_07"]
    fingers = [FingerRule().finger(key) or "" for key in keys]
    groups = sorted(map(sorted, fingers_that_share_images(fingers)))
    assert groups == [["1_02", "1_05", "1_13"], ["2_07", "2_14"]]


def test_a_pattern_of_ones_own():
    rule = FingerRule(r"^[^/]+/(\d+)[a-z]")
    assert [rule.finger(key) for key in ("one/17a", "two/17b", "one/18a")] == ["17", "17", "18"]
    assert FingerRule("^[^/]+").finger("anna/x") == "anna"  # one folder for each finger
    assert rule.finger("x") is None
    with pytest.raises(BadInput, match="not a regular expression"):
        FingerRule("(")


def test_the_split_hangs_on_names_alone():
    fingers = [f"{number:04d}" for number in range(1000)]
    apart = held_out(fingers, 0.2)
    assert 160 < len(apart) < 240
    assert held_out(reversed(fingers), 0.2) == apart
    assert held_out(fingers[:500], 0.2) == apart & set(fingers[:500])  # none moves as fingers are added
    assert held_out(fingers, 0.1) < apart
    assert len(held_out(fingers, 0.2, most=32)) == 32
    assert len(held_out(["a", "b"], 0.0001)) == len(held_out(["a", "b"], 0.9999)) == 1


def test_pairs_of_one_finger_are_held_out_together(tmp_path):
    folder = write_data(tmp_path / "data", "templates", 40)
    levels = {s.key: Image.open(s.image.path).getpixel((0, 0)) for s in find_samples(folder)}
    dataset = PairFolder(folder, 16, 1, 16)
    apart = {int(image.float().mean()) for image in dataset.held_out(80).images[:, 0, 8, 8, None]}
    spare = held_out((FingerRule().finger(key) or "" for key in levels), 0.1, 32)
    expected = {level for key, level in levels.items() if FingerRule().finger(key) in spare}
    assert apart == expected
    assert 2 <= len(spare) <= 8


def test_the_finger_of_the_metadata_is_the_finger(tmp_path):
    """Names that state another finger, or none, do not count where metadata.jsonl states it."""
    folder = write_data(tmp_path / "data", "templates", 40)
    samples = find_samples(folder)
    stated = {sample.key: f"finger {number // 10}" for number, sample in enumerate(samples)}
    rows = [{"image": f"images/{key}.png", "finger": finger} for key, finger in stated.items()]
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    dataset = PairFolder(folder, 16, 1, 16)
    trained, spare = (
        {stated[sample.key] for sample in part} for part in (dataset._split.trained, dataset._split.spare)
    )
    assert len(spare) == 1 and trained == set(stated.values()) - spare
    (folder / "metadata.jsonl").write_text("{\n")
    with pytest.raises(BadInput, match=r"metadata\.jsonl: not an index of images"):
        PairFolder(folder, 16, 1, 16)


def test_a_folder_whose_names_tell_no_finger_is_warned_of(tmp_path):
    folder = tmp_path / "data"
    for name in ("images", "templates"):
        (folder / name).mkdir(parents=True)
    for number in range(10):
        Image.new("L", (16, 16)).save(folder / f"images/{number}.png")
        write_template(folder / f"templates/{number}.json", Template(16, 16))
    with pytest.warns(UserWarning, match="state no finger"):
        PairFolder(folder, 16, 1, 16)


# -- image and map ------------------------------------------------------------------------------------------


def centroid(levels: np.ndarray) -> tuple[float, float]:
    y, x = np.mgrid[: levels.shape[0], : levels.shape[1]]
    return float((x * levels).sum() / levels.sum()), float((y * levels).sum() / levels.sum())


@pytest.mark.parametrize("partner", ["templates", "maps"])
@pytest.mark.parametrize("width", [96, 97, 98, 99, 100, 101, 128])
@pytest.mark.parametrize("height", [95, 96, 97, 99, 128])
def test_image_and_map_show_the_same_place(tmp_path, partner, width, height):
    """A core at (30, 40), of which the map is a blot about it, and a dark square about it in the image."""
    template = Template(width, height, 500, cores=(Point(30, 40),))
    side = max(width, height)
    for name in ("images", partner):
        (tmp_path / name).mkdir()
    for number in range(10):
        image = Image.new("L", (width, height), 255)
        image.paste(0, (28, 38, 33, 43))
        image.save(tmp_path / f"images/{number}_0.png")
        path = tmp_path / partner / f"{number}_0"
        if partner == "templates":
            write_template(path.with_suffix(".json"), template)
        else:
            Image.fromarray(minutiae_map(template)).save(path.with_suffix(".png"))
    pairs = PairFolder(tmp_path, side, 1, side).batch(np.random.default_rng(0), 1)
    in_image = centroid(255.0 - pairs.images[0, 0].numpy())
    in_map = centroid(pairs.maps[0, 2].numpy().astype(float))
    assert in_image == pytest.approx(in_map, abs=0.02)
