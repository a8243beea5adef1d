"""Batches loaded ahead: the same ones by a thread and by processes."""

import multiprocessing
import os

import numpy as np
import pytest
import torch

from fingergen.training.data.pairs import Pairs
from fingergen.training.data.prefetch import prefetch
from fingergen.training.trainers.training_loop import seed_torch, step_rng

STARTS = range(8, 40, 8)


def load(start: int) -> Pairs:
    drawn = step_rng(3, start).integers(256, size=(2, 1, 4, 4), dtype=np.uint8)
    return Pairs(torch.from_numpy(drawn), torch.full((2,), os.getpid()))


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_are_those_of_their_starts_in_order(workers):
    batches = list(prefetch(load, STARTS, workers))
    assert [b.images.tolist() for b in batches] == [load(start).images.tolist() for start in STARTS]
    drawers = {int(b.maps[0]) for b in batches}
    assert len(drawers) == max(workers, 1)
    assert (os.getpid() in drawers) == (not workers)


@pytest.mark.parametrize("workers", [0, 2])
def test_nothing_to_load(workers):
    assert list(prefetch(load, range(8, 8), workers)) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_ends_when_closed(workers):
    batches = prefetch(load, range(0, 8_000_000, 8), workers)
    first = next(batches)
    batches.close()
    assert first.images.tolist() == load(0).images.tolist()
    if workers:
        with pytest.raises(ProcessLookupError):  # joined, so not even a zombie
            os.kill(int(first.maps[0]), 0)


def refuse(start: int) -> Pairs:
    raise ValueError(f"no batch for {start}")


@pytest.mark.parametrize("workers", [0, 2])
def test_error_of_a_load_is_raised_and_ends_the_processes(workers):
    with pytest.raises(ValueError, match="no batch for 8") as raised:
        list(prefetch(refuse, STARTS, workers))
    assert raised.value and not multiprocessing.active_children()


def test_seeds_beyond_float64_draw_different_batches():
    """Neighbors of 2^63 and 2^64 are one and the same float64."""
    seeds = [0, 1, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 2, 2**64 - 1]
    drawn = {step_rng(seed, images).bytes(16) for seed in seeds for images in (0, 1, 8, 2**53 + 1)}
    assert len(drawn) == 4 * len(seeds)
    torch_drawn = []
    for seed in seeds:
        seed_torch(seed, 8)
        torch_drawn.append(torch.rand(4).numpy().tobytes())
    assert len(set(torch_drawn)) == len(seeds)
