"""The runtime's backends on the GPU: right images, the same in every batch, nothing copied but them, and
their speed from latents to images on the host."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from fingergen.runtime.backends import Precision, open_backend, usable_cores
from fingergen.runtime.bundle import open_bundle
from fingergen.runtime.images import to_levels
from fingergen.runtime.model import Model

from ..speed.executors import CPU, Entry, OurBackend, choose
from ..speed.measure import Plan, Result, measure
from ..speed.workload import Runner, Workload
from . import models
from .page import Check, Item, guarded
from .settings import Deadline, Settings

if TYPE_CHECKING:
    from fingergen.runtime.backends.ort.library import onnxruntime

    from .profiles import Spent
    from .variants import DeviceWorkload

PSNR_DB = {"fp32": 60.0, "fp16": 50.0, "bf16": 30.0}
"""Least agreement with the CPU's float32 images, and of an image with itself in another batch."""

TF32 = ("pytorch-cuda",)
"""Whose convolutions in float32 have no more digits than float16, by its own default."""

NAMES = (CPU, "onnxruntime-cuda", "pytorch-cuda")
PIXEL_CHECK_BATCH = 8
LEVELS = {"fp32": 1, "fp16": 3}
"""Of 256: most that a pixel may differ between two calls, which may choose other algorithms. In float16 the
same seeds in other batches differ by up to 0.02 of the range of 2."""

PROFILED_RUNS, TOP = 3, 6
ODD_BATCHES = (1, 2, 3, 7, 8, 32, 64, 100)


def run(settings: Settings, deadline: Deadline) -> Iterator[Item]:
    """The networks in float32 and float16, and the packaged demo."""
    for name in settings.networks:
        yield from guarded(f"backends, {name} model", _network, settings, name, deadline)
    demo = Workload(open_bundle(None))
    yield from guarded(
        "backends, packaged demo", backend_checks, demo, NAMES[:2], settings, deadline.left / 2
    )


def _network(settings: Settings, name: str, deadline: Deadline) -> Iterator[Item]:
    seconds = deadline.left / (len(settings.networks) + 1)
    workload = models.workload(settings, name)
    yield from backend_checks(workload, NAMES, settings, seconds)
    if deadline.left > seconds:
        yield from guarded(f"copies, {name} model", copy_checks, settings, name)


def backend_checks(
    workload: Workload, names: Sequence[str], settings: Settings, seconds: float
) -> Iterator[Check]:
    """The backends of `names` that can run: their images against those of the CPU in float32, which is the
    first of `names`, and their speed."""
    found, left_out = choose(workload, names, list(PSNR_DB))
    about = workload.bundle.manifest.name
    entries = [entry for entry in found if entry.executor.name == CPU and entry.precision == "fp32"]
    for entry in found:
        if entry.executor.name == CPU:
            continue
        what = f"{entry.executor.name}, {entry.precision}, {about}"
        try:
            runner = entry.executor.open_runner(workload, entry.precision, usable_cores())
            try:
                images = runner.run(workload.inputs(max(settings.batches)))
                if not np.isfinite(images).all():
                    raise ValueError("gives values that are not finite")
                entries.append(entry)
                if isinstance(entry.executor, OurBackend):
                    yield batches_check(workload, entry, runner, settings.largest_batch)
                    yield pixel_check(workload, entry)
            finally:
                runner.close()
        except Exception as error:  # whatever it is, the others are still to be checked
            yield Check(what, f"{type(error).__name__}: {error}", False)
    plan = Plan(settings.batches, [usable_cores()], settings.rounds, seconds / 2, warm_up=2)
    results, _ = measure(workload, entries, plan)
    for result in results:
        yield backend_check(result, about)
    for name, reason in left_out.items():
        if not name.startswith(f"{CPU} "):
            yield Check(f"{name}, {about}", reason, None)


def batches_check(workload: Workload, entry: Entry, runner: Runner, largest: int) -> Check:
    """Whether a seed gives its image in batches of every size; of the largest difference there is."""
    inputs = workload.inputs(largest)
    together = runner.run(inputs)
    difference = 0.0
    worst = np.inf
    sizes = [size for size in ODD_BATCHES if size < largest]
    for size in sizes:
        first = largest // 2 // size * size  # not at the same place as in the large batch
        for start in (0, first):
            part = slice(start, start + size)
            apart = np.abs(runner.run(inputs[part]) - together[part])
            difference = max(difference, float(apart.max()))
            power = float(np.square(apart, dtype=np.float64).mean())
            worst = min(worst, 10 * np.log10(4 / power) if power else np.inf)
    what = (
        f"{entry.executor.name}, {entry.precision}, {workload.bundle.manifest.name}, seeds in other batches"
    )
    about = f"batches of {', '.join(map(str, sizes))} and {largest}"
    if difference == 0:
        return Check(what, f"{about}: equal to the bit", True)
    least = PSNR_DB[entry.precision]
    result = (
        f"{about}: largest difference {difference:.1e}, PSNR {worst:.1f} dB or more, {least:.0f} dB wanted"
    )
    return Check(what, result, bool(worst >= least))


