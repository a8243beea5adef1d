"""Fingers that do not match each other: the sieve, the choice of seeds, the same in any shard."""

import csv
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

pytest.importorskip("nbis", reason="the extra eval is not installed")

from fingergen.runtime.cli import main
from fingergen.runtime.datasets import distinct, layouts, plan, writer
from fingergen.runtime.datasets.nist import Nist
from fingergen.runtime.datasets.sieve import Sieve
from fingergen.runtime.seeds import replacement

FEW = 3  # fingers per part
SCORE = 9  # of a dozen prints of a small sensor, some pairs have it


class InThisProcess:
    """Takes the place of the processes that compare: they would have parts of their usual size."""

    def __enter__(self) -> "InThisProcess":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, function, *arguments):
        self.value = function(*arguments)
        return _Done(self.value)


class _Done:
    def __init__(self, value: object) -> None:
        self.value = value

    def result(self) -> object:
        return self.value


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch):
    for module in (layouts, plan, writer, distinct):
        monkeypatch.setattr(module, "PART", FEW)
    monkeypatch.setattr(distinct, "worker_processes", lambda _: InThisProcess())
    distinct._read_prints.cache_clear()
    yield
    distinct._read_prints.cache_clear()


def dataset(*arguments: object, code: int = 0, side: int = 128) -> Result:
    words = ["dataset", "--renderer", "sensor", "--window", side, side, "--distinct", SCORE]
    result = CliRunner().invoke(main, [*map(str, words), *map(str, arguments)], prog_name="fg-run")
    assert result.exit_code == code, result.output
    return result


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and distinct.FOLDER not in path.parts
    }


def templates(folder: Path) -> list:
    """Of the first impressions of all fingers, as the set's makers see them."""
    nist = Nist()
    found = [nist.extract(np.asarray(Image.open(path)), 500) for path in sorted(folder.glob("*_1.png"))]
    return [nist.load(bytes(each.to_iso_19794_2_2005())) for each in found]


@pytest.fixture
def likeness(monkeypatch: pytest.MonkeyPatch):
    """A matcher that takes many small prints, which have few minutiae, for one finger."""

    def score(one, other) -> int:
        return SCORE if (len(one.get()) + len(other.get())) % 3 == 0 else 0

    monkeypatch.setattr(distinct, "_score", score)
    monkeypatch.setattr(distinct, "LEAST_LIKENESS", -1000.0)
    return score


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "impressions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_any_shards_make_the_same_set_whose_fingers_do_not_match(tmp_path: Path, likeness):
    whole, shared, grown = tmp_path / "whole", tmp_path / "shared", tmp_path / "grown"
    size = ("--fingers", 7, "--impressions", 1)
    dataset(*size, "--out", whole)
    replaced = [row for row in table(whole) if row["replaced"]]
    found = templates(whole)
    assert replaced and not any(likeness(a, b) for i, a in enumerate(found) for b in found[:i])
    row = replaced[0]
    assert row["file"] == f"{int(row['finger']):08d}_{row['impression']}.png"
    assert int(row["seed"]) == replacement(int(row["finger"]), int(row["replaced"]))
    for number in (2, 1):  # in one folder
        dataset(*size, "--shard", f"{number}/2", "--out", shared)
    assert contents(shared) == contents(whole)
    dataset(*size, "--shard", "2/2", "--out", tmp_path / "2")  # alone
    parts = [f"parts/{part:07d}.csv" for part in range(3)]
    assert [(tmp_path / "2" / part).exists() for part in parts] == [False, True, False]
    assert (tmp_path / "2" / parts[1]).read_bytes() == (whole / parts[1]).read_bytes()
    dataset("--fingers", 4, "--impressions", 1, "--out", grown)
    dataset(*size, "--resume", "--out", grown)
    assert contents(grown) == contents(whole)


@pytest.mark.slow
def test_bozorth3_finds_no_pair_in_the_images(tmp_path: Path):
    dataset("--fingers", 12, "--impressions", 1, "--out", tmp_path, side=256)
    assert any(row["replaced"] for row in table(tmp_path))
    found = templates(tmp_path)
    assert len(found) == 12
    assert max(a.compare(b) for a in found for b in found if a is not b) < SCORE


