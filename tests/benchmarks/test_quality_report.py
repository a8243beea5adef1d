"""`fg-bench quality` tells good sets from bad ones: duplicates, copies as mates, erased places."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from fingergen.benchmarks.cli import main
from fingergen.benchmarks.quality.flags import differences
from fingergen.benchmarks.quality.image_sets import read_folder
from fingergen.benchmarks.quality.measurement import measure_image
from fingergen.runtime.fingers import make_fingers, take_impression
from fingergen.runtime.minutiae import Template, write_template
from fingergen.training.data.splits import FingerRule

FINGERS = 8
SIDE = 288
Print = tuple[np.ndarray, Template]


@pytest.fixture(scope="module")
def prints() -> list[list[Print]]:
    """Two impressions of each finger, with their truth."""
    return [
        [(taken.pixels, taken.template) for taken in (take_impression(finger, n) for n in (0, 1))]
        for finger in make_fingers(range(9_000_000, 9_000_000 + FINGERS), (SIDE, SIDE))
    ]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared, so that each image is measured once."""
    return tmp_path_factory.mktemp("cache")


def write(folder: Path, prints: Sequence[Sequence[Print]]) -> Path:
    folder.mkdir()
    for number, finger in enumerate(prints):
        for impression, (image, truth) in enumerate(finger, 1):
            path = folder / f"{number:04d}_{impression}.png"
            Image.fromarray(image).save(path, dpi=(500, 500))
            write_template(path.with_suffix(".json"), truth)
    return folder


def run(cache: Path, *arguments: object) -> Result:
    words = ["quality", *map(str, arguments), "--cache", str(cache)]
    return CliRunner().invoke(main, words, prog_name="fg-bench")


