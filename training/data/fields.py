"""Templates of procedural fingers with the fields behind them: orientation, ridge period and contact."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fingergen.runtime.fingers import FULL_PRINT, Finger, sample_pattern
from fingergen.runtime.fingers.capture.contact import contact_depth
from fingergen.runtime.fingers.capture.parameters import Capture, sample_capture
from fingergen.runtime.fingers.capture.placement import skin_points
from fingergen.runtime.fingers.capture.presets import Effects, find_preset
from fingergen.runtime.fingers.identity.fields import orientation, ridge_period
from fingergen.runtime.fingers.truth import visible_truth
from fingergen.runtime.minutiae import Minutia, MinutiaType, Template
from fingergen.runtime.minutiae.raster import CELLS, LOG_SCALE, PERIOD, rasterize

from .masters import SplitMasters

_IMPRESSIONS = 4  # of each finger: their fields are kept once computed


class Fields(NamedTuple):
    """A batch: rasters float32 (N, CHANNELS, S, S) and what the network should say, (N, 4, S, S)."""

    rasters: Tensor
    targets: Tensor


class FieldExamples:
    """Impressions of procedural fingers whose ridge maps lie in a folder of masters."""

    def __init__(self, masters: Path, fingers: int, on_progress: Callable[[int], object] | None = None):
        """Fingers 0 … `fingers` - 1 and HELD_OUT more; those that the folder `masters` lacks are grown.

        Args:
            masters: Folder of shards.
            fingers: Number of fingers to train on.
            on_progress: Called with the number of fingers of each shard that was read.
        """
        self._fingers = SplitMasters(masters, fingers, FULL_PRINT, on_progress, _without_ridges)
        self._known: dict[tuple[int, int], tuple[Template, NDArray[np.float16]]] = {}

    def batch(self, rng: np.random.Generator, count: int) -> Fields:
        """Examples with some minutiae missing, moved or added, drawn from `rng` alone."""
        found = []
        fingers = self._fingers.trained
        for index in rng.integers(len(fingers), size=count):
            template, target = self._example(fingers[index], int(rng.integers(_IMPRESSIONS)))
            found.append((rasterize(disturb(template, rng)), target))
        return _stack(found)

    def held_out(self, count: int) -> Fields:
        """Examples of the fingers that are not trained on, as they are."""
        found = []
        for finger, number in zip(*self._fingers.held_out(count), strict=True):
            template, target = self._example(finger, number)
            found.append((rasterize(template), target))
        return _stack(found)

    def _example(self, finger: Finger, number: int) -> tuple[Template, NDArray[np.float16]]:
        key = (finger.seed, number)
        if key not in self._known:
            capture = sample_capture(finger, number, find_preset("medium"), Effects())
            target = fields(finger, capture).astype(np.float16)
            self._known[key] = visible_truth(capture, finger), target
        return self._known[key]


def fields(finger: Finger, capture: Capture) -> NDArray[np.float32]:
    """What a sensor would see of a finger's fields: what `FieldNet` should say of the impression's template.

    Args:
        finger: The finger, of a square window.
        capture: How it is taken.

    Returns:
        float32 (4, CELLS, CELLS) at the centers of cells: cosine and sine of twice the orientation,
        LOG_SCALE times the logarithm of the period over PERIOD, and the mask of contact, 0 to 1.
    """
    x, y = skin_points(capture)
    step = capture.window[0] // CELLS
    xu, yu = np.gradient(x, axis=1), np.gradient(y, axis=1)
    xv, yv = np.gradient(x, axis=0), np.gradient(y, axis=0)
    middle = slice(step // 2, None, step)
    x, y, xu, xv, yu, yv = (each[middle, middle] for each in (x, y, xu, xv, yu, yv))

    pattern = sample_pattern(finger.seed, finger.kind)
    fx, fy = x - np.float32(finger.origin[0]), y - np.float32(finger.origin[1])
    angle = orientation(pattern, fx, fy)
    # The gradient of the ridges' phase, in periods: across them in the master, then in the window.
    across = np.sin(angle), np.cos(angle)  # y down
    gu, gv = xu * across[0] + yu * across[1], xv * across[0] + yv * across[1]
    turned = np.arctan2(gu, gv)
    period = ridge_period(pattern, fx, fy) / np.hypot(gu, gv)
    depth = contact_depth(capture.contact, finger.ridges.shape, x, y, np.zeros_like(x))  # type: ignore[arg-type]
    contact = 1.0 / (1.0 + np.exp(-np.clip(depth / 2.0, -30.0, 30.0)))
    log_period = LOG_SCALE * np.log(period / PERIOD)
    return np.stack([np.cos(2 * turned), np.sin(2 * turned), log_period, contact]).astype(np.float32)


def disturb(template: Template, rng: np.random.Generator) -> Template:
    """A template as an extractor might have found it: some minutiae missing, moved, turned or added, half the
    time without cores and deltas, now and then without types."""
    few = rng.random() < 0.3
    kept = rng.random(len(template.minutiae)) >= rng.uniform(0.0, 0.75 if few else 0.25)
    typed = rng.random() < 0.7
    minutiae = []
    for minutia, keep in zip(template.minutiae, kept, strict=True):
        dx, dy, turn = rng.normal(0.0, (1.5, 1.5, 4.0))
        kind = minutia.type if typed else MinutiaType.OTHER
        if keep:
            minutiae.append(_inside(template, minutia.x + dx, minutia.y + dy, minutia.angle + turn, kind))
    for _ in range(rng.poisson(2.0)):
        x, y = rng.uniform(0.1, 0.9, 2) * (template.width, template.height)
        turn = rng.uniform(0.0, 360.0)
        minutiae.append(_inside(template, x, y, turn, MinutiaType.ENDING if typed else MinutiaType.OTHER))
    singular = rng.random() < 0.5
    return dataclasses.replace(
        template,
        minutiae=tuple(minutiae),
        cores=template.cores if singular else (),
        deltas=template.deltas if singular else (),
    )


def _inside(template: Template, x: float, y: float, angle: float, kind: MinutiaType) -> Minutia:
    x, y = min(max(x, 0.0), template.width - 1.0), min(max(y, 0.0), template.height - 1.0)
    return Minutia(float(x), float(y), float(angle % 360.0), kind)


def _without_ridges(finger: Finger) -> Finger:
    """The finger with its ridge map's size alone: a thousand maps take a gigabyte."""
    return dataclasses.replace(finger, ridges=np.broadcast_to(np.float32(0), finger.ridges.shape))


def _stack(examples: list[tuple[NDArray[np.float32], NDArray[np.float16]]]) -> Fields:
    rasters, targets = zip(*examples, strict=True)
    return Fields(torch.from_numpy(np.stack(rasters)), torch.from_numpy(np.stack(targets)).float())
