"""The training guide: every command of it is run, in its order, as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fingergen.runtime.bundle import read_bundle

pytestmark = pytest.mark.slow
GUIDE = Path(__file__).parents[2] / "docs/training.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all commands of the guide were run."""
    out = tmp_path_factory.mktemp("guide")
    programs = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    commands = re.findall(r"^```sh\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(commands) == 7
    for command in commands:
        done = subprocess.run(["bash", "-ec", command], cwd=out, env=programs, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return out


def test_the_data_set_is_split_by_finger(folder: Path) -> None:
    train, test = ({path.stem.split("_")[0] for path in (folder / "prints" / part / "images").iterdir()}
                   for part in ("train", "test"))  # fmt: skip
    assert train and test and not train & test
    assert len(train | test) == 12


def test_the_bundle_knows_its_data(folder: Path) -> None:
    """Images of 64 pixels that show 256 pixels of 500 ppi have 125; the runtime makes 500 of them again."""
    manifest = read_bundle(folder / "bundle").manifest
    assert (manifest.image.ppi, manifest.image.output_size, manifest.image.output_ppi) == (125, 256, 500)
    assert manifest.encoder is not None and manifest.encoder.noise_layers == tuple(range(1, 9))
    assert (manifest.recommended.truncation, manifest.recommended.noise) == (0.7, "random")


def test_everything_is_there(folder: Path) -> None:
    found = {path.name for path in folder.iterdir()}
    assert {"seeds.png", "again.png", "generator.yaml", "mated"} <= found
    assert len(list((folder / "mated").glob("*.png"))) == 12
