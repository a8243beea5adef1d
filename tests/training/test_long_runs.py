"""Runs of days: killed at any moment, with states damaged, and still the same to the bit."""

import json
import multiprocessing
import os
import signal
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch._dynamo  # which optimizers import late: here, each process that is killed has it already
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fingergen.runtime.errors import BadInput
from fingergen.training.checkpoints import load_generator
from fingergen.training.checkpoints.files import damaged_member
from fingergen.training.checkpoints.manager import CheckpointManager
from fingergen.training.trainers.generator import GeneratorConfig, GeneratorTrainer
from fingergen.training.trainers.run_dir import RunDirectory
from fingergen.training.trainers.training_loop import Interruption, train

pytestmark = pytest.mark.slow

TINY = GeneratorConfig(
    resolution=8,
    style_dim=8,
    n_mlp=1,
    channel_base=32,
    channel_max=4,
    batch=4,
    r1_interval=2,
    path_interval=2,
)
EVERY, UNTIL = 80, 480  # 5 steps of 4 images between rows of 16 steps and states: neither divides the other
CPU = torch.device("cpu")


class Stripes:
    """Images of random brightness."""

    def batch(self, rng: np.random.Generator, count: int) -> torch.Tensor:
        return torch.from_numpy(rng.integers(256, size=(count, 1, 8, 8), dtype=np.uint8))


class Pulse:
    """A figure with a random number in it, to see whether taking it disturbs the run."""

    every, names = 120, ("pulse",)

    def __init__(self, trainer: GeneratorTrainer) -> None:
        self.trainer = trainer

    def compute(self) -> dict[str, float]:
        torch.rand(7)
        np.random.default_rng().random()
        return {"pulse": abs(self.trainer.samples(4).mean().item() - 0.1)}


def run(out: Path, until: int = UNTIL, measured: bool = True, **options: Any) -> GeneratorTrainer:
    trainer = GeneratorTrainer(TINY, Stripes(), {"ppi": 250}, CPU)
    if measured:
        options |= {"metrics": Pulse(trainer), "best_by": "pulse"}
    for _ in train(trainer, out, until, EVERY, Interruption(), **options):
        pass
    return trainer


def rows(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    run(out)
    return out


def assert_same_state(one: Path, other: Path) -> None:
    found, expected = (torch.load(path, weights_only=False) for path in (one, other))
    flat = [dict(leaves(content)) for content in (found, expected)]
    assert flat[0].keys() == flat[1].keys() and len(flat[0]) > 50
    for key, value in flat[1].items():
        same = torch.equal(flat[0][key], value) if isinstance(value, torch.Tensor) else flat[0][key] == value
        assert same, key


def leaves(content: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """All values in nested dictionaries and lists, by path."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from leaves(value, f"{name}/{key}")
    elif isinstance(content, list | tuple):
        for index, value in enumerate(content):
            yield from leaves(value, f"{name}/{index}")
    else:
        yield name, content


@pytest.mark.slow
def test_killed_at_random_it_ends_bit_equal(uninterrupted: Path, tmp_path: Path):
    """SIGKILL, a random time after the run has written a state, again and again."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    rng = np.random.default_rng(0)
    out = tmp_path / "run"
    killed_at = []
    for _ in range(5):
        process = context.Process(target=run, args=(out,))
        before = newest(out)
        process.start()
        while newest(out) == before and process.is_alive():
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.4))
        assert process.pid
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        killed_at.append(newest(out))
        assert damaged_member(out / "state.pt") is None
    assert len(set(killed_at)) > 2 and killed_at[-2] < newest(uninterrupted), (
        "the run ended before it could be killed"
    )
    run(out)
    assert_same_state(out / "state.pt", uninterrupted / "state.pt")
    assert_same_state(out / "best.pt", uninterrupted / "best.pt")
    assert (out / "metrics.jsonl").read_bytes() == (uninterrupted / "metrics.jsonl").read_bytes()
    names = [
        sorted(str(path.relative_to(each)) for path in each.rglob("*.p*")) for each in (out, uninterrupted)
    ]
    assert names[0] == names[1]
    assert not [path for path in out.rglob(".*")]


def newest(out: Path) -> str:
    return max((path.name for path in (out / "states").glob("state_*.pt")), default="")


def test_rows_are_whole_and_stand_once(uninterrupted: Path):
    found = rows(uninterrupted)
    losses = [row["images"] for row in found if "loss/d" in row]
    assert losses == [64, 80, 120, 160, 224, 240, 304, 320, 360, 400, 464, 480]  # 16 steps, or up to a state
    assert [row["images"] for row in found if "pulse" in row] == [120, 240, 360, 480]


