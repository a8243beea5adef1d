"""Synthesis at full speed: the same images, all steps at once, figures that add up, clean ends."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner, Result

from fingergen.runtime.cli import main
from fingergen.runtime.errors import BadInput, FingerGenError
from fingergen.runtime.model import Model, load
from fingergen.runtime.pipeline.batch_size import Trial, best_batch, try_batches
from fingergen.runtime.pipeline.request import Pair, SynthesisRequest
from fingergen.runtime.pipeline.synthesis import Synthesis
from fingergen.runtime.pipeline.throughput import ImagePipeline

from ..tiny_bundle import write_tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("throughput") / "tiny")


@pytest.fixture(scope="module")
def model(bundle: Path) -> Iterator[Model]:
    with load(bundle, workers=2) as loaded:
        yield loaded


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [thread.name for thread in set(threading.enumerate()) - before]
    assert [name for name in left if not name.startswith("onnxruntime")] == []  # the module's model


def synth(bundle: Path, *arguments: object) -> Result:
    command = ["synth", "--bundle", bundle, "--throughput", *arguments]
    return CliRunner().invoke(main, [str(argument) for argument in command], prog_name="fg-run")


def pairs(seeds: Iterable[int]) -> Iterator[Pair]:
    return SynthesisRequest(seeds).pairs()


class FakeSteps:
    """Steps that sleep: `call` seconds a batch and `image` an image on a device that serves one call at a
    time, `host` seconds a finished image."""

    def __init__(
        self,
        call: float = 0.0,
        image: float = 0.0,
        host: float = 0.0,
        memory: int = 10**9,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.backend = SimpleNamespace(description="fake")
        self.call, self.image, self.host, self.memory = call, image, host, memory
        self.sleep = sleep
        self.device = threading.Lock()

    def prepare(self, pairs: list) -> list:
        return pairs

    def compute(self, pairs: list) -> list:
        if len(pairs) > self.memory:
            raise FingerGenError("out of device memory")
        with self.device:
            self.sleep(self.call + self.image * len(pairs))
        return [seed for seed, _ in pairs]

    def finish(self, seed: int) -> int:
        self.sleep(self.host)
        return seed


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_images_are_those_of_the_model(model: Model, batch: int) -> None:
    request = SynthesisRequest(range(10), 0.7, "random", 99, [0, 2], 0.6, size=40)
    expected = model.synthesize(range(10), 0.7, "random", 99, [0, 2], 0.6, size=40)
    written: dict[tuple, np.ndarray] = {}
    run = ImagePipeline(Synthesis(model, request), batch, workers=3, write=written.__setitem__)
    made = dict(run.images(request.pairs()))
    assert sorted(made) == sorted(written) == [(seed, 99) for seed in range(10)]
    for pair, image in made.items():
        assert np.array_equal(image, expected[pair[0]]) and np.array_equal(written[pair], image)


def test_steps_work_at_the_same_time() -> None:
    """The device works all the time, although each image takes the host twice as long."""
    steps = FakeSteps(image=0.01, host=0.02)
    run = ImagePipeline(steps, batch=5, workers=4)  # type: ignore[arg-type]
    assert len(list(run.images(pairs(range(100))))) == 100
    report = run.report
    assert 1.0 <= report.device_seconds <= report.seconds < 2.5  # one after the other: 3 s
    assert report.device_rate == pytest.approx(100 / report.device_seconds)
    assert report.batch_latency_ms["p50"] >= 50  # that of a call; more where calls wait


def test_figures_add_up(model: Model) -> None:
    run = ImagePipeline(Synthesis(model, SynthesisRequest([])), batch=4, workers=2)
    assert len(list(run.images(pairs(range(30))))) == 30
    content = json.loads(json.dumps(run.report.to_json()))
    assert content["images"] == 30 and 0 < content["device_seconds"] <= content["seconds"]
    rates = content["images_per_second"]
    assert (
        rates["discarded"] == pytest.approx(30 / content["seconds"]) and rates["device"] >= rates["discarded"]
    )
    latency = content["batch_latency_ms"]
    assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"]
    assert [stage["name"] for stage in content["stages"]] == ["prepare inputs", "compute", "make pixels"]
    for stage in content["stages"]:
        shares = [stage[key] for key in ("working", "waiting_for_input", "waiting_for_room")]
        assert min(shares) >= 0 and sum(shares) <= 1.01
    table = run.report.table()
    assert model.backend.description in table and "make pixels" in table


def test_no_batch_begins_after_the_time() -> None:
    """Batches that were drawn ahead are dropped."""
    steps = FakeSteps(call=0.2)
    run = ImagePipeline(steps, batch=1, workers=8, seconds=0.5)  # type: ignore[arg-type]
    made = list(run.images(pairs(iter(range(10**9)))))
    assert 1 <= len(made) <= 5


def test_no_images_are_no_error(model: Model) -> None:
    run = ImagePipeline(Synthesis(model, SynthesisRequest([])), batch=4, workers=2)
    assert list(run.images(iter(()))) == []
    assert run.report.images == 0 and run.report.rate == run.report.device_rate == 0
    assert "0 in" in run.report.table()


def test_leaving_early_ends_all_threads(model: Model) -> None:
    before = set(threading.enumerate())
    run = ImagePipeline(Synthesis(model, SynthesisRequest([])), batch=2, workers=2)
    with closing(run.images(pairs(iter(range(10**9))))) as made:
        next(made)
        assert {"source", "compute"} <= {each.name for each in threading.enumerate()}
    left = {each.name for each in threading.enumerate() if each not in before}
    assert not left & {"source", "prepare inputs", "compute", "make pixels"}


def test_errors_are_raised(model: Model) -> None:
    def write(seed: int, image: np.ndarray) -> None:
        raise OSError(28, "No space left on device", f"{seed}.png")

    with pytest.raises(OSError, match="No space left"):
        list(ImagePipeline(Synthesis(model, SynthesisRequest([])), 2, 2, write).images(pairs(range(1000))))
    with pytest.raises(BadInput, match="seed -1"):
        list(ImagePipeline(Synthesis(model, SynthesisRequest([])), 2, 2).images(pairs([-1])))
    with pytest.raises(BadInput, match="layers"):
        Synthesis(model, SynthesisRequest([], mix_layers=[99]))


def test_best_batch_is_the_smallest_of_the_fast() -> None:
    assert best_batch([Trial(1, 50), Trial(2, 97), Trial(4, 100), Trial(8, 101)]) == 2
    assert best_batch([Trial(1, 50), Trial(2, 80), Trial(4, 120)]) == 4


class Clock:
    """Time that passes only where somebody sleeps: figures do not depend on how busy this machine is."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("fingergen.runtime.pipeline.batch_size.time", clock)
    return clock


