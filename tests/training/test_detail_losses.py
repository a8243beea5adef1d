"""Losses on what is finer than ridges, and on grays."""

import numpy as np
import pytest
import torch

from fingergen.training.losses.grain import grain_loss
from fingergen.training.losses.roughness import roughness_loss
from fingergen.training.losses.spots import LEAST, spot_loss
from fingergen.training.losses.texture import texture_loss
from fingergen.training.losses.tones import BORDER_WEIGHT, tone_loss

from .test_ridge_noise import stripes


def test_grain_loss_compares_how_strong_detail_is_not_where_it_lies():
    torch.manual_seed(0)
    ridges = stripes(np.random.default_rng(0), 4).float()
    ridges = torch.nn.functional.interpolate(ridges, size=64, mode="bilinear")
    first, second = (ridges + 0.1 * torch.randn(ridges.shape) for _ in range(2))
    assert grain_loss(first, first) == 0
    elsewhere, smooth = grain_loss(first, second), grain_loss(ridges, second)
    assert elsewhere < 0.3 < 1.0 < smooth
    assert grain_loss(ridges + 0.2 * torch.randn(ridges.shape), second) > 3 * elsewhere
    assert grain_loss(first + 0.2, first) < 1e-4  # paper is none of its business


def test_roughness_loss_sees_what_ridges_hide():
    torch.manual_seed(0)
    contact = torch.ones(4, 1, 32, 32)
    ridges = stripes(np.random.default_rng(0), 4).float()
    ridges = torch.nn.functional.interpolate(ridges, size=64, mode="bilinear")
    first, second = (ridges + 0.1 * torch.randn(ridges.shape) for _ in range(2))
    assert roughness_loss(first, first, contact) == 0
    elsewhere, smooth = (roughness_loss(each, second, contact) for each in (first, ridges))
    assert elsewhere < 0.2 and smooth > 3 * elsewhere
    assert roughness_loss(ridges + 0.2 * torch.randn(ridges.shape), second, contact) > 3 * elsewhere
    assert roughness_loss(1.05 * first, first, contact) < 0.01  # contrast is others' business
    assert roughness_loss(first, second, 0 * contact) == 0
    left = contact * (torch.arange(32) < 16)
    halves = torch.where(torch.arange(64) < 44, first, ridges)
    assert roughness_loss(halves, first, left) < 0.1 * roughness_loss(halves, first, contact)


@pytest.mark.parametrize("size", [8, 16, 32, 64])
def test_spot_loss_compares_how_strong_spots_are_not_where_they_lie(size: int):
    torch.manual_seed(0)

    def spots() -> torch.Tensor:
        cells = torch.randn(2, 1, 512 // size, 512 // size)
        return torch.nn.functional.interpolate(cells, size=512, mode="bilinear")

    first, second = 0.1 * spots(), 0.1 * spots()
    assert spot_loss(first, first) == 0
    elsewhere, faint = (spot_loss(each, second) for each in (first, 0.4 * first))
    assert faint > 1.5 * elsewhere and spot_loss(2.5 * first, second) > 1.2 * elsewhere
    assert spot_loss(first + 0.2, first) < 1e-4  # paper is none of its business


def test_spot_loss_sees_spots_beneath_ridges():
    torch.manual_seed(0)
    ridges = torch.sin(torch.arange(512) * 2 * torch.pi / 9).expand(4, 1, 512, 512)
    spots = torch.nn.functional.interpolate(torch.randn(4, 1, 32, 32), size=512, mode="bilinear")
    assert spot_loss(ridges, ridges + 0.1 * spots) > 10 * spot_loss(ridges.roll(4, 3), ridges)
    image = torch.rand(1, 1, LEAST, LEAST)
    assert spot_loss(image, image) == 0


def test_tone_loss_compares_the_grays_of_squares_not_where_they_lie():
    torch.manual_seed(0)
    reals = torch.rand(2, 1, 64, 64) * 1.6 - 0.8
    shuffled = reals.clone()
    shuffled[..., :16, :16] = reals[..., :16, :16].flatten(2)[..., torch.randperm(256)].view(2, 1, 16, 16)
    assert tone_loss(shuffled, reals) == 0
    assert tone_loss(reals + 0.1, reals).item() == pytest.approx(0.1, abs=1e-5)
    wider = 1.25 * reals  # as right on average, but its valleys are brighter and its ridges darker
    assert tone_loss(wider, reals).item() == pytest.approx(0.25 * 0.4, rel=0.05)
    assert tone_loss(reals.roll(16, 3), reals) > 0  # other squares
    small = torch.rand(1, 1, 8, 8)
    assert tone_loss(small, small.flip(2)) == 0


def test_tone_loss_weighs_the_border_more():
    reals = torch.zeros(1, 1, 64, 64)
    within, along = reals.clone(), reals.clone()
    within[..., 16:32, 16:32] = 0.1
    along[..., :16, 16:32] = 0.1
    weights = 12 * BORDER_WEIGHT + 4
    assert tone_loss(within, reals).item() == pytest.approx(0.1 / weights)
    assert tone_loss(along, reals).item() == pytest.approx(0.1 * BORDER_WEIGHT / weights)


def test_texture_loss_compares_how_strong_grain_is_in_each_direction():
    torch.manual_seed(0)

    def grain(along: int) -> torch.Tensor:
        """Noise of one strength that runs along an axis."""
        white = torch.randn(2, 1, 128, 128)
        drawn = white + white.roll(1, along) + white.roll(2, along)
        return 0.1 * drawn / 3**0.5

    seen = torch.ones(2, 1, 128, 128)
    right = seen * (torch.arange(128) >= 64)
    touched = torch.nn.functional.interpolate(right, size=32)
    rows, others, columns = grain(3), grain(3), grain(2)
    assert texture_loss(rows, rows, touched, seen) == 0
    alike = texture_loss(others, rows, touched, seen)
    assert alike < 0.4 and texture_loss(columns, rows, touched, seen) > 3 * alike
    assert texture_loss(others + 0.3, rows, touched, seen) - alike < 1e-3  # paper is none of its business
    mixed = torch.where(right > 0, others, columns)  # wrong in the background alone
    assert 1.5 * alike < texture_loss(mixed, rows, touched, seen) < texture_loss(columns, rows, touched, seen)
    assert texture_loss(mixed, rows, touched, right) < alike  # of which the scans show nothing
