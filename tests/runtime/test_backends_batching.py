"""Batches that fit: splitting, padding, and what happens when the GPU's memory is full."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingergen.runtime.backends.batching import BatchFailed, BatchLimit, Profile, plan
from fingergen.runtime.backends.graphs import part, synthesis_inputs

ONE = [Profile(0, 1, 8, 64)]


def sizes(images: int, profiles: list[Profile], limit: int = 1000) -> list[tuple[int, int, int]]:
    return [(chunk.images, chunk.size, chunk.profile) for chunk in plan(images, profiles, limit)]


@st.composite
def profile_lists(draw) -> list[Profile]:
    made = []
    for index in range(draw(st.integers(1, 3))):
        smallest, best, largest = sorted(draw(st.tuples(*[st.integers(1, 40)] * 3)))
        made.append(Profile(index, smallest, best, largest))
    return made


class TestPlan:
    def test_one_profile(self):
        assert sizes(3, ONE) == [(3, 3, 0)]
        assert sizes(64, ONE) == [(64, 64, 0)]
        assert sizes(150, ONE) == [(64, 64, 0), (64, 64, 0), (22, 22, 0)]

    def test_smaller_than_the_smallest_is_padded(self):
        assert sizes(3, [Profile(0, 4, 8, 16)]) == [(3, 4, 0)]
        assert sizes(18, [Profile(0, 4, 8, 16)]) == [(16, 16, 0), (2, 4, 0)]

    def test_the_profile_that_suits_best(self):
        several = [Profile(0, 1, 1, 4), Profile(1, 1, 16, 64), Profile(2, 8, 64, 256)]
        assert sizes(1, several) == [(1, 1, 0)]
        assert sizes(20, several) == [(20, 20, 1)]
        assert sizes(63, several) == [(63, 63, 2)]
        assert sizes(257, several) == [(256, 256, 2), (1, 1, 0)]

    def test_limit(self):
        assert sizes(10, ONE, 4) == [(4, 4, 0), (4, 4, 0), (2, 2, 0)]
        assert sizes(10, [Profile(0, 8, 8, 8)], 4) == [(4, 8, 0), (4, 8, 0), (2, 8, 0)]

    @given(st.integers(0, 300), profile_lists(), st.integers(1, 50))
    def test_always(self, images: int, profiles: list[Profile], limit: int):
        chunks = plan(images, profiles, limit)
        covered = [i for chunk in chunks for i in range(chunk.start, chunk.start + chunk.images)]
        assert covered == list(range(images))
        for chunk in chunks:
            profile = profiles[chunk.profile]
            assert profile.smallest <= chunk.size <= profile.largest
            assert 1 <= chunk.images <= min(limit, chunk.size)
            assert chunk.size == chunk.images or chunk.size == profile.smallest


class TestBatchLimit:
    def test_halves_until_it_fits_and_says_so(self, caplog: pytest.LogCaptureFixture):
        limit, tried = BatchLimit("tensorrt", 64), []

        def attempt(batch: int) -> int:
            tried.append(batch)
            if batch > 10:
                raise BatchFailed("full")
            return batch

        with caplog.at_level(logging.WARNING):
            assert limit.fit(100, attempt) == 8
        assert tried == [64, 32, 16, 8]
        assert caplog.messages == ["tensorrt: no batch of 64 here; batches of 8 from now on (full)"]
        assert limit.fit(100, attempt) == 8 and tried[4:] == [8]  # it is remembered

    def test_a_small_call_halves_what_it_tried(self):
        limit = BatchLimit("x", 64)

        def attempt(batch: int) -> int:
            if min(batch, 6) > 3:
                raise BatchFailed("full")
            return batch

        assert limit.fit(6, attempt) == 3

    @pytest.mark.parametrize("smallest", [1, 4])
    def test_gives_up_below_the_smallest(self, smallest: int):
        limit, tried = BatchLimit("x", 16, smallest), []

        def attempt(batch: int) -> None:
            tried.append(batch)
            raise BatchFailed("full")

        with pytest.raises(BatchFailed, match="full"):
            limit.fit(100, attempt)
        assert tried[-1] == smallest and tried == sorted(tried, reverse=True)

    def test_other_errors_pass(self):
        def attempt(batch: int) -> None:
            raise ValueError(batch)

        with pytest.raises(ValueError, match="16"):
            BatchLimit("x", 16).fit(1, attempt)

    def test_threads_that_fail_together_halve_once(self):
        limit, together = BatchLimit("x", 64), threading.Barrier(4)

        def attempt(batch: int) -> int:
            if batch == 64:
                together.wait()
                raise BatchFailed("full")
            return batch

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(lambda _: limit.fit(100, attempt), range(4))) == [32] * 4


class TestPart:
    def test_shared_noise_stays_shared(self):
        w = np.arange(5 * 2 * 3, dtype=np.float32).reshape(5, 2, 3)
        shared, own = np.zeros((1, 1, 4, 4), np.float32), np.ones((5, 1, 8, 8), np.float32)
        cut = part(synthesis_inputs(w, [shared, own]), 2, 2)
        assert np.array_equal(cut["w"], w[2:4])
        assert cut["noise_0"].shape == (1, 1, 4, 4) and cut["noise_1"].shape == (2, 1, 8, 8)

    def test_parts_are_contiguous(self):
        w = np.zeros((4, 3, 2), np.float32).transpose(0, 2, 1)
        assert part({"w": w}, 1, 2)["w"].flags.c_contiguous