def test_measuring_does_not_disturb_the_run(uninterrupted: Path, tmp_path: Path):
    run(tmp_path, measured=False)
    assert_same_state(tmp_path / "state.pt", uninterrupted / "state.pt")


def test_last_states_and_the_best_are_kept(uninterrupted: Path):
    kept = sorted(path.name for path in (uninterrupted / "states").iterdir())
    assert kept == [f"state_{images:012d}.pt" for images in (360, 400, 480)]
    assert (uninterrupted / "state.pt").samefile(uninterrupted / "states" / kept[-1])
    pulses = {int(row["images"]): row["pulse"] for row in rows(uninterrupted) if "pulse" in row}
    best = min(pulses, key=lambda images: pulses[images])
    assert load_generator(uninterrupted / "best.pt").images_seen == best
    assert json.loads((uninterrupted / "best.json").read_text()) == {
        "figure": "pulse",
        "value": pulses[best],
        "images": best,
    }


@pytest.mark.parametrize("harm", ["cut", "bit", "empty", "missing"])
def test_damage_is_seen(harm: str, uninterrupted: Path, tmp_path: Path):
    content = bytearray((uninterrupted / "state.pt").read_bytes())
    path = tmp_path / "state.pt"
    path.write_bytes(content)
    assert damaged_member(path) is None
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
    # Inside the weights: elsewhere a bit may lie in padding, which nothing reads.
    content[largest.header_offset + largest.file_size // 2 + 128] ^= 1
    path.unlink()
    if harm != "missing":
        path.write_bytes({"cut": content[:-100], "bit": content, "empty": b""}[harm])
    assert damaged_member(path) is not None


@pytest.mark.slow
def test_a_damaged_state_falls_back_to_the_one_before(
    uninterrupted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run(tmp_path, until=240)
    path = tmp_path / "state.pt"
    path.write_bytes(path.read_bytes()[:-100])  # the same file as states/state_000000000240.pt
    (tmp_path / "states" / ".state_000000000320.pt.4194305.88").write_bytes(b"half")
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"images": 252, "loss/d": 1.1}\n{"images": 256, "lo')
    run(tmp_path)
    line = capsys.readouterr().err.strip()
    assert line.startswith(f"{path}, {tmp_path}/states/state_000000000240.pt: damaged; continuing from")
    assert line.endswith("state_000000000160.pt") and "\n" not in line
    assert_same_state(path, uninterrupted / "state.pt")
    assert rows(tmp_path) == rows(uninterrupted)
    assert not [path for path in tmp_path.rglob(".*")]


def test_no_whole_state_is_an_error(tmp_path: Path):
    (tmp_path / "state.pt").write_bytes(b"PK\x03\x04")
    with pytest.raises(BadInput, match=r"state.pt: is damaged, and so is what came before it; give another"):
        run(tmp_path, until=8)


def test_unknown_figure_for_the_best_is_named(tmp_path: Path):
    with pytest.raises(
        BadInput, match="--best-by fud: no such figure; there are logit/fake, logit/real, loss/d"
    ):
        run(tmp_path, until=80, measured=False, best_by="fud")
    assert load_generator(tmp_path / "state.pt").images_seen == 80


def test_higher_figures_are_better_where_they_say_so(tmp_path: Path):
    trainer = GeneratorTrainer(TINY, Stripes(), {}, CPU)
    for name, best in (("held_out/recall", 2), ("loss/d", 1)):
        manager = CheckpointManager(tmp_path / name.replace("/", "_"), keep=1, best_by=name)
        manager.folder.mkdir()
        for trainer.images_seen, figure in ((0, 0.3), (1, 0.2), (2, 0.5), (3, 0.5)):
            manager.save(trainer, figure)
        assert load_generator(manager.folder / "best.pt").images_seen == best


def test_tensorboard_has_scalars_sheets_and_histograms(uninterrupted: Path):
    events = EventAccumulator(str(uninterrupted / "tensorboard"))
    events.Reload()
    tags = events.Tags()
    assert {"loss/d", "loss/g", "pulse", "images_per_second"} <= set(tags["scalars"])
    assert tags["images"] == ["samples"]
    assert {"w", "logit/real", "logit/fake"} <= set(tags["histograms"])
    assert any(name.startswith("generator/") for name in tags["histograms"])
    assert [event.step for event in events.Scalars("pulse")] == [120, 240, 360, 480]


def test_figures_of_one_count(tmp_path: Path):
    log = RunDirectory(tmp_path)
    log.log(4, {"a": 1.0})
    log.log(8, {"a": 2.0})
    log.log(8, {"b": 3.0})
    log.close()
    assert log.figures(8) == {"a": 2.0, "b": 3.0}
