"""The sections of the check for a GPU, on a CPU: verdicts, floors, profiles, and their own code."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fingergen import cpp_ops
from fingergen.benchmarks.gpu import (
    backends,
    kernels,
    models,
    speed,
    tensorrt,
    training,
    variants,
)
from fingergen.benchmarks.gpu.command import DEMO, RELEASE, TINY
from fingergen.benchmarks.gpu.page import Check, Item, Row
from fingergen.benchmarks.gpu.settings import Deadline, Settings
from fingergen.benchmarks.speed import measure
from fingergen.benchmarks.speed.executors import Entry, OurBackend
from fingergen.benchmarks.speed.timing import Latency
from fingergen.benchmarks.speed.workload import Runner, Workload
from fingergen.runtime.backends.trt.flavors import FLAVORS
from fingergen.runtime.errors import BadInput, FingerGenError
from fingergen.runtime.images import to_levels
from fingergen.training.networks import Generator

ROOT = Path(__file__).parents[2]
SETTING = measure.Setting("tensorrt", "fp16", 1, 8)
RESULT = measure.Result(SETTING, "TensorRT", Latency(1, 1, 1, 1, 1), 800.0, 9.5, 0.004, 61.0)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A rehearsal's, the network exported."""
    work = tmp_path_factory.mktemp("work")
    made = Settings(ROOT, work, {"tiny": TINY}, (1, 2), device="cpu", largest_batch=5, rounds=2)
    (check,) = models.run(made, Deadline(60))
    assert isinstance(check, Check) and check.passed, check
    return made


@pytest.fixture(scope="module")
def workload(settings: Settings) -> Workload:
    return models.workload(settings, "tiny")


def checks_of(items: list[Item]) -> dict[str, bool | None]:
    return {item.what: item.passed for item in items if isinstance(item, Check)}


# -- networks ------------------------------------------------------------------------------------------------


def test_networks_are_exported_once_and_again_for_other_weights(settings: Settings, tmp_path: Path) -> None:
    (again,) = models.run(settings, Deadline(60))
    assert isinstance(again, Check) and again.result.startswith("exported before: tiny-")
    with pytest.raises(FingerGenError, match="the other model was not exported: see the section models"):
        models.workload(replace(settings, networks={"other": TINY}), "other")


def test_noise_matters_in_networks_with_random_weights(workload: Workload, settings: Settings) -> None:
    target = variants.DeviceWorkload(workload, "cpu")
    w = target.styles(1)
    quiet = target.generator.synthesize(w, target.generator.zero_noise())
    assert not torch.allclose(target.generator.synthesize(w), quiet, atol=1e-3)


def test_the_sizes_that_are_measured() -> None:
    """The published release, and the packaged demo."""
    release, demo = Generator(**RELEASE), Generator(**DEMO)
    assert (release.resolution, release.widths[256], release.num_ws) == (256, 128, 14)
    manifest = json.loads((ROOT / "runtime" / "demo" / "bundle.json").read_text())
    sizes = manifest["provenance"]["networks"]["generator"]
    mine = demo.architecture()
    assert {key: mine[key] for key in ("resolution", "style_dim", "n_mlp", "channels")} == {
        key: sizes[key] for key in ("resolution", "style_dim", "n_mlp", "channels")
    }
    assert {str(key): width for key, width in mine["widths"].items()} == sizes["widths"]


# -- backends ------------------------------------------------------------------------------------------------