def results(cache: Path, *arguments: object) -> list[dict]:
    done = run(cache, *arguments, "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)["sets"]


@pytest.mark.slow
def test_a_good_set_and_three_bad_ones(prints: list[list[Print]], cache: Path, tmp_path: Path) -> None:
    good = write(tmp_path / "good", prints)
    twins = write(tmp_path / "twins", [*prints, prints[0]])
    copies = write(
        tmp_path / "copies", [[finger[0], (brighter(finger[0][0]), finger[0][1])] for finger in prints]
    )
    erased = write(tmp_path / "erased", [[(with_disc(image), truth) for image, truth in f] for f in prints])
    sets = {each["name"]: each for each in results(cache, good, twins, copies, erased)}
    assert sets["good"]["flags"] == []
    assert [flag.partition(":")[0] for flag in sets["twins"]["flags"]] == ["duplicates"]
    assert [flag.partition(":")[0] for flag in sets["copies"]["flags"]] == ["mates are copies"]
    assert [flag.partition(":")[0] for flag in sets["erased"]["flags"]] == ["holes"]
    worst = sets["twins"]["bozorth3"]["largest_non_mated"][0]
    assert [Path(name).name for name in worst["images"]] == ["0000_1.png", "0008_1.png"]
    figures = sets["good"]
    assert figures["images"] == 2 * FINGERS and figures["fingers"] == FINGERS
    assert figures["bozorth3"]["mated_pairs"] == FINGERS
    assert figures["bozorth3"]["non_mated_pairs"] == FINGERS * (FINGERS - 1) // 2
    assert figures["bozorth3"]["mated"]["p50"] > 2 * figures["bozorth3"]["non_mated"]["p95"]
    assert figures["mates_near"]["p50"] < 0.15 and abs(figures["mates_correlation"]["p50"]) < 0.2
    assert sets["copies"]["mates_near"]["p50"] > 0.9 and sets["copies"]["mates_correlation"]["p50"] > 0.9
    assert sum(figures["nfiq2"]["histogram"]) == 2 * FINGERS
    for extractor in ("mindtct", "leader"):
        found = figures["minutiae"][extractor]
        assert found["images_with_truth"] == 2 * FINGERS and found["recall"] > 0.7 and found["spurious"] < 0.6
    assert 7 < figures["ridge_period"]["p50"] < 11
    halves = [write(tmp_path / name, prints[part::2]) for part, name in ((0, "one"), (1, "other"))]
    one, other = results(cache, halves[0], "--reference", halves[1])
    assert one["flags"] == other["flags"] == []
    assert 0.01 < one["reference"]["scores"]["non_mated"]["p"] <= 1


def brighter(image: np.ndarray) -> np.ndarray:
    return np.clip(image.astype(int) + 12, 0, 255).astype(np.uint8)


def with_disc(image: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.where((x - SIDE / 2) ** 2 + (y - SIDE / 2) ** 2 < 22**2, 255, image).astype(np.uint8)


def test_sets_that_differ() -> None:
    rng = np.random.default_rng(0)
    one, other, lower = (list(rng.normal(mean, 8, 60)) for mean in (60, 60, 50))
    assert differences({"nfiq2": one}, {"nfiq2": other}) == ()
    (line,) = differences({"nfiq2": lower}, {"nfiq2": other})
    assert line.startswith("unlike the reference: nfiq2, median 50") or "median 4" in line


def test_fingers_are_told_by_names(tmp_path: Path) -> None:
    for name in ("1_1", "1_2", "2_1", "alone"):
        Image.new("L", (8, 8)).save(tmp_path / f"{name}.png")
    images = read_folder(tmp_path)
    assert images.fingers() == [[0, 1], [2], [3]]
    assert read_folder(tmp_path, most=2).fingers() == [[0, 1], [2]]


def test_fingers_are_told_by_the_index_of_a_prepared_dataset(tmp_path: Path) -> None:
    (tmp_path / ".cache" / "images").mkdir(parents=True)
    rows = []
    for name, finger in (("a_1.pgm", "x"), ("b_1.webp", "y"), ("c_1.jp2", "x")):
        Image.new("L", (8, 8)).save(tmp_path / ".cache" / "images" / name)
        rows.append(json.dumps({"image": f"images/{name}", "finger": finger}))
    (tmp_path / ".cache" / "metadata.jsonl").write_text("\n".join(rows))
    images = read_folder(tmp_path / ".cache")  # a hidden folder that is named is searched
    assert [[images.files[i].path.name for i in group] for group in images.fingers()] == [
        ["a_1.pgm", "c_1.jp2"],
        ["b_1.webp"],
    ]
    assert len(read_folder(tmp_path / ".cache", FingerRule("^.")).fingers()) == 3


@pytest.mark.slow
def test_images_that_cannot_be_measured_are_listed(
    prints: list[list[Print]], cache: Path, tmp_path: Path
) -> None:
    folder = write(tmp_path / "set", prints[:2])
    (folder / "broken_1.png").write_bytes(b"no image")
    Image.fromarray(prints[0][0][0]).save(folder / "coarse_1.png", dpi=(300, 300))
    done = run(cache, folder)
    assert done.exit_code == 3, done.stderr
    assert "broken_1.png: not a readable image" in done.stdout
    assert "coarse_1.png: has 300 ppi, and NFIQ 2 is defined at 500" in done.stdout
    assert "NFIQ 2: median" in done.stdout


@pytest.mark.slow
def test_measurements_are_kept(
    prints: list[list[Print]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fingergen.benchmarks.quality import measurement

    folder = write(tmp_path / "set", prints[:1])
    path, kept = folder / "0000_1.png", tmp_path / "cache"
    without = measurement.measure_file(path, kept, with_leader=False)
    assert without.leader is None and without == measure_image(prints[0][0][0])
    monkeypatch.setattr(measurement, "measure_image", None)  # what is in the cache is not measured again
    first = measurement.measure_file(path, kept)
    monkeypatch.setattr(measurement, "extract_with_leader", None)
    assert measurement.measure_file(path, kept) == first
    assert first.leader and replace(first, leader=None) == without


def test_what_leader_finds_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attack that is interrupted goes on with the next print."""
    from fingergen.benchmarks.quality import measurement

    images, rows = np.stack([np.zeros((8, 9), np.uint8)] * 2), [[1.0, 2.0, 30.0, 1.0, 50.0]]
    images[1, 0, 0] = 1
    monkeypatch.setattr(measurement, "extract_with_leader", lambda image: rows * (1 + int(image[0, 0])))
    assert [len(measurement.leader_minutiae(tmp_path, image)) for image in images] == [1, 2]
    monkeypatch.setattr(measurement, "extract_with_leader", None)
    assert [measurement.leader_minutiae(tmp_path, image) for image in images] == [rows, rows * 2]


def test_maps_of_a_dataset_are_no_prints(tmp_path: Path) -> None:
    for name in ("images", "maps"):
        (tmp_path / name).mkdir()
        Image.new("L", (8, 8)).save(tmp_path / name / "1_1.png")
    assert [file.path for file in read_folder(tmp_path).files] == [tmp_path / "images" / "1_1.png"]


def test_empty_folders_are_one_line(tmp_path: Path, cache: Path) -> None:
    done = run(cache, tmp_path)
    assert done.exit_code == 2 and f"{tmp_path}: no images here; give a bundle" in done.stderr


def test_a_cache_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    done = run(Path("/proc/cache"), tmp_path)  # where root cannot write either
    assert done.exit_code == 2 and "/proc/cache: cannot be made" in done.stderr
    assert "give another --cache" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_bundle_is_measured_by_prints_that_it_makes(cache: Path) -> None:
    (figures,) = results(
        cache,
        "--fingers",
        2,
        "--impressions",
        1,
        "--seed",
        5,
        "--edits",
        0,
        "--leader",
        0,
        "--reconstructions",
        2,
    )
    assert figures["name"] == "demo" and figures["images"] == figures["fingers"] == 2
    assert figures["bozorth3"]["mated_pairs"] == 0 and figures["bozorth3"]["rates"] == {}
    assert figures["bozorth3"]["non_mated_pairs"] == 1
    assert figures["minutiae"]["leader"]["images"] == 0 and "edits" not in figures
    assert figures["reconstruction"]["true"]["type_1"]["pairs"] == 2


def test_nfiq2_is_lower_for_a_noisy_print(prints: list[list[Print]]) -> None:
    image = prints[0][0][0]
    noise = np.random.default_rng(0).normal(0, 80, image.shape)
    noisy = np.clip(image + noise, 0, 255).astype(np.uint8)
    assert measure_image(image).nfiq2 > measure_image(noisy).nfiq2 + 5
