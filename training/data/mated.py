"""Mated datasets of the runtime as PyTorch's datasets, made on the fly in the workers of a `DataLoader`.

fingers = sensor_dataset(fingers=10_000, impressions=4, window=(256, 256))
loader = DataLoader(MatedStream(fingers), batch_size=32, num_workers=4)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import torch
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from fingergen.runtime.datasets import MatedDataset, Sample

Item = dict[str, Any]


def as_tensors(sample: Sample) -> Item:
    """`image` uint8 (C, H, W); `finger`, index of the finger; `impression`, from 1: what `default_collate`
    takes."""
    pixels = torch.from_numpy(sample.pixels)
    image = pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1)
    return {"image": image, "finger": sample.finger, "impression": sample.impression}


class MatedSamples(Dataset):
    """Impressions by index, in any order; each grows its finger anew, so streams are faster.

    Args:
        dataset: What makes them.
        transform: What an item is made of a sample by, such as one with the template.
    """

    def __init__(self, dataset: MatedDataset, transform: Callable[[Sample], Any] = as_tensors) -> None:
        self._dataset = dataset
        self._transform = transform

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Any:
        return self._transform(self._dataset[index])


class MatedStream(IterableDataset):
    """All impressions, finger by finger; each worker of a `DataLoader` makes its share of the fingers.

    Args:
        dataset: What makes them.
        transform: What an item is made of a sample by.
    """

    def __init__(self, dataset: MatedDataset, transform: Callable[[Sample], Any] = as_tensors) -> None:
        self._dataset = dataset
        self._transform = transform

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        share = (worker.id, worker.num_workers) if worker is not None else (0, 1)
        with closing(self._dataset.share(*share)) as samples:
            for sample in samples:
                yield self._transform(sample)