def pixel_check(workload: Workload, entry: Entry) -> Check:
    """A backend's images in 256 levels, made on the device, against what the host makes of float32 ones."""
    opened = open_backend(entry.executor.name, workload.bundle, precision=cast(Precision, entry.precision))
    with Model(workload.bundle, opened) as model:
        w = model.styles(model.map(workload.inputs(PIXEL_CHECK_BATCH)))
        noise = model.noise_buffers("const", None, len(w))
        difference = np.abs(opened.render(w, noise).astype(int) - to_levels(opened.synthesize(w, noise)))
    result = (
        f"{(difference > 0).mean():.2%} of the pixels differ, by {difference.max()} of 256 levels at most"
    )
    what = f"{entry.executor.name}, {entry.precision}, {workload.bundle.manifest.name}, pixels"
    return Check(what, result, bool(difference.max() <= LEVELS[entry.precision]))


def backend_check(result: Result, about: str) -> Check:
    """A line a backend, precision and batch."""
    setting, latency = result.setting, result.latency_ms
    figures = (
        f"{result.images_per_second:.1f} images/s, p50 {latency.p50:.2f} ms, p95 {latency.p95:.2f} ms,"
        f" p99 {latency.p99:.2f} ms, {result.relative_speed:.2f} x the CPU"
    )
    what = f"{setting.executor}, {setting.precision}, {about}, batch {setting.batch}"
    if result.max_abs_error is None:
        return Check(what, f"{figures}; random weights, not compared", True)
    psnr = result.psnr_db
    agreement = (
        "equal images" if psnr is None else f"PSNR {psnr:.1f} dB, max error {result.max_abs_error:.1e}"
    )
    tf32 = setting.executor in TF32 and setting.precision == "fp32"
    least = PSNR_DB["fp16" if tf32 else setting.precision]
    return Check(what, f"{figures}; {agreement}", psnr is None or psnr >= least)


def copy_checks(settings: Settings, name: str) -> Iterator[Item]:
    """What ONNX Runtime copies between host and device within the graph, and around a call whose inputs and
    outputs are on the device: nothing should be."""
    # Here, for they import PyTorch, and the other checks do without.
    from .profiles import profile_calls
    from .variants import CannotRun, DeviceWorkload, onnxruntime_variant

    target = DeviceWorkload(models.workload(settings, name), settings.device)
    for ours in (True, False):
        what = f"ONNX Runtime, {'our' if ours else 'standard'} ops, {name} model"
        try:
            bound = onnxruntime_variant(ours, False, target, 1)
        except CannotRun as error:
            yield Check(f"copies, {what}", str(error), None)
            continue
        yield copies_check(f"copies around a call, {what}", profile_calls(bound.run, settings.device))
        yield _copying_nodes(target, ours, what)


def copies_check(what: str, spent: Spent) -> Check:
    """Of a call with everything bound on the device."""
    if not spent.seconds:
        return Check(what, "PyTorch's profiler saw nothing of ONNX Runtime here", None)
    said = ", ".join(f"{count} {direction}" for direction, count in spent.copies.items() if count)
    return Check(what, f"{said or 'none'}, with everything bound on the device", not said)


def _copying_nodes(target: DeviceWorkload, ours: bool, what: str) -> Check:
    """By ONNX Runtime's own profile of a few runs."""
    from .profiles import read_nodes, shares
    from .variants import open_session

    with tempfile.TemporaryDirectory() as folder:

        def with_profile(options: onnxruntime.SessionOptions) -> None:
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(folder) / "profile")

        session = open_session(target, ours, {}, with_profile)
        for _ in range(PROFILED_RUNS):
            session.run(["image"], target.inputs(1))
        nodes = read_nodes(Path(session.end_profiling()))
    placed = ", ".join(f"{count} on {provider}" for provider, count in nodes.providers.items())
    of_what = "of the kernels' time" if nodes.of_kernels else "of the host's time"
    result = f"{len(nodes.copies)} copying nodes; nodes: {placed}; {of_what}: {shares(nodes.top(TOP))}"
    return Check(f"copies within the graph, {what}", result, not nodes.copies)