def test_backends_of_a_network(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there on a CPU, and lines for what is not."""
    monkeypatch.setattr(backends, "TOP", 100)  # all: which of so small a network's take longest is chance
    items = list(backends._network(settings, "tiny", Deadline(20)))
    checks = checks_of(items)
    assert checks["onnxruntime, fp32, tiny, batch 2"] is True
    assert checks["onnxruntime-cuda, tiny"] is None and checks["pytorch-cuda, tiny"] is None
    within = next(
        i for i in items if isinstance(i, Check) and i.what.startswith("copies within the graph, ONNX")
    )
    assert within.passed in (True, None)
    if within.passed:
        assert "0 copying nodes; nodes: " in within.result and "`Conv`" in within.result


def test_a_backend_that_breaks_is_a_line(
    workload: Workload, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(OurBackend):
        def unavailable(self, workload: Workload, precision: str) -> str | None:
            return None

        def open_runner(self, workload: Workload, precision: str, threads: int) -> Runner:
            if precision == "fp32":
                raise RuntimeError("CUDA failure 700: an illegal memory access")
            return Runner(lambda z: np.full((len(z), 1, 16, 16), np.nan, np.float32), "broken")

    real = backends.choose

    def choose(*arguments: Any) -> Any:
        found, left_out = real(*arguments)
        return [*found, *(Entry(Broken("onnxruntime-cuda"), p) for p in ("fp32", "fp16"))], left_out

    monkeypatch.setattr(backends, "choose", choose)
    items = list(backends.backend_checks(workload, backends.NAMES[:1], settings, 1.0))
    checks = {item.what: item for item in items}
    illegal = checks["onnxruntime-cuda, fp32, tiny"]
    assert not illegal.passed and "illegal memory access" in illegal.result
    assert "not finite" in checks["onnxruntime-cuda, fp16, tiny"].result
    assert checks["onnxruntime, fp32, tiny, batch 1"].passed


def test_seeds_are_the_same_in_every_batch(workload: Workload) -> None:
    entry = Entry(OurBackend("onnxruntime"), "fp32")
    runner = entry.executor.open_runner(workload, "fp32", 1)
    check = backends.batches_check(workload, entry, runner, 5)
    assert check.passed and check.result == "batches of 1, 2, 3 and 5: equal to the bit"


@pytest.mark.parametrize(("error", "passed"), [(1e-4, True), (0.1, False)])
def test_seeds_that_differ_by_batch(error: float, passed: bool, workload: Workload) -> None:
    """By what float16 may, and by more; in the last image of a batch of two alone."""

    def run(z: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        images = np.tile(z[:, None, :4, None], (1, 1, 1, 4))
        images[-1:] += error * (len(z) == 2)
        return images

    entry = Entry(OurBackend("onnxruntime-cuda"), "fp16")
    check = backends.batches_check(workload, entry, Runner(run, ""), 5)
    assert check.passed is passed and f"largest difference {error:.1e}" in check.result


def test_pixels_of_the_device_are_compared_with_those_of_the_host(
    workload: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = Entry(OurBackend("onnxruntime"), "fp32")
    check = backends.pixel_check(workload, entry)
    assert check.passed and check.result.startswith("0.00% of the pixels differ, by 0 of 256 levels")
    monkeypatch.setattr(backends, "to_levels", lambda raw: to_levels(raw) - 2)
    assert backends.pixel_check(workload, entry).passed is False


@pytest.mark.parametrize(
    ("executor", "precision", "psnr", "passed"),
    [
        ("tensorrt", "fp16", 51.0, True),
        ("tensorrt", "fp16", 49.0, False),
        ("tensorrt", "fp32", 59.0, False),
        ("pytorch-cuda", "fp32", 59.0, True),  # its convolutions are TF32
        ("pytorch-cuda", "bf16", 31.0, True),
        ("tensorrt", "fp32", None, True),
    ],
)
def test_backends_must_agree_with_the_cpu(
    executor: str, precision: str, psnr: float | None, passed: bool
) -> None:
    setting = replace(SETTING, executor=executor, precision=precision)
    check = backends.backend_check(replace(RESULT, setting=setting, psnr_db=psnr), "tiny")
    assert check.passed is passed
    assert check.what == f"{executor}, {precision}, tiny, batch 8" and "9.50 x the CPU" in check.result


def test_libraries_without_cuda_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    real = cpp_ops.status
    lacking = {"cuda": False, "reason": "no nvcc", "fix": "install it"}
    monkeypatch.setattr(cpp_ops, "status", lambda name: real(name)._replace(**lacking))
    assert next(kernels.library_checks()) == Check("onnxruntime ops library", "no nvcc; install it", False)


# -- speed ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_speed_of_a_network(settings: Settings) -> None:
    """Every variant that a CPU has gives the right images, a row and a profile; the others a reason."""
    items = list(speed.run(settings, Deadline(200)))
    checks = checks_of(items)
    ready = [variant for variant in (*variants.QUICK, *variants.COMPILED) if "CUDA graph" not in variant]
    if cpp_ops.status("onnxruntime").path is None:
        ready.remove("ONNX Runtime, our ops")
    for variant in (*variants.QUICK, *variants.COMPILED):
        for batch in settings.batches:
            assert checks[f"{variant}, tiny model, batch {batch}"] is (True if variant in ready else None)
    rows = [item for item in items if isinstance(item, Row)]
    timed = [row.cells for row in rows if row.table == "Synthesis, tiny model, float16, on the device"]
    assert sorted((cells["variant"], cells["batch"]) for cells in timed) == sorted(
        (variant, str(batch)) for variant in ready for batch in settings.batches
    )
    assert sum(row.table.startswith("Floor of synthesis") for row in rows) == 2
    assert sum(row.table.startswith("Where the time goes") for row in rows) == len(timed)


def test_variants_that_are_wrong_or_break_are_not_timed(workload: Workload) -> None:
    target = variants.DeviceWorkload(workload, "cpu")

    def wrong(target: variants.DeviceWorkload, batch: int) -> variants.Bound:
        right = variants.reexpressed(target, batch)
        return variants.Bound(right.run, lambda: right.images() + 0.1)

    def breaks(target: variants.DeviceWorkload, batch: int) -> variants.Bound:
        raise RuntimeError("out of memory")

    some = {"wrong": wrong, "breaks": breaks, "right": variants.reexpressed}
    items = list(speed.time_variants("tiny", target, some, 2, 1e-6, 2, Deadline(60)))
    assert checks_of(items) == {
        "wrong, tiny model, batch 2": False,
        "breaks, tiny model, batch 2": False,
        "right, tiny model, batch 2": True,
    }
    assert {row.cells["variant"] for row in items if isinstance(row, Row)} == {"right"}
    late = list(speed.time_variants("tiny", target, some, 2, 1e-6, 2, Deadline(1)))
    assert set(checks_of(late).values()) == {None}


def test_images_are_compared_by_psnr() -> None:
    reference = np.zeros((2, 1, 4, 4), np.float32)
    off = speed.compare("x", np.full((8, 1, 4, 4), 2 * 10 ** (-49 / 20)), reference)
    assert off.passed is False and off.result == "PSNR 49.0 dB against float32"
    assert speed.compare("x", reference, reference) == Check("x", "equal images", True)
    assert not speed.compare("x", np.full((2, 1, 4, 4), math.nan), reference).passed


def test_rows_of_speed() -> None:
    row = speed.speed_row("tiny", "a variant", 8, np.full(100, 0.004), 0.001)
    assert (
        row.cells["images/s"] == "2000" and row.cells["x floor"] == "4.0" and row.cells["p99 ms"] == "4.000"
    )


# -- training ------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_training_is_measured(precision: str, settings: Settings) -> None:
    trial = training.Trial(precision, 4, compile=True, benchmark=True)
    with torch.compiler.set_stance("force_eager"):
        measured = training.measure_training(trial, TINY, settings, 0.01)
    assert measured.steps == 16 and measured.images_per_second > 0 and measured.memory is None
    assert not torch.backends.cudnn.benchmark


def test_settings_that_break_are_a_line_and_the_fastest_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(trial: training.Trial, *others: Any) -> training.Speed:
        if trial.precision == "bf16":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return training.Speed({"fp32": 10.0, "fp16": 25.0}[trial.precision] + trial.compile, 16, 3 << 30)

    monkeypatch.setattr(training, "measure_training", measure)
    items = list(training.run(settings, Deadline(60)))
    assert checks_of(items)["bf16, batch 4"] is False
    rows = [item.cells for item in items if isinstance(item, Row)]
    assert {(row["precision"], row["compiled"], row["cudnn.benchmark"]) for row in rows} == {
        (precision, *more)
        for precision in ("fp32", "fp16")
        for more in (("no", "no"), ("no", "yes"), ("yes", "no"))
    }
    assert rows[0]["GiB at most"] == "3.00"
    assert items[-1] == Check(
        "fastest of 6 settings with batch 4",
        "fp16, batch 4, compiled: 26.0 images/s, 2.60 x fp32, batch 4",
        True,
    )
    late = checks_of(list(training.run(settings, Deadline(1))))
    assert late["fp32, batch 4"] is None


# -- TensorRT ------------------------------------------------------------------------------------------------


def test_what_a_flavor_says_is_kept_word_by_word(
    workload: Workload, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = "Error Code 9: API Usage Error (SM 9.0 is not supported)"
    flavor = FLAVORS["tensorrt-rtx"]
    asked: list[tuple[str, ...]] = []

    def worker(flavor: Any, workload: dict[str, Any]) -> dict[str, Any]:
        asked.append(workload["architectures"])
        if not workload["architectures"]:
            raise FingerGenError("the builder died (SIGABRT): it said nothing")
        return {"said": refusal}

    def refuse(*arguments: Any, **options: Any) -> None:
        raise BadInput("TensorRT-RTX builds for sm_80 here")

    monkeypatch.setattr(type(flavor), "module", "tensorrt_rtx")
    monkeypatch.setattr(type(flavor), "version", lambda self: "1.7")
    monkeypatch.setattr(tensorrt, "run_worker", worker)
    monkeypatch.setattr(tensorrt, "add_engines", refuse)
    monkeypatch.setattr(tensorrt.nvidia, "architecture", lambda: "sm_90")
    items = list(tensorrt.flavor_checks(flavor, workload, settings, Deadline(60)))
    assert asked == [("CURRENT",), ()]
    assert items == [
        Check("TensorRT-RTX 1.7, an engine for the current GPU, sm_90", refusal, None),
        Check(
            "TensorRT-RTX 1.7, an engine for no GPU in particular, sm_90",
            "the builder died (SIGABRT): it said nothing",
            None,
        ),
        Check("TensorRT-RTX 1.7, engines, sm_90", "TensorRT-RTX builds for sm_80 here", None),
    ]


def test_a_flavor_that_is_not_installed(
    workload: Workload, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    flavor = FLAVORS["tensorrt"]
    monkeypatch.setattr(type(flavor), "module", None)
    items = list(tensorrt.flavor_checks(flavor, workload, settings, Deadline(60)))
    assert items == [Check("TensorRT", "not installed: pip install tensorrt", None)]


def test_tensorrt_rtx_is_really_asked(workload: Workload) -> None:
    """It builds without a GPU, and cannot load; for the current GPU it cannot even build."""
    flavor = FLAVORS["tensorrt-rtx"]
    if flavor.module is None or torch.cuda.is_available():
        pytest.skip("needs TensorRT-RTX, and a machine without a GPU")
    said = tensorrt.answers(flavor, workload)
    assert "buildSerializedNetwork" in said["an engine for the current GPU"]
    assert "deserializeCudaEngine" in said["an engine for no GPU in particular"]
