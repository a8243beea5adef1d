"""The HTML report: one file that loads nothing, with every set's figures, plots and prints."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fingergen.benchmarks.quality.directions import TRAITS, DirectionImages
from fingergen.benchmarks.quality.error_rates import Scores
from fingergen.benchmarks.quality.evaluation import Evaluation, describe
from fingergen.benchmarks.quality.image_sets import read_folder
from fingergen.benchmarks.quality.measurement import Measurement
from fingergen.benchmarks.quality.minutiae_statistics import histograms
from fingergen.benchmarks.quality.report import report
from fingergen.runtime.fingers import PatternClass

pytestmark = pytest.mark.slow


def evaluation(folder: Path, name: str, flags: tuple[str, ...] = ()) -> Evaluation:
    """Made-up figures of two fingers' images."""
    folder.mkdir()
    for finger in range(2):
        Image.new("L", (64, 64), 90 * finger).save(folder / f"{finger}_1.png")
    rng = np.random.default_rng(0)
    scores = Scores(rng.normal(90, 9, 30), np.zeros(30, int), rng.normal(9, 3, 90), np.zeros((90, 2), int), 2)
    minutiae = rng.uniform(0, 300, (2, 30, 5)).tolist()
    measured = tuple(
        Measurement(64, 64, 60, rows, None, "", 9.0, 0.8, "whorl", 0.7, 0.0) for rows in minutiae
    )
    samples = {key: [1.0, 2.0] for key in
               ("nfiq2", "minutiae_mindtct", "ridge_period", "coherence", "contact_area")}  # fmt: skip
    paths = [str(folder / f"{finger}_1.png") for finger in range(2)]
    matcher = {"rates": {"eer": {"value": 0.0125, "low": 0.0, "high": 0.02}}, "duplicate_fingers": 0}
    match = {"pairs": 2, "score": describe([3.0, 5.0]), "match": {"bozorth3_40": 0.5}}
    attack = {"type_1": match, "type_2": match, "recall": 0.8}
    figures = {
        "images": 2, "fingers": 2, "nfiq2": describe([60, 61]),
        "patterns": {kind.value: 0.2 for kind in PatternClass},
        "bozorth3": matcher | {"largest_non_mated": [{"score": 33.0, "images": paths}]},
        "edits": {
            "seeds": 2,
            "directions": {"0": {"identity_kept": {"5": 0.75}, "moves": dict.fromkeys(TRAITS)}},
        },
        "reconstruction": {"fingers": 2, "thresholds": {"bozorth3_40": 40.0}, "mates": match,
                           "non_mates": match, "true": attack, "extracted": attack},
    }  # fmt: skip
    return Evaluation(
        name, figures, flags, (), samples, histograms(minutiae), {"bozorth3": scores, "mcc": scores},
        read_folder(folder), measured,
    )  # fmt: skip


class Elements(HTMLParser):
    """Checks that elements are closed in the order in which they were opened."""

    VOID = frozenset(("meta", "img", "br", "path", "use", "image"))

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("sets")
    image = np.zeros((64, 64), np.uint8)
    sets = [
        evaluation(folder / "one", "one <b>"),
        evaluation(folder / "two", "two", ("duplicates: 3 of 9 fingers",)),
    ]
    return report(sets, {"one <b>": [DirectionImages("0", (image, image, image))]})


def test_the_report_is_whole(page: str) -> None:
    elements = Elements()
    elements.feed(page)
    assert elements.open == []
    for words in ("one &lt;b&gt;", "duplicates", "no defect found", "1.25%", "type II", "error trade-off"):
        assert words in page


def test_the_report_loads_nothing(page: str) -> None:
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert "<script" not in page and "@import" not in page


def test_identifiers_are_of_one_plot(page: str) -> None:
    plots = re.findall("<svg.*?</svg>", page, re.DOTALL)
    found = [set(re.findall(r' id="([^"]+)"', plot)) for plot in plots]
    assert len(plots) > 10 and sum(map(len, found)) == len(set().union(*found))
    assert set(re.findall(r"url\(#([^)]+)\)", page)) <= set().union(*found)
