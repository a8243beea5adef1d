"""Ridge growth as an ONNX graph, the file that `runtime/fingers` carries: no weights, so a few kilobytes.

`python -m fingergen.export.onnx_graphs.fingers` writes it anew; a test compares it with what is built here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from fingergen.runtime.fingers.identity.growth import GRAPH, RADIUS, ROUNDS

from .builder import Graph
from .ops import PLUGIN, UPFIRDN2D
from .ridge_growth import RIDGE_GROWTH

TAPS = 24  # of the interpolation filter, on the fine grid
KAISER = (
    5.0  # shape of its window: stopband 50 dB, and ridges keep well below the coarse grid's Nyquist frequency
)


def growth_model() -> onnx.ModelProto:
    """`noise`, `orientation` and `period`, float32 (fingers, 1, height, width) on the growth grid of 250 ppi,
    to `ridges`, float32 (fingers, 1, 2 height, 2 width) in [-1, 1] at 500 ppi.

    A sample of the growth grid covers two by two of the fine grid: these lie a quarter of it from its center.
    """
    graph = Graph("growth", "Ridge growth: noise, orientation and period to a ridge map")
    size: list[int | str] = ["fingers", 1, "height", "width"]
    fields = [
        graph.input("noise", size, "standard normal"),
        graph.input("orientation", size, "radians, counter-clockwise, modulo pi"),
        graph.input("period", size, "samples of this grid"),
    ]
    ridges = graph.call(RIDGE_GROWTH, *fields, rounds=ROUNDS, radius=RADIUS, **PLUGIN)
    kernel = graph.constant("interpolation", interpolation())
    before, after = TAPS // 2, TAPS // 2 - 1
    ridges = graph.call(UPFIRDN2D, ridges, kernel, up=2, down=1, pad=[before, after, before, after], **PLUGIN)
    # Steeper: minutiae keep their contrast, where the filters leave the amplitude small.
    ridges = graph.add("Mul", ridges, graph.constant("steepness", 2.0), name="steeper")
    ridges = graph.add("Tanh", ridges)
    fine: list[int | str] = ["fingers", 1, "fine_height", "fine_width"]
    graph.output("ridges", ridges, fine, "-1 in a valley, 1 on a ridge")
    return graph.model()


def interpolation() -> NDArray[np.float32]:
    """The filter that doubles the resolution: (TAPS, TAPS), a windowed sinc, exact for flat ones."""
    place = (np.arange(TAPS) - (TAPS - 1) / 2) / 2
    row = np.sinc(place) * np.kaiser(TAPS, KAISER)
    for phase in (0, 1):
        row[phase::2] /= row[phase::2].sum()
    return np.outer(row, row).astype(np.float32)


def main(path: Path = GRAPH) -> None:
    """Write the graph of ridge growth that the package contains; run after a change of it."""
    path.write_bytes(growth_model().SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
