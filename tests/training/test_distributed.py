"""Several processes train as one does: the same losses, the same weights, interrupted or not."""

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch._dynamo  # which optimizers import late: here, the processes have it from the start
from PIL import Image
from torch import Tensor, nn

from fingergen.runtime.errors import BadInput
from fingergen.training import distributed
from fingergen.training.checkpoints import load_generator
from fingergen.training.data.pairs import Pairs
from fingergen.training.distributed import choose_device
from fingergen.training.networks.layers import BatchNorm2d
from fingergen.training.trainers.generator import GeneratorTrainer
from fingergen.training.trainers.minutiae import MinutiaeTrainer, load_minutiae_net
from fingergen.training.trainers.training_loop import Interruption, train

from . import tiny_generator

PROGRAMS = Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
TINY = replace(
    tiny_generator.TINY,
    r1_interval=2,
    path_interval=2,
)


def together(work: Callable[..., object], *arguments: object, number: int = 2) -> None:
    """Call `work` in `number` processes that a launcher could have started; all must end well."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    started = [
        context.Process(target=as_process, args=(rank, number, port, work, *arguments))
        for rank in range(number)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join(300)
    assert [process.exitcode for process in started] == [0] * number


def as_process(rank: int, number: int, port: int, work: Callable[..., object], *arguments: object) -> None:
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(number), OMP_NUM_THREADS="1")
    os.environ.update(LOCAL_WORLD_SIZE=str(number), MASTER_ADDR="localhost", MASTER_PORT=str(port))
    assert choose_device("cpu").type == "cpu"
    assert (distributed.rank(), distributed.count()) == (rank, number)
    work(*arguments)


def curve(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def assert_same_run(found: Path, expected: Path) -> None:
    """Rows equal, but for what the order of sums makes of them."""
    assert [row.keys() for row in curve(found)] == [row.keys() for row in curve(expected)]
    for one, other in zip(curve(found), curve(expected), strict=True):
        assert one == pytest.approx(other, rel=2e-3, abs=1e-3)


def assert_same_weights(found: nn.Module, expected: nn.Module) -> None:
    for key, value in expected.state_dict().items():
        torch.testing.assert_close(
            found.state_dict()[key], value, rtol=2e-3, atol=2e-3, msg=lambda text, key=key: f"{key}: {text}"
        )


# -- parts --------------------------------------------------------------------------------------------------


def check_parts() -> None:
    rank, whole = distributed.rank(), torch.arange(8.0)
    assert distributed.shard(whole).tolist() == [0 + rank, 2 + rank, 4 + rank, 6 + rank]
    assert distributed.shard(list(range(4))) == [0 + rank, 2 + rank]
    assert distributed.mean_figures({"a": 1.0 + rank, "b": 4.0}) == {"a": 1.5, "b": 4.0}
    assert np.isnan(distributed.mean_figures({"a": float("nan") if rank else 1.0})["a"])

    # The mean of x³ over processes, differentiated twice: each has a share of 1/2 in it and its loss.
    x = torch.tensor(2.0 + rank, requires_grad=True)
    (slope,) = torch.autograd.grad(distributed.mean(x**3), x, create_graph=True)
    assert slope.item() == pytest.approx(3 * (2 + rank) ** 2)
    (bend,) = torch.autograd.grad(slope, x)
    assert bend.item() == pytest.approx(6 * (2 + rank))

    layer, unused = nn.Linear(2, 1, bias=False), nn.Parameter(torch.ones(3))
    layer(torch.full((1, 2), 1.0 + rank)).sum().backward()
    half = nn.Parameter(torch.zeros(2, dtype=torch.float16))
    half.grad = torch.full((2,), 2.0 * rank, dtype=torch.float16)
    distributed.average_gradients([*layer.parameters(), unused, half])
    assert layer.weight.grad is not None and layer.weight.grad.tolist() == [[1.5, 1.5]]
    assert unused.grad is None and half.grad.tolist() == [1.0, 1.0]


def test_parts():
    together(check_parts)


def normalize(layer: nn.Module, x: Tensor) -> Tensor:
    return (layer(x) * torch.linspace(-1, 1, x.shape[2] * x.shape[3]).view(x.shape[2:])).square().mean()


def check_batch_norm() -> None:
    torch.manual_seed(0)
    x, expected, layer = torch.randn(8, 3, 4, 5) * 3 + 1, nn.BatchNorm2d(3), BatchNorm2d(3)
    for parameter in expected.parameters():
        nn.init.normal_(parameter)
    layer.load_state_dict(expected.state_dict())
    whole = x.clone().requires_grad_(True)
    part = distributed.shard(x).clone().requires_grad_(True)
    normalize(expected, whole).backward()
    normalize(layer, part).backward()
    distributed.average_gradients(layer.parameters())
    assert part.grad is not None and whole.grad is not None
    # A process's loss is the mean over half as many samples.
    torch.testing.assert_close(part.grad / 2, distributed.shard(whole.grad), rtol=1e-4, atol=1e-6)
    for one, other in zip(layer.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6)
    for key, value in expected.state_dict().items():
        torch.testing.assert_close(layer.state_dict()[key], value)
    torch.testing.assert_close(layer.eval()(x), expected.eval()(x))


def test_batch_norm_has_the_statistics_of_all_processes():
    together(check_batch_norm)


# -- trainers -----------------------------------------------------------------------------------------------


class Noise:
    """Random images, and maps that can be told from them."""

    def batch(self, rng: np.random.Generator, count: int) -> Tensor:
        return torch.from_numpy(rng.integers(256, size=(count, 1, 16, 16), dtype=np.uint8))


class NoisePairs(Noise):
    def batch(self, rng: np.random.Generator, count: int) -> Pairs:  # type: ignore[override]
        images = super().batch(rng, count)
        return Pairs(images, (255 - images).expand(-1, 3, -1, -1))

    def held_out(self, count: int) -> Pairs:
        return self.batch(np.random.default_rng(0), count)


def train_generator(out: Path, images: int) -> None:
    trainer = GeneratorTrainer(TINY, Noise(), {"ppi": 250}, torch.device("cpu"))
    for _ in train(trainer, out, images, 96, Interruption()):
        pass


def train_minutiae_net(out: Path, images: int) -> None:
    trainer = MinutiaeTrainer(NoisePairs(), 16, 32, 8, 1, torch.device("cpu"))
    for _ in train(trainer, out, images, 96, Interruption()):
        pass


@pytest.mark.slow
def test_generator_of_two_processes(tmp_path: Path):
    train_generator(tmp_path / "one", 192)
    together(train_generator, tmp_path / "two", 96)
    together(train_generator, tmp_path / "two", 192)
    assert_same_run(tmp_path / "two", tmp_path / "one")
    assert {"loss/d", "loss/g", "loss/r1", "loss/path"} <= set().union(*curve(tmp_path / "one"))
    one, two = (load_generator(tmp_path / run / "state.pt") for run in ("one", "two"))
    assert one.images_seen == two.images_seen == 192
    assert_same_weights(two.g_ema, one.g_ema)
    files = [sorted(p.name for p in (tmp_path / run).rglob("*.p*")) for run in ("one", "two")]
    assert files[0] == files[1]


@pytest.mark.slow
def test_minutiae_network_of_two_processes(tmp_path: Path):
    train_minutiae_net(tmp_path / "one", 96)
    together(train_minutiae_net, tmp_path / "two", 96)
    assert_same_run(tmp_path / "two", tmp_path / "one")
    assert_same_weights(*(load_minutiae_net(tmp_path / run / "state.pt")[0] for run in ("two", "one")))


# -- launchers ----------------------------------------------------------------------------------------------


def start(*options: str, launcher: str) -> subprocess.Popen[str]:
    """The command as two processes of this machine."""
    how = {
        "torchrun": ["--standalone", "--nproc-per-node=2", "--no-python"],
        # `--cpu` would start one process alone; what each computes on is the command's business.
        "accelerate": ["launch", "--multi_gpu", "--num_machines=1", "--num_processes=2",
                       "--mixed_precision=no", "--dynamo_backend=no", "--main_process_port=0", "--no_python"],
    }  # fmt: skip
    command = [str(PROGRAMS / launcher), *how[launcher], str(PROGRAMS / "fg-train"), "generator", *options]
    return subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    rng = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    for index in range(8):
        pixels = rng.integers(256, size=(16, 16), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "data" / f"{index}.png")
    return [
        *(f"--data={tmp_path / 'data'}", f"--out={tmp_path / 'run'}", "--resolution=16", "--style-dim=16"),
        *("--n-mlp=2", "--channel-base=128", "--channel-max=16", "--device=cpu", "--checkpoint-every=128"),
    ]


@pytest.mark.slow
def test_torchrun_is_interrupted_and_continues(options: list[str], tmp_path: Path):
    first = start(*options, "--batch=8", launcher="torchrun")
    while not (tmp_path / "run" / "state.pt").exists():
        assert first.poll() is None, first.communicate()[0]
        time.sleep(0.05)
    first.send_signal(signal.SIGTERM)
    output, _ = first.communicate(timeout=120)
    assert output.count("the same command continues") == 1, output
    seen = load_generator(tmp_path / "run" / "state.pt").images_seen or 0
    assert f"interrupted after {seen} images" in output
    second = start(*options, "--batch=8", f"--images={seen + 64}", launcher="torchrun")
    output, _ = second.communicate(timeout=120)
    assert second.returncode == 0, output
    assert load_generator(tmp_path / "run" / "state.pt").images_seen == seen + 64


@pytest.mark.slow
def test_accelerate_launches_processes_that_join(options: list[str]):
    process = start(*options, "--batch=3", launcher="accelerate")
    output, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "--batch 3" in output and " 2 processes" in output, output


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda:1", "--device cuda:1: several processes choose for themselves; give auto, cpu or cuda"),
        ("cuda", "--device cuda: 999 processes on a machine of .* GPUs; start one process per GPU"),
    ],
)
def test_device_of_several_processes(device: str, message: str, monkeypatch: pytest.MonkeyPatch):
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "999")
    with pytest.raises(BadInput, match=message):
        choose_device(device)
