"""The blocks of docs/embedding.md run as they stand."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

import fingergen.runtime as fgr
from fingergen import cpp_ops
from fingergen.export.triton import write_model_repository
from fingergen.runtime.backends import unavailable

from .runtime.triton_server import client_folder, running
from .tiny_bundle import write_tiny_bundle

ROOT = Path(__file__).parent.parent
BLOCKS = re.findall(r"```(\w+)(?: (\w+))?\n(.*?)```", (ROOT / "docs" / "embedding.md").read_text(), re.DOTALL)
pytestmark = pytest.mark.slow


@contextmanager
def nothing(folder: Path) -> Iterator[dict[str, str]]:
    yield {}


@contextmanager
def triton(folder: Path) -> Iterator[dict[str, str]]:
    """A server that runs; variables with its address and the place of its client."""
    path = str(client_folder())
    write_model_repository(folder / "bundle", folder / "models")
    with running(folder / "models", folder / "log.txt") as server:
        yield {"TRITON_ADDRESS": f"127.0.0.1:{server.grpc}", "PYTHONPATH": path}


@contextmanager
def ray(folder: Path) -> Iterator[dict[str, str]]:
    pytest.importorskip("ray")
    yield {"RAY_USAGE_STATS_ENABLED": "0"}  # nothing is sent


@contextmanager
def gpu(folder: Path) -> Iterator[dict[str, str]]:
    with fgr.load() as model:
        reason = unavailable("onnxruntime-cuda", model.bundle)
    if reason is not None:
        pytest.skip(f"no GPU here: {reason}")
    yield {}


NEEDS = {"": nothing, "triton": triton, "ray": ray, "gpu": gpu}
"""What a block needs beside the package: as its fence says, after the language."""


@pytest.mark.parametrize(("kind", "needs", "code"), BLOCKS)
def test_block(kind: str, needs: str, code: str, tmp_path: Path) -> None:
    if "cc " in code and (cpp_ops.status("c_api").path is None or not shutil.which("pkg-config")):
        pytest.skip("libfingergen was not built with this install, or there is no pkg-config")
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "BUNDLE": str(write_tiny_bundle(tmp_path / "bundle")),
        "EXAMPLES": str(ROOT / "examples"),
    }
    command = [sys.executable, "-c", code] if kind == "python" else ["sh", "-euc", code]
    with ExitStack() as open_while_it_runs:
        environment |= open_while_it_runs.enter_context(NEEDS[needs](tmp_path))
        result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_there_are_blocks() -> None:
    kinds = [(kind, needs) for kind, needs, _ in BLOCKS]
    always = [("python", ""), ("python", ""), ("sh", ""), ("sh", "")]
    assert kinds == [*always, ("python", "triton"), ("python", "ray"), ("python", "gpu")]
