"""How fast synthesis is in float16, in every variant that there is, against what the device could do."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..speed.timing import Latency, Seconds, interleave
from . import models
from .layers import Layer, Peaks, floor_seconds, layers
from .page import Check, Item, Row, guarded
from .profiles import profile_calls, shares
from .settings import Deadline, Settings
from .variants import COMPILED, QUICK, Bound, CannotRun, DeviceWorkload

LEAST_PSNR = 50.0  # dB, against float32 in PyTorch
COMPARED = 8  # images of a batch
PEAK = 2.0  # of images in [-1, 1]
SECONDS_A_GROUP = 8.0  # of timing, for variants that are timed in the same rounds
TOP = 6
LEAST_LEFT = 20.0  # seconds for which nothing more is begun
LEAST_TO_COMPILE = 30.0

Open = Callable[[DeviceWorkload, int], Bound]


def run(settings: Settings, deadline: Deadline) -> Iterator[Item]:
    """The device's peaks, then for each network the quick variants in all batches, then the compiled ones."""
    stance = "default" if settings.on_gpu else "force_eager"  # a rehearsal need not wait for compilers
    peaks = measure_peaks(settings.device)
    yield Check(
        "what the device reaches",
        f"{peaks.flops / 1e12:.1f} TFLOP/s in a large float16 matrix product,"
        f" {peaks.bandwidth / 1e9:.0f} GB/s in a copy, read and written",
        True,
    )
    with torch.compiler.set_stance(stance):
        for name in settings.networks:
            yield from guarded(f"speed, {name} model", network_speed, settings, name, peaks, deadline)


def network_speed(settings: Settings, name: str, peaks: Peaks, deadline: Deadline) -> Iterator[Item]:
    """One network: rows of its floor and of every variant, and where the time of the variants goes."""
    workload = models.workload(settings, name)
    target = DeviceWorkload(workload, settings.device)
    floors = {
        batch: floor_row(name, layers(target.generator.architecture()), batch, peaks)
        for batch in settings.batches
    }
    yield from (row for row, _ in floors.values())
    for variants, least in ((QUICK, LEAST_LEFT), (COMPILED, LEAST_TO_COMPILE)):
        for batch in settings.batches:
            if deadline.left < least:
                what = f"{name} model, batch {batch}: {', '.join(variants)}"
                yield Check(what, "no time left: give --only speed and more --seconds", None)
                continue
            yield from time_variants(
                name, target, variants, batch, floors[batch][1], settings.rounds, deadline
            )


def measure_peaks(device: str) -> Peaks:
    """The best of several large matrix products and copies."""
    on_gpu = device == "cuda"
    size, numbers = (8192, 2**28) if on_gpu else (256, 2**20)

    def best(call: Callable[[], object]) -> float:
        durations = []
        for _ in range(10):
            began = time.perf_counter()
            call()
            if on_gpu:
                torch.cuda.synchronize()
            durations.append(time.perf_counter() - began)
        return min(durations)

    # Random values: with zeros a GPU needs less power, and runs faster than it ever will.
    a, b = (torch.randn(size, size, device=device, dtype=torch.float16) for _ in range(2))
    source = torch.ones(numbers, device=device)
    target = torch.empty_like(source)
    moved = 2 * numbers * source.element_size()
    return Peaks(2 * size**3 / best(lambda: a @ b), moved / best(lambda: target.copy_(source)))


def floor_row(name: str, some: Sequence[Layer], batch: int, peaks: Peaks) -> tuple[Row, float]:
    """The row of what no variant should beat, and its seconds."""
    floor, arithmetic, memory = floor_seconds(some, batch, peaks)
    flops = batch * sum(layer.flops for layer in some)
    cells = {
        "batch": str(batch),
        "GFLOP": f"{flops / 1e9:.1f}",
        "ms of arithmetic": f"{1e3 * arithmetic:.3f}",
        "ms of memory": f"{1e3 * memory:.3f}",
        "floor ms": f"{1e3 * floor:.3f}",
        "floor images/s": f"{batch / floor:.0f}",
    }
    return Row(f"Floor of synthesis, {name} model, float16", cells), floor


def time_variants(
    name: str,
    target: DeviceWorkload,
    variants: Mapping[str, Open],
    batch: int,
    floor: float,
    rounds: int,
    deadline: Deadline,
) -> Iterator[Item]:
    """Rows of the variants that can run, timed in the same rounds; checks of their images; profiles."""
    reference = target.reference(min(batch, COMPARED))
    bound: dict[str, Bound] = {}
    for variant, open_variant in variants.items():
        what = f"{variant}, {name} model, batch {batch}"
        if deadline.left < LEAST_LEFT:
            yield Check(what, "no time left: give --only speed and more --seconds", None)
            continue
        try:
            candidate = open_variant(target, batch)
            candidate.run()
            check = compare(what, candidate.images(), reference)
        except CannotRun as error:
            yield Check(what, str(error), None)
            continue
        except Exception as error:  # whatever it is, the others are still to be timed
            yield Check(what, f"{type(error).__name__}: {str(error)[:500]}", False)
            continue
        yield check
        if check.passed:
            bound[variant] = candidate
    if not bound:
        return
    calls = [each.run for each in bound.values()]
    interleave(calls, 3)
    durations = interleave(calls, rounds, min(SECONDS_A_GROUP, deadline.left / 2))
    for variant, seconds in zip(bound, durations.T, strict=True):
        yield speed_row(name, variant, batch, seconds, floor)
    for variant, each in bound.items():
        yield from guarded(
            f"profile, {variant}, {name} model, batch {batch}",
            profile_variant,
            name,
            variant,
            batch,
            each,
            target,
        )


def compare(what: str, images: np.ndarray[Any, Any], reference: np.ndarray[Any, Any]) -> Check:
    """Of the first images of a batch with float32."""
    part = images[: len(reference)].astype(np.float64)
    if not np.isfinite(part).all():
        return Check(what, "gives values that are not finite", False)
    power = float(np.square(part - reference).mean())
    if power == 0:
        return Check(what, "equal images", True)
    psnr = 10 * math.log10(PEAK**2 / power)
    return Check(what, f"PSNR {psnr:.1f} dB against float32", psnr >= LEAST_PSNR)


def speed_row(name: str, variant: str, batch: int, seconds: Seconds, floor: float) -> Row:
    """A line of the table of speeds."""
    latency = Latency.of(seconds)
    cells = {
        "variant": variant,
        "batch": str(batch),
        "p50 ms": f"{latency.p50:.3f}",
        "p95 ms": f"{latency.p95:.3f}",
        "p99 ms": f"{latency.p99:.3f}",
        "images/s": f"{1e3 * batch / latency.p50:.0f}",
        "x floor": f"{latency.p50 / 1e3 / floor:.1f}",
        "calls": str(len(seconds)),
    }
    return Row(f"Synthesis, {name} model, float16, on the device", cells)


def profile_variant(
    name: str, variant: str, batch: int, bound: Bound, target: DeviceWorkload
) -> Iterator[Row]:
    """The kernels that take most of the time."""
    spent = profile_calls(bound.run, target.device)
    cells = {
        "variant": variant,
        "batch": str(batch),
        "ms in kernels": f"{1e3 * sum(spent.seconds.values()):.3f}",
        "most of it": shares(spent.top(TOP)) or "the profiler saw nothing",
    }
    yield Row(f"Where the time goes, {name} model, float16", cells)
