"""Precision and recall of an extractor over many images."""

from __future__ import annotations

from collections.abc import Sequence

from fingergen.runtime.minutiae import Template
from fingergen.runtime.minutiae.agreement import Agreement, agreement


def agreement_figures(found: Sequence[Template], true: Sequence[Template]) -> dict[str, float]:
    """Precision and recall over all minutiae of several templates.

    Args:
        found: Extracted templates, one per image.
        true: True templates, in the same order.

    Returns:
        `precision`, `recall` and `chance_recall`: the recall of the next image's minutiae.
    """
    others = [*true[1:], true[0]]
    total, chance = (
        sum((agreement(one, other) for one, other in zip(found, wanted, strict=True)), Agreement())
        for wanted in (true, others)
    )
    return {"precision": total.precision, "recall": total.recall, "chance_recall": chance.recall}
