"""Mated datasets in the workers of PyTorch's `DataLoader`: each sample once, whatever starts the workers."""

import numpy as np
import pytest
from torch.utils.data import DataLoader

from fingergen.runtime.datasets import Sample, sensor_dataset
from fingergen.training.data.mated import MatedSamples, MatedStream

from ..runtime.test_datasets_python import SMALL

FINGERS = 3


def minutiae(sample: Sample) -> tuple[int, int, int, int]:
    assert sample.template is not None
    return sample.finger, sample.impression, len(sample.template.minutiae), int(sample.pixels.sum())


def test_batches_of_the_default_collation():
    fingers = sensor_dataset(FINGERS, 2, workers=1, **SMALL)
    batches = list(DataLoader(MatedStream(fingers), batch_size=4))
    assert [tuple(batch["image"].shape) for batch in batches] == [(4, 1, 64, 64), (2, 1, 64, 64)]
    assert batches[0]["finger"].tolist() == [0, 0, 1, 1] and batches[1]["impression"].tolist() == [1, 2]
    by_index = MatedSamples(fingers)
    assert len(by_index) == 6
    np.testing.assert_array_equal(by_index[5]["image"], batches[1]["image"][1])


@pytest.mark.parametrize("how", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_workers_make_each_sample_once(how: str):
    fingers = sensor_dataset(FINGERS, 2, workers=1, **SMALL)
    expected = sorted(minutiae(sample) for sample in fingers)  # the parent has grown fingers when it forks
    stream = DataLoader(
        MatedStream(fingers, minutiae),
        batch_size=None,
        num_workers=2,
        multiprocessing_context=how,
        timeout=300,
    )
    assert sorted(tuple(item) for item in stream) == expected
    by_index = DataLoader(
        MatedSamples(fingers, minutiae),
        batch_size=None,
        num_workers=2,
        multiprocessing_context=how,
        timeout=300,
    )
    assert [tuple(item) for item in by_index] == expected
