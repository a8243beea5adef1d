"""The blocks of docs/embedding.md run as they stand."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fingergen import cpp_ops

from .tiny_bundle import write_tiny_bundle

ROOT = Path(__file__).parent.parent
BLOCKS = re.findall(r"```(python|sh)\n(.*?)```", (ROOT / "docs" / "embedding.md").read_text(), re.DOTALL)
pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("kind", "code"), BLOCKS)
def test_block(kind: str, code: str, tmp_path: Path) -> None:
    if "cc " in code and (cpp_ops.status("c_api").path is None or not shutil.which("pkg-config")):
        pytest.skip("libfingergen was not built with this install, or there is no pkg-config")
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "BUNDLE": str(write_tiny_bundle(tmp_path / "bundle")),
        "EXAMPLES": str(ROOT / "examples"),
    }
    command = [sys.executable, "-c", code] if kind == "python" else ["sh", "-euc", code]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_there_are_blocks() -> None:
    assert [kind for kind, _ in BLOCKS] == ["python", "python", "sh", "sh"]
