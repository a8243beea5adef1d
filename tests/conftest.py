"""Every test sees the same random numbers, whichever tests ran before it; the package as tools see it.

`pytest -n auto` hands files out to processes: a file's fixtures are made once, its tests keep their order.
"""

import os
import signal
from pathlib import Path
from typing import Any

# Networks of tests are tiny: PyTorch's threads would wait for each other. Set before PyTorch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from fingergen.runtime.backends import usable_cores

ROOT = Path(__file__).parent.parent
# What runs in the background of a shell ignores Ctrl-C, and so would the programs that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
PARTS = ("runtime", "export", "training", "cpp_ops", "benchmarks")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One process per core; each takes about a gigabyte, so no more than eight."""
    return min(usable_cores(), 8)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file at a time."""
    from xdist.scheduler import LoadFileScheduling

    return LoadFileScheduling(config, log)


def seeded():
    torch.manual_seed(0)


for_module_fixtures = pytest.fixture(scope="module", autouse=True)(seeded)
for_tests = pytest.fixture(autouse=True)(seeded)


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package `fingergen` as an installation lays it out, for tools that read files."""
    folder = tmp_path_factory.mktemp("package")
    for name, source in [(".", "src/fingergen"), *zip(PARTS, PARTS, strict=True)]:
        for path in (ROOT / source).rglob("*.py"):
            link = folder / "fingergen" / name / path.relative_to(ROOT / source)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
    return folder
