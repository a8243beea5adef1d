"""Datasets of mated impressions.

fgr.load().dataset(fingers=100, impressions=4)        # of a bundle
sensor_dataset(fingers=100, impressions=4)            # of a sensor that grown fingers touch, without a bundle
"""

from typing import Any

from .mated_dataset import MatedDataset, Sample
from .request import DatasetRequest

__all__ = ["DatasetRequest", "MatedDataset", "Sample", "sensor_dataset"]


def sensor_dataset(
    fingers: int, impressions: int = 2, workers: int | None = None, **fields: Any
) -> MatedDataset:
    """Mated impressions of grown fingers on a sensor, which takes no bundle.

    Args:
        fingers: How many.
        impressions: Of each finger.
        workers: Threads; None: one per core.
        fields: Of `DatasetRequest`, such as `preset="easy"` or `window=(256, 256)`.

    Returns:
        The set; nothing is made yet.

    Raises:
        BadInput: If a field is out of its range.
    """
    request = DatasetRequest(fingers, impressions, renderer="sensor", **fields)
    return MatedDataset(request, workers=workers)
