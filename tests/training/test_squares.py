"""Means over squares, beside PyTorch's pooling."""

import pytest
import torch
import torch.nn.functional as F

from fingergen.training.losses.squares import means_around, overlapping_means, sums_along


@pytest.mark.parametrize("side", [1, 2, 3, 5, 6, 7, 12, 19, 31])
def test_sums_of_neighbors_are_those_of_a_pooling(side: int):
    x = torch.randn(2, 3, 31, 40, dtype=torch.float64)
    for axis, window in ((2, (side, 1)), (3, (1, side))):
        found = sums_along(x, side, axis)
        torch.testing.assert_close(found, side * F.avg_pool2d(x, window, stride=1))


@pytest.mark.parametrize("size", [8, 64])
@pytest.mark.parametrize("side", [1, 3, 5])
def test_means_around_pixels_are_those_of_a_pooling(size: int, side: int):
    x = torch.randn(2, 1, size, size + 3, dtype=torch.float64)
    expected = F.avg_pool2d(x, side, 1, side // 2, count_include_pad=False)
    torch.testing.assert_close(means_around(x, side), expected)


@pytest.mark.parametrize("side", [2, 4, 16])
def test_overlapping_means_are_those_of_a_pooling(side: int):
    x = torch.randn(2, 1, 16, 48, dtype=torch.float64)
    torch.testing.assert_close(overlapping_means(x, side), F.avg_pool2d(x, side, side // 2))


def test_gradients():
    x = torch.randn(1, 2, 8, 12, dtype=torch.float64, requires_grad=True)
    for function in (
        lambda x: sums_along(x, 1, 2),
        lambda x: sums_along(x, 7, 2),
        lambda x: sums_along(x, 4, 3),
        lambda x: means_around(x, 5),
        lambda x: overlapping_means(x, 4),
    ):
        assert torch.autograd.gradcheck(function, x)
        assert torch.autograd.gradgradcheck(function, x)
