"""Several processes train as one does: the same losses, the same weights, interrupted or not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fingergen.training.checkpoints import load_generator

PROGRAMS = Path(sys.executable).parent
TINY = ["--resolution=16", "--style-dim=16", "--n-mlp=2", "--channel-base=128", "--channel-max=16",
        "--batch=8", "--path-interval=2", "--r1-interval=2", "--device=cpu"]  # fmt: skip
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def launch(*program: str, launcher: str = "torchrun", number: int = 2) -> subprocess.CompletedProcess[str]:
    """Run a program of this environment as `number` processes on this machine."""
    start = {
        "torchrun": [PROGRAMS / "torchrun", "--standalone", f"--nproc-per-node={number}", "--no-python"],
        "accelerate": [
            *(PROGRAMS / "accelerate", "launch", "--cpu", "--num_machines=1", "--mixed_precision=no"),
            *(f"--num_processes={number}", "--dynamo_backend=no", "--no_python"),
        ],
    }[launcher]
    return subprocess.run(
        [*map(str, start), *program], env=ENVIRONMENT, capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for index in range(24):
        Image.fromarray(rng.integers(256, size=(16, 16), dtype=np.uint8)).save(folder / f"{index:02d}.png")
    return folder


def command(images: Path, out: Path, until: int) -> list[str]:
    return [
        *(str(PROGRAMS / "fg-train"), "generator", f"--data={images}", f"--out={out}"),
        *(*TINY, f"--images={until}", "--checkpoint-every=64"),
    ]


def curve(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def alone(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process."""
    out = tmp_path_factory.mktemp("runs") / "alone"
    subprocess.run(command(images, out, 256), env=ENVIRONMENT, check=True, capture_output=True)
    return out


@pytest.mark.parametrize("launcher", ["torchrun", "accelerate"])
def test_two_processes_train_as_one(launcher: str, images: Path, alone: Path, tmp_path: Path):
    """With `torchrun` the run is interrupted and resumed too."""
    for until in (128, 256) if launcher == "torchrun" else (256,):
        result = launch(*command(images, tmp_path / "run", until), launcher=launcher)
        assert result.returncode == 0, result.stderr
    expected, found = curve(alone), curve(tmp_path / "run")
    assert [row.keys() for row in found] == [row.keys() for row in expected]
    assert {"loss/d", "loss/g", "loss/r1", "loss/path"} <= set().union(*expected)
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, rel=2e-3, abs=1e-3)
    one, other = (load_generator(run / "state.pt") for run in (tmp_path / "run", alone))
    assert one.images_seen == other.images_seen == 256
    for key, value in other.g_ema.state_dict().items():
        torch.testing.assert_close(one.g_ema.state_dict()[key], value, rtol=2e-3, atol=2e-3, msg=key)
    sheets = [sorted(path.name for path in (run / "samples").iterdir()) for run in (tmp_path / "run", alone)]
    assert sheets[0] == sheets[1]
