"""Raw scans, and fingers that are grown once for all tests of the training."""

import os
from pathlib import Path

import pytest

from .raw_scans import save, scan


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Two impressions of each of three fingers, sound files all."""
    for finger in range(3):
        for impression in range(2):
            save(tmp_path / f"raw/{finger}_{impression}.png", scan(2 * finger + impression))
    return tmp_path / "raw"


@pytest.fixture(scope="session")
def masters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where masters of procedural fingers lie once they are grown: one folder for all processes of a run."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "masters"
    folder.mkdir(exist_ok=True)
    return folder
