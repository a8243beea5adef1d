"""Minutiae maps, read back from images, and the network that finds minutiae."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from fingergen.runtime.minutiae import Minutia, MinutiaType, Template
from fingergen.runtime.minutiae.agreement import Agreement, agreement
from fingergen.training.data.minutiae_maps import MapReader, draw_maps
from fingergen.training.metrics.minutiae_matching import agreement_figures
from fingergen.training.networks.minutiae_net import MinutiaeNet, feature_distance
from fingergen.training.trainers.minutiae import MinutiaeTrainer, pairs_to_floats

from .tiny_encoder import CPU, Repeated, spread_template

# -- maps ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [256, 128])
def test_maps_are_read_back(size):
    templates = [spread_template(seed) for seed in range(4)]
    read = MapReader(256)(draw_maps(templates, 256, size).float() / 255)
    for found, true in zip(read, templates, strict=True):
        result = agreement(found, true, distance=4, degrees=20)
        assert result.matched == result.found == result.true == len(true.minutiae)
        assert len(found.cores) == 1
        assert abs(found.cores[0].x - 110) <= 2 and abs(found.cores[0].y - 90) <= 2
        kinds = [sum(m.type is MinutiaType.BIFURCATION for m in t.minutiae) for t in (found, true)]
        assert kinds[0] == kinds[1]


def test_an_empty_map_has_no_minutiae():
    assert MapReader(64)(torch.zeros(2, 3, 32, 32)) == [Template(64, 64, 500)] * 2


def test_agreement_counts_each_minutia_once():
    true = Template(99, 99, 500, (Minutia(10, 10, 0), Minutia(50, 50, 355), Minutia(80, 20, 90)))
    found = Template(
        99, 99, 500, (Minutia(12, 12, 5), Minutia(8, 8, 5), Minutia(50, 57, 10), Minutia(80, 20, 180))
    )
    result = agreement(found, true)  # the second has no partner left, the last is turned
    assert result == Agreement(matched=2, found=4, true=3)
    assert (result.precision, result.recall) == (2 / 4, 2 / 3)
    assert agreement(Template(9, 9), Template(9, 9)) == Agreement(0, 0, 0)
    # Of an unclear one, only what has no other partner; what it excuses counts neither way.
    unclear = Minutia(10, 10, 0), Minutia(50, 58, 10)
    assert agreement(found, replace(true, unclear=unclear)) == Agreement(matched=2, found=3, true=3)
    assert agreement(replace(true, minutiae=(), unclear=true.minutiae), true) == Agreement(0, 0, 3)
    figures = agreement_figures([true, Template(99, 99)], [true, found])
    assert figures == {"precision": 1.0, "recall": 3 / 7, "chance_recall": 2 / 7}


# -- minutiae network ---------------------------------------------------------------------------------------


def test_feature_distance():
    torch.manual_seed(0)
    network = MinutiaeNet(width=4).eval().requires_grad_(False)
    images = torch.rand(2, 1, 32, 32, requires_grad=True)
    targets = torch.rand(2, 1, 32, 32, requires_grad=True)
    assert network(images).shape == (2, 3, 32, 32)
    assert feature_distance(network, images, images) == 0
    distance = feature_distance(network, images, targets)
    distance.backward()
    assert distance > 0
    assert images.grad is not None and images.grad.any()
    assert targets.grad is None


def test_minutiae_network_learns_its_pairs():
    """After one batch, seen again and again, it tells the map better than the best constant does."""
    dataset = Repeated(draw_maps([spread_template(seed, 128) for seed in range(4)], 128, 64))
    trainer = MinutiaeTrainer(dataset, 64, 128, 4, 0, CPU)
    for _ in range(30):
        trainer.step(dataset.held_out(4))
    images, maps = pairs_to_floats(dataset.held_out(4), CPU)
    loss = F.binary_cross_entropy_with_logits(trainer.network(images), maps)
    assert loss < 0.8 * torch.distributions.Bernoulli(maps.mean(dim=(0, 2, 3))).entropy().mean()
