"""The print in a scan: where it is, and its ridge map."""

import numpy as np
import pytest

from fingergen.runtime.fingers import make_finger, take_impression
from fingergen.training.data.prepare.ridges import ridge_map
from fingergen.training.data.prepare.segmentation import NoPrint, foreground

from .raw_scans import scan

# -- ridge maps ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(2))
def test_the_ridge_map_of_a_scan_is_that_of_its_finger(number: int):
    impression = take_impression(make_finger(90_000 + number, (512, 512)), number, "medium")
    found, contact = ridge_map(impression.pixels, foreground(impression.pixels, 500), 500)
    touched = (impression.contact > 0.9) & (contact > 0.9)
    assert np.corrcoef(found[touched], impression.ridges[touched])[0, 1] > 0.9
    assert touched.sum() > 0.8 * (impression.contact > 0.9).sum()
    assert np.abs(found[contact < 0.01]).max() < 0.01


def test_the_ridge_map_of_nothing_is_nothing():
    assert not ridge_map(np.full((64, 96), 200, np.uint8), np.zeros((64, 96), bool), 500).any()


# -- segmentation -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ppi", [250, 500, 1000])
def test_the_print_is_found(ppi):
    mask = foreground(np.asarray(scan(ppi=ppi)), ppi)
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]] * 500 / ppi
    distance = np.hypot(x - 140, y - 160)
    assert mask[distance < 60].all()
    assert not mask[distance > 95].any()


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.full((300, 300), 240, np.uint8), "an even surface"),
        (
            np.random.default_rng(0).integers(0, 256, (300, 300)).astype(np.uint8),
            "no ridges run side by side",
        ),
        (np.asarray(scan(side=60)), "large enough"),
        (np.zeros((1, 1), np.uint8), "too small"),
    ],
)
def test_what_is_no_print(image, reason):
    with pytest.raises(NoPrint, match=reason):
        foreground(image, 500)
