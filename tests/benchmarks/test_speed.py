"""`fg-bench`: what is timed, in what order, and what is reported."""

import copy
import dataclasses
import itertools
import json
import signal
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from fingergen.benchmarks.cli import main
from fingergen.benchmarks.speed import executors, machine, timing
from fingergen.benchmarks.speed.baselines.published import PerSampleConv, as_published
from fingergen.benchmarks.speed.measure import Plan, measure
from fingergen.benchmarks.speed.plot import write_plot
from fingergen.benchmarks.speed.report import Report
from fingergen.benchmarks.speed.timing import Latency, interleave, relative_speed
from fingergen.benchmarks.speed.workload import TASKS, Runner, Workload
from fingergen.runtime.bundle import Bundle, read_bundle
from fingergen.runtime.errors import BadInput, FingerGenError
from fingergen.training.checkpoints import save_generator, save_reconstruction
from fingergen.training.networks import Encoder, Generator
from fingergen.training.networks.layers import ModulatedConv

from ..tiny_bundle import encoder, generator, write_tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("bench") / "tiny", own_decoder=True)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="fg-bench")


def results(*arguments: object) -> list[dict]:
    done = run(*arguments, "--rounds", 2, "--warm-up", 1, "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)["results"]


def test_rounds_are_interleaved() -> None:
    order: list[str] = []
    rounds: list[int] = []
    calls = [lambda name=name: (time.sleep(0.02 * (name == "B")), order.append(name)) for name in "ABC"]
    durations = interleave(calls, 20, after_round=lambda: rounds.append(len(order)))
    assert rounds == list(range(3, 61, 3))
    made = ["".join(order[end - 3 : end]) for end in rounds]
    assert all(sorted(one) == ["A", "B", "C"] for one in made) and len(set(made)) > 3  # not always one order
    assert durations.shape == (20, 3) and (durations[:, 1] >= 0.02).all()
    assert np.median(durations[:, 0]) < 0.02  # a column a call, whatever the order


def test_no_round_begins_after_the_time_but_one_is_made() -> None:
    assert len(interleave([lambda: None], 1000, seconds=1e-9)) == 1


def test_latency_is_in_milliseconds() -> None:
    latency = Latency.of(np.arange(101) / 1000)
    expected = Latency(best=0, p50=50, p90=90, p95=95, p99=99)
    for name in ("best", "p50", "p90", "p95", "p99"):
        assert getattr(latency, name) == pytest.approx(getattr(expected, name))


def test_relative_speed_survives_slow_rounds() -> None:
    slowness = np.array([1.0, 9.0, 1.0, 30.0, 1.2])
    assert relative_speed(0.5 * slowness, 2.0 * slowness) == pytest.approx(4)
    assert relative_speed(2.0 * slowness, 0.5 * slowness) == pytest.approx(0.25)


@pytest.mark.parametrize(("up", "demodulate", "size"), [(True, True, 3), (False, True, 3), (False, False, 1)])
def test_published_form_computes_the_same(up: bool, demodulate: bool, size: int) -> None:
    torch.manual_seed(0)
    conv = ModulatedConv(6, 4, size, style_dim=5, demodulate=demodulate, up=up)
    x, style = torch.randn(3, 6, 8, 8), torch.randn(3, 5)
    torch.testing.assert_close(PerSampleConv(conv)(x, style), conv(x, style), rtol=1e-4, atol=1e-5)


def test_every_modulated_convolution_is_replaced() -> None:
    network = generator(1)
    convolutions = sum(isinstance(module, ModulatedConv) for module in network.modules())
    as_published(network)
    assert convolutions == sum(isinstance(module, PerSampleConv) for module in network.modules()) == 11


@pytest.mark.parametrize(
    ("task", "backend"),
    [
        *itertools.product(TASKS, ["onnxruntime", "onnxruntime-plain", "pytorch", "openvino-plain"]),
        ("synthesis", "ncnn"),
    ],
)
def test_all_do_the_same_work(bundle: Path, tmp_path: Path, task: str, backend: str) -> None:
    if backend == "ncnn":
        pytest.importorskip("pnnx")
        pytest.importorskip("ncnn")
    checkpoint = tmp_path / "checkpoint.pt"
    if task == "synthesis":
        save_generator(checkpoint, g_ema=generator(1))
    else:
        save_reconstruction(checkpoint, encoder=encoder(2), decoder=generator(3))
    rows = results(
        bundle, "--task", task, "--backend", f"onnxruntime-plain,{backend}", "--batch", "1,3", "--checkpoint",
        checkpoint, "--threads", 1, "--precision", "fp32",
    )  # fmt: skip
    assert [row["setting"]["batch"] for row in rows] == sorted(row["setting"]["batch"] for row in rows)
    assert {row["setting"]["executor"] for row in rows} == {"onnxruntime-plain", backend}
    for row in rows:
        assert row["max_abs_error"] < 1e-3
        assert row["images_per_second"] > 0
        latency = row["latency_ms"]
        assert 0 < latency["best"] <= latency["p50"] <= latency["p90"] <= latency["p95"] <= latency["p99"]
    assert [row["relative_speed"] for row in rows if row["setting"]["executor"] == "onnxruntime-plain"] == [
        1,
        1,
    ]


def test_every_combination_is_a_row(bundle: Path) -> None:
    rows = results(bundle, "--backend", "onnxruntime,onnxruntime-plain", "--batch", "2,1", "--threads", "1,2")
    settings = [row["setting"] for row in rows]
    assert [(s["batch"], s["executor"], s["threads"]) for s in settings] == [
        (batch, executor, threads)
        for batch in (2, 1)
        for executor in ("onnxruntime", "onnxruntime-plain")
        for threads in (1, 2)
    ]


def test_lower_precision_is_another_computation(bundle: Path, tmp_path: Path) -> None:
    save_generator(tmp_path / "g.pt", g_ema=generator(1))
    arguments = (
        "--backend",
        "pytorch",
        "--precision",
        "fp32,bf16",
        "--batch",
        1,
        "--checkpoint",
        tmp_path / "g.pt",
    )
    full, lower = results(bundle, *arguments, "--threads", 1)
    assert (full["setting"]["precision"], lower["setting"]["precision"]) == ("fp32", "bf16")
    assert full["max_abs_error"] == 0 and 1e-4 < lower["max_abs_error"] < 1


def test_random_weights_where_there_is_no_checkpoint(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "tiny")
    noted = json.loads((tmp_path / "tiny" / "bundle.json").read_text())

    def bundle_of(networks: dict[str, Any]) -> Bundle:
        noted["provenance"]["networks"] = networks
        (tmp_path / "tiny" / "bundle.json").write_text(json.dumps(noted))
        return read_bundle(tmp_path / "tiny")

    assert executors.executor("pytorch").unavailable(Workload(bundle_of({})), "fp32") is not None
    bundle_of({"generator": generator(1).architecture()})  # as the export says
    ours, theirs = results(
        tmp_path / "tiny", "--backend", "onnxruntime,pytorch", "--batch", 2, "--threads", 1
    )
    assert ours["max_abs_error"] == 0 and theirs["max_abs_error"] is None
    assert theirs["description"].endswith("random weights")


def test_report_describes_the_machine_but_does_not_name_it(bundle: Path) -> None:
    done = run(bundle, "--rounds", 1, "--warm-up", 1, "--backend", "onnxruntime-plain", "--batch", 1)
    assert done.exit_code == 0, done.stderr
    described = machine.describe_machine()
    assert described.cpu in done.stdout and f"{described.cores} cores" in done.stdout
    assert "onnxruntime 1." in done.stdout and "p99 of 1 rounds" in done.stdout
    assert socket.gethostname() not in done.stdout


def test_executors_that_cannot_run_are_named(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fingergen.benchmarks.speed.baselines.openvino.find_spec", lambda name: None)
    workload, reason = Workload(read_bundle(bundle)), "not installed: pip install openvino onnx"
    found, left_out = executors.choose(workload, executors.NAMES, ["fp32"])
    names = [entry.executor.name for entry in found]
    assert "onnxruntime" in names and "openvino-plain" not in names and left_out["openvino-plain"] == reason
    assert {*names, *left_out} == set(executors.NAMES)
    with pytest.raises(BadInput, match=f"openvino-plain: {reason}"):
        executors.choose(workload, ["onnxruntime", "openvino-plain"], ["fp32"], required=True)


def test_a_network_that_pnnx_does_not_convert(bundle: Path, tmp_path: Path, monkeypatch) -> None:
    pnnx = pytest.importorskip("pnnx")
    pytest.importorskip("ncnn")
    save_generator(tmp_path / "g.pt", g_ema=generator(1))
    monkeypatch.setattr(pnnx, "EXEC_PATH", "false")
    done = run(bundle, "--backend", "ncnn", "--checkpoint", tmp_path / "g.pt")
    assert done.exit_code == 1 and "ncnn: pnnx does not convert the network: 1" in done.stderr


def test_precisions(bundle: Path) -> None:
    """A executor takes part in those that it has, and in those of the bundle."""
    workload = Workload(read_bundle(bundle))
    found, left_out = executors.choose(workload, ["onnxruntime-plain"], ["bf16", "fp32"], required=True)
    assert [entry.precision for entry in found] == ["fp32"] and left_out == {}
    assert executors.choose(workload, ["onnxruntime-plain"], ["bf16"]) == (
        [],
        {"onnxruntime-plain": "has fp32 only"},
    )
    found, left_out = executors.choose(workload, ["onnxruntime"], ["fp32", "fp16"], required=True)
    assert [entry.precision for entry in found] == ["fp32"]
    assert list(left_out) == ["onnxruntime fp16"] and "fp16" in left_out["onnxruntime fp16"]


def test_images_that_are_not_finite_are_a_failure(bundle: Path) -> None:
    class Broken:
        name, precisions, threaded = "broken", ("fp32",), True

        def unavailable(self, workload: Workload, precision: str) -> None:
            return None

        def open_runner(self, workload: Workload, precision: str, threads: int) -> Runner:
            return Runner(lambda x: np.full((len(x), 1, 4, 4), np.nan, np.float32), "broken")

    plan = Plan(batches=[1], threads=[1], rounds=1, seconds=1, warm_up=1)
    with pytest.raises(FingerGenError, match="broken, fp32: gives values that are not finite"):
        measure(Workload(read_bundle(bundle)), [executors.Entry(Broken(), "fp32")], plan)


class Disturbed(executors.OurBackend):
    """A backend whose images are off by a hundredth of their range."""

    def __init__(self) -> None:
        super().__init__("onnxruntime")
        self.name = "disturbed"

    def open_runner(self, workload: Workload, precision: str, threads: int) -> Runner:
        runner = executors.OurBackend("onnxruntime").open_runner(workload, precision, threads)
        return dataclasses.replace(runner, run=lambda x: runner.run(x) + np.float32(0.02))


def test_wrong_images_have_no_speed(bundle: Path, tmp_path: Path) -> None:
    plan = Plan(batches=[1], threads=[1], rounds=2, seconds=1, warm_up=1)
    entries = [
        executors.Entry(executors.executor("onnxruntime"), "fp32"),
        executors.Entry(Disturbed(), "fp32"),
    ]
    results, rounds = measure(Workload(read_bundle(bundle)), entries, plan)
    right, wrong = results
    assert not right.wrong and right.relative_speed == 1.0
    assert wrong.wrong and wrong.relative_speed is None
    report = Report("tiny", "0", "synthesis", machine.describe_machine(), rounds, 1, results, {})
    assert [row["wrong"] for row in report.to_json()["results"]] == [False, True]
    for text in (report.table(), report.markdown("fg-bench speed")):
        assert "wrong: an error above 0.002 (fp32)" in text
    write_plot(tmp_path / "plot.png", report)


def test_markdown(bundle: Path, tmp_path: Path) -> None:
    done = run(bundle, "--rounds", 2, "--backend", "onnxruntime", "--markdown", tmp_path / "speed.md")
    assert done.exit_code == 0, done.stderr
    lines = (tmp_path / "speed.md").read_text().splitlines()
    assert lines[0].startswith("### synthesis, bundle") and lines[2].startswith("`fg-bench")
    rows = [line for line in lines if line.startswith("| ")]
    assert len({line.count("|") for line in rows}) == 1 and len(rows) == 4  # head, rule, batches 1 and 8


def test_a_run_is_held_against_a_stored_one(bundle: Path, tmp_path: Path) -> None:
    words = (bundle, "--rounds", 3, "--backend", "onnxruntime,onnxruntime-plain", "--batch", "1")
    stored = json.loads(run(*words, "--json").stdout)
    before = tmp_path / "before.json"

    def held(factor: float) -> Result:
        """Against a run in which the baseline was `factor` times as fast."""
        changed = copy.deepcopy(stored)
        changed["results"][1]["relative_speed"] *= factor
        before.write_text(json.dumps(changed))
        return run(*words, "--against", before)

    done = held(100.0)
    assert done.exit_code == 0 and "times as fast as onnxruntime-plain fp32" in done.stdout
    done = held(0.01)
    assert done.exit_code == 1 and "slower than in" in done.stderr.splitlines()[-1]
    done = run(*words[:3], "--backend", "onnxruntime", "--batch", "1", "--against", before)
    assert done.exit_code == 2 and "no backend and baseline of both runs" in done.stderr
    before.write_text("[]")
    done = run(*words, "--against", before)
    assert done.exit_code == 2 and "give what fg-bench speed --json printed" in done.stderr


def test_threads_of_a_gpu_do_not_matter(bundle: Path) -> None:
    """It runs once, whatever the numbers of threads."""
    ours = executors.executor("onnxruntime")
    ours.threaded = False
    plan = Plan(batches=[1, 2], threads=[1, 2], rounds=1, seconds=1, warm_up=1)
    rows, _ = measure(Workload(read_bundle(bundle)), [executors.Entry(ours, "fp32")], plan)
    assert [(row.setting.threads, row.setting.batch) for row in rows] == [(None, 1), (None, 2)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--batch", "0"], "'0': write numbers from 1 to 4096"),
        (["--batch", "1,,2"], "'': write numbers"),
        (["--backend", "tensorflow"], "'tensorflow': choose among onnxruntime"),
        (["--precision", "int8"], "'int8': choose among fp32"),
        (["--backend", "onnxruntime", "--precision", "bf16"], "onnxruntime: has fp32 and fp16 only"),
        (["--plot", "plot.pdf"], "--plot plot.pdf: a PNG is written"),
        (["--plot", "/dev/null/plot.png"], "--plot /dev/null/plot.png: /dev/null"),
        (["--checkpoint", "absent.pt"], "'absent.pt' does not exist"),
    ],
)
def test_bad_options_are_one_line(bundle: Path, arguments: list[str], message: str) -> None:
    done = run(bundle, *arguments)
    assert done.exit_code == 2
    assert message in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr


def test_bad_bundles_are_one_line(tmp_path: Path) -> None:
    done = run(tmp_path / "absent")
    assert done.exit_code == 2 and "absent: no such bundle directory" in done.stderr
    bundle = write_tiny_bundle(tmp_path / "generator", with_encoder=False)
    done = run(bundle, "--task", "reconstruction")
    assert done.exit_code == 2 and "no encoder" in done.stderr
    save_generator(tmp_path / "g.pt", g_ema=generator(1))
    both = write_tiny_bundle(tmp_path / "both")
    done = run(both, "--task", "reconstruction", "--backend", "pytorch", "--checkpoint", tmp_path / "g.pt")
    assert done.exit_code == 2 and "reconstruction needs one with an encoder" in done.stderr


@pytest.mark.parametrize("task", ["synthesis", "reconstruction"])
def test_a_checkpoint_of_another_size_is_one_line(bundle: Path, tmp_path: Path, task: str) -> None:
    large = Generator(resolution=64, channel_base=128, channel_max=8, style_dim=24, n_mlp=1)
    other = tmp_path / "other.pt"
    save_reconstruction(other, encoder=Encoder((1, 1), width=8, style_dim=24), decoder=large)
    done = run(bundle, "--task", task, "--backend", "pytorch", "--checkpoint", other)
    assert done.exit_code == 2
    assert f"{other}: resolution 64, that of bundle {bundle} is 32; give" in done.stderr.splitlines()[-1]


def test_plot(bundle: Path, tmp_path: Path) -> None:
    plot = tmp_path / "plots" / "plot.png"
    done = run(
        bundle, "--rounds", 2, "--backend", "onnxruntime-plain,onnxruntime", "--batch", "1,2", "--plot", plot
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    with Image.open(plot) as picture:
        assert picture.size == (1320, 576)
        assert len(picture.convert("RGB").getcolors(2**20)) > 50  # something is drawn


def test_plot_without_matplotlib(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fingergen.benchmarks.speed.plot.find_spec", lambda name: None)
    done = run(bundle, "--plot", "plot.png")
    assert done.exit_code == 2 and "--plot needs matplotlib: pip install 'fingergen[bench]'" in done.stderr


def test_gpus_are_those_that_the_driver_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\necho 'NVIDIA L4, 8.9, 570.86, 23034 MiB'\necho 'NVIDIA L4, 8.9, 570.86, 23034 MiB'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.find_gpus() == (machine.Gpu("NVIDIA L4", "8.9", "570.86", "23034 MiB"),) * 2
    program.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n")
    assert machine.find_gpus() == ()
    program.unlink()
    assert machine.find_gpus() == ()


def test_every_executor_has_its_module() -> None:
    for name in executors.NAMES:
        assert "fp32" in executors.executor(name).precisions


def test_the_demo_bundle_whose_noise_carries_fingers() -> None:
    rows = results("--backend", "onnxruntime", "--batch", "1", "--precision", "fp32")
    assert [row["setting"]["batch"] for row in rows] == [1] and not rows[0]["wrong"]


def test_sigterm_ends_it_with_a_line(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interleaved = "fingergen.benchmarks.speed.measure.interleave"
    monkeypatch.setattr(interleaved, lambda *arguments: signal.raise_signal(signal.SIGTERM))
    done = run(bundle, "--backend", "onnxruntime", "--batch", 1)
    assert done.exit_code == 143
    assert done.stderr.splitlines()[-1] == "terminated: no figures were taken down; run the command again"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_after_some_rounds_leaves_their_figures(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    calls = itertools.count(1)
    timed = timing._duration

    def timed_or_ended(call: Any) -> float:
        if next(calls) == 5:  # one round of warm-up, three that count, and the fourth under way
            signal.raise_signal(number)
        return timed(call)

    monkeypatch.setattr(timing, "_duration", timed_or_ended)
    markdown = tmp_path / "speed.md"
    plain = ("--backend", "onnxruntime-plain", "--batch", 1, "--threads", 1, "--rounds", 9, "--warm-up", 2)
    done = run(bundle, *plain, "--memory", "--json", "--markdown", markdown)
    assert done.exit_code == 3
    assert done.stderr.splitlines()[-1] == (
        "fg-bench: error: ended in round 4 of 9; run the command again for all figures"
    )
    report = json.loads(done.stdout)
    assert report["rounds"] == 3 and report["incomplete"] == "ended in round 4 of 9"
    assert report["results"][0]["latency_ms"]["p50"] > 0
    assert "INCOMPLETE: ended in round 4 of 9" in markdown.read_text()


def test_a_signal_while_memory_is_measured_leaves_the_times(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = "fingergen.benchmarks.speed.command.with_peak_memory"
    monkeypatch.setattr(measured, lambda *arguments: signal.raise_signal(signal.SIGTERM))
    plain = ("--backend", "onnxruntime-plain", "--batch", 1, "--threads", 1, "--rounds", 2, "--warm-up", 1)
    done = run(bundle, *plain, "--memory", "--json")
    assert done.exit_code == 3
    report = json.loads(done.stdout)
    assert report["rounds"] == 2 and report["incomplete"] == "ended before peak memory was measured"


def test_peak_memory_is_that_of_a_process_of_its_own(bundle: Path) -> None:
    plain = ("--backend", "onnxruntime-plain", "--batch", "1,512", "--threads", 1)
    small, large = (row["peak_mib"] for row in results(bundle, *plain, "--memory"))
    assert 20 < small < large - 50
    assert all(row["peak_mib"] is None for row in results(bundle, *plain))
