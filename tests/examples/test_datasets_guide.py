"""The guide to datasets: its commands and programs are run, in their order, as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "docs/datasets.md"


@pytest.mark.slow
def test_the_guide_runs(tmp_path: Path):
    for package in ("nbis", "webdataset"):
        pytest.importorskip(package)
    programs = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    blocks = re.findall(r"^```(sh|python)\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert [language for language, _ in blocks] == ["sh", "python", "sh", "python", "python", "sh"]
    output = []
    for language, text in blocks:
        command = ["bash", "-ec", text] if language == "sh" else [sys.executable, "-c", text]
        done = subprocess.run(command, cwd=tmp_path, env=programs, capture_output=True, text=True)
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        output.append(done.stdout)
    assert "24 images, all as they were written" in output[0]
    median, highest = map(float, re.findall(r"(?:median|highest) ([\d.]+)", output[1]))
    assert output[1].startswith("10 genuine") and "45 impostor" in output[1] and median > highest
    assert len(output[3].splitlines()) == 8 and "00000003_2 (96, 96)" in output[3]
    assert len(output[4].splitlines()) == 6 and "(96, 96)" in output[4]
    assert "the set is whole" in output[5]
