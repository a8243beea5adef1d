"""Ridge growth: noise turned into ridges by repeated filtering along the orientation field.

The graph is `growth.onnx` (built by `fingergen.export.onnx_graphs.fingers`): the op RidgeGrowth, by our
kernel where the op library is built and else by standard operators, which take about fifteen times as long,
and an interpolation to twice the resolution.
Source of the idea: Cappelli, Erol, Maio and Maltoni, "Synthetic fingerprint-image generation", ICPR 2000.
"""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fingergen import cpp_ops

from ...arguments import AnyFloats as Floats
from ...backends.interruption import Aside

if TYPE_CHECKING:
    from ...backends.ort.library import onnxruntime


GRAPH = Path(__file__).with_name("growth.onnx")
RADIUS = 6  # of the kernels, in samples of the growth grid (250 ppi)
MOST_THREADS = 4  # a print's rows are cut into as many parts
ROUNDS = 30  # fewer leave more and less stable minutiae: 15 cost MINDTCT 2 points of recall


def grow(noise: Floats, orientation: Floats, period: Floats, threads: int = 1) -> NDArray[np.float32]:
    """Ridges grown from noise, at twice its resolution. May be called from many threads.

    Args:
        noise: float32 (H, W) on the growth grid of 250 ppi, standard normal; H and W above RADIUS.
        orientation: float32 (H, W), radians counter-clockwise, modulo π.
        period: float32 (H, W), samples of the growth grid, about 3.5 to 6.
        threads: That share the work, the caller's among them; the bits do not depend on them.

    Returns:
        float32 (2H, 2W) in [-1, 1] at 500 ppi, -1 in a valley and 1 on a ridge. Within 12 pixels of the
        border ridges do not follow the fields.
    """
    names = ("noise", "orientation", "period")
    fields = (noise, orientation, period)
    inputs = {
        name: np.ascontiguousarray(field, np.float32)[None, None]
        for name, field in zip(names, fields, strict=True)
    }
    (ridges,) = _session(min(threads, MOST_THREADS)).result().run(None, inputs)
    return ridges[0, 0]


def open_ahead(threads: int) -> None:
    """Begin to open what `grow` runs, so that what it grows from can be computed meanwhile.

    Args:
        threads: As of `grow`.
    """
    _session(min(threads, MOST_THREADS))


@cache
def _session(threads: int) -> Aside[onnxruntime.InferenceSession]:
    return Aside(partial(_open, threads))


def _open(threads: int) -> onnxruntime.InferenceSession:
    from ...backends.ort.library import onnxruntime
    from ...backends.ort.sessions import CPU_PROVIDER, open_session, use_threads

    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # an error is raised, and shown, once
    use_threads(options, threads)
    if library := cpp_ops.status("onnxruntime").path:
        options.register_custom_ops_library(str(library))
    return open_session(GRAPH.read_bytes(), options, [CPU_PROVIDER])