def test_batches_are_tried_until_they_gain_nothing(clock: Clock) -> None:
    """10 ms a call and 1 ms an image: larger is faster."""
    steps = FakeSteps(call=0.01, image=0.001, sleep=clock.sleep)
    gaining = try_batches(steps, seconds=6, largest=32)  # type: ignore[arg-type]
    assert [trial.batch for trial in gaining] == [1, 2, 4, 8, 16, 32]
    rates = [trial.images_per_second for trial in gaining]
    assert rates == pytest.approx([batch / (0.01 + 0.001 * batch) for batch in (1, 2, 4, 8, 16, 32)])
    assert best_batch(gaining) == 32
    flat = try_batches(FakeSteps(image=0.02, sleep=clock.sleep), seconds=6)  # type: ignore[arg-type]
    assert [trial.batch for trial in flat] == [1, 2, 4]


def test_batches_end_with_memory_and_time(clock: Clock) -> None:
    small = try_batches(FakeSteps(call=0.01, memory=5, sleep=clock.sleep), seconds=6)  # type: ignore[arg-type]
    assert [trial.batch for trial in small] == [1, 2, 4]
    with pytest.raises(FingerGenError, match="out of device memory"):
        try_batches(FakeSteps(memory=0))  # type: ignore[arg-type]
    slow = try_batches(FakeSteps(call=0.1, sleep=clock.sleep), seconds=0.3)  # type: ignore[arg-type]
    assert len(slow) == 1


def test_files_are_those_of_an_ordinary_run(bundle: Path, tmp_path: Path) -> None:
    settings = ("--seeds", "3-12", "--truncation", 0.7, "--noise", "random", "--mix", 5)
    done = synth(bundle, *settings, "--out", tmp_path / "fast", "--json")
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["images"] == 10 and report["out"] == str(tmp_path / "fast")
    assert report["batch"] in [trial["batch"] for trial in report["batches_tried"]]
    assert report["images_per_second"]["disk"] > 0
    assert report["stages"][-1]["name"] == "encode and write"
    command = ["synth", "--bundle", str(bundle), *map(str, settings), "--out", str(tmp_path / "slow")]
    assert CliRunner().invoke(main, command).exit_code == 0
    fast, slow = (sorted((tmp_path / name).iterdir()) for name in ("fast", "slow"))
    assert [path.name for path in fast] == [path.name for path in slow] and len(fast) == 10
    for one, other in zip(fast, slow, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_existing_files_are_told_before_the_work(bundle: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "prints", "--batch", 2)
    assert synth(bundle, "--count", 4, *out).exit_code == 0
    done = synth(bundle, "--count", 6, *out)
    assert done.exit_code == 2 and "exists already" in done.stderr
    assert len(list((tmp_path / "prints").iterdir())) == 4
    done = synth(bundle, "--count", 6, *out, "--resume", "--json")
    assert json.loads(done.stdout)["images"] == 2
    assert len(list((tmp_path / "prints").iterdir())) == 6


def test_time_without_seeds(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = synth(bundle, "--seconds", 1, "--batch", 2, "--json")
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["images"] > 0 and report["seconds"] >= 1
    assert report["out"] is None and list(tmp_path.iterdir()) == []
    table = synth(bundle, "--seconds", 0.2).stdout
    for words in ("images/s on device", "images/s discarded", "batches tried", "p99"):
        assert words in table


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--grid", "sheet.png"], "--grid: --throughput keeps no images"),
        (["--seconds", "0"], "0"),
        (["--seeds", "1", "--count", "2"], "give --seeds or --count"),
        (["--overwrite", "--resume", "--out", "x"], "--overwrite and --resume"),
    ],
)
def test_wrong_use(bundle: Path, arguments: list[str], message: str) -> None:
    done = synth(bundle, *arguments)
    assert done.exit_code == 2 and message in done.stderr.splitlines()[-1]


def test_seconds_need_throughput(bundle: Path) -> None:
    done = CliRunner().invoke(main, ["synth", "--bundle", str(bundle), "--seconds", "3"])
    assert done.exit_code == 2 and "--seconds needs --throughput" in done.stderr


def test_a_full_disk_is_one_line_and_leaves_no_part_of_a_file(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        path.touch()
        raise OSError(28, "No space left on device")  # as the system has it, without the file

    monkeypatch.setattr(Path, "write_bytes", full)
    done = synth(bundle, "--count", 200, "--out", tmp_path / "prints", "--batch", 2)
    assert done.exit_code == 1
    line = rf"fg-run: error: {re.escape(str(tmp_path))}/prints/\d{{8}}\.png: No space left on device\n"
    assert re.fullmatch(line, done.stderr)
    assert not any((tmp_path / "prints").iterdir())