def test_what_was_compared_is_not_compared_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, likeness):
    size = ("--fingers", 4, "--impressions", 1, "--out", tmp_path)
    compare = distinct._compare_parts

    def interrupted(root: str, part: int, other: int, score: int):
        if part == 1:
            raise KeyboardInterrupt
        return compare(root, part, other, score)

    monkeypatch.setattr(distinct, "_BLOCKS_AHEAD", 0)
    monkeypatch.setattr(distinct, "_compare_parts", interrupted)
    dataset(*size, code=130)
    assert not list(tmp_path.glob("*.png"))
    seen = []
    monkeypatch.setattr(distinct, "_compare_parts", lambda *a: seen.append(a[1:3]) or compare(*a))
    dataset(*size, "--resume")
    assert seen == [(1, 0), (1, 1)]
    dataset(*size, "--resume")
    assert len(seen) == 2


def test_seeds_that_were_tried_are_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, likeness):
    size = ("--fingers", 6, "--impressions", 1)
    dataset(*size, "--out", tmp_path / "whole")
    tried: list[tuple[int, int]] = []
    attempt = distinct.Distinct._try

    def counting(self, pool, finger: int, number: int):
        if len(tried) == 2:
            raise KeyboardInterrupt
        tried.append((finger, number))
        return attempt(self, pool, finger, number)

    monkeypatch.setattr(distinct.Distinct, "_try", counting)
    dataset(*size, "--out", tmp_path / "set", code=130)
    record = tmp_path / "set" / distinct.FOLDER / "tried.jsonl"
    with record.open("ab") as file:
        file.write(b'{"fingers": 6, "fing')  # killed while writing
    first = tried.copy()
    monkeypatch.setattr(distinct.Distinct, "_try", lambda *a: tried.append(a[2:]) or attempt(*a))
    dataset(*size, "--out", tmp_path / "set", "--resume")
    assert len(first) == 2 < len(tried) == len(set(tried))
    assert contents(tmp_path / "set") == contents(tmp_path / "whole")
    taken = [tmp_path / name / distinct.FOLDER / "taken.json" for name in ("set", "whole")]
    assert taken[0].read_bytes() == taken[1].read_bytes() and not record.exists()


def test_fingers_that_match_whatever_their_seed_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(distinct, "MOST_SEEDS", 1)
    monkeypatch.setattr(distinct, "_score", lambda *_: SCORE)
    monkeypatch.setattr(distinct, "LEAST_LIKENESS", -1000.0)
    message = dataset("--fingers", 2, "--out", tmp_path, code=2).output
    assert f"--distinct {SCORE}: finger 1 matches others with each of 1 seeds" in message
    assert dataset("--fingers", 10**6, "--out", tmp_path, code=2).output.count("at most 100000 fingers") == 1


def test_the_sieve_sees_a_turned_and_moved_print():
    rng = np.random.default_rng(0)

    def draw() -> np.ndarray:
        return np.column_stack([rng.uniform(0, 300, (40, 2)), rng.uniform(0, 360, 40)]).astype(np.float32)

    prints = [draw() for _ in range(30)]
    sieve = Sieve([*prints, np.zeros((0, 3), np.float32)])
    turn = np.radians(70)
    x, y, angle = prints[7].T
    turned = np.column_stack(
        [x * np.cos(turn) + y * np.sin(turn) + 20, y * np.cos(turn) - x * np.sin(turn) - 9, angle + 70]
    )
    likeness = sieve.likeness(turned.astype(np.float32))
    assert likeness.argmax() == 7 and likeness[7] > 3 * np.delete(likeness, 7).max() and likeness[30] == 0
    assert not sieve.likeness(np.zeros((0, 3), np.float32)).any()
    assert Sieve([]).likeness(prints[0]).shape == (0,)


def test_pairs_that_agree_by_many_movements_are_not_alike():
    """The same pairs of minutiae, each moved elsewhere: Bozorth3 finds no print in them either."""
    rng = np.random.default_rng(1)
    pairs = [np.column_stack([rng.uniform(0, 40, (2, 2)), rng.uniform(0, 360, 2)]) for _ in range(20)]

    def laid_out(moves: np.ndarray) -> np.ndarray:
        moved = [pair + np.array([*move, 0]) for pair, move in zip(pairs, moves, strict=True)]
        return np.concatenate(moved).astype(np.float32)

    moves = rng.uniform(0, 600, (20, 2))
    same, scattered = Sieve([laid_out(moves + 30), laid_out(rng.uniform(0, 600, (20, 2)))]).likeness(
        laid_out(moves)
    )
    assert same > 3 * scattered


def test_a_print_without_minutiae_matches_none():
    """nbis-py writes it as a record of 26 bytes, which it does not read."""
    nist = Nist()
    blank = np.full((96, 96), 200, np.uint8)
    blank[40:60, 30:33] = 80
    found = nist.extract(blank, 500)
    again = nist.load(bytes(found.to_iso_19794_2_2005()))
    assert not found.get() and not again.get()
    assert again.compare(again) == 0
