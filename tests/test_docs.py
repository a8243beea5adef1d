"""The documents: what they name exists, and the site builds without a warning."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Not the pages that `fg-bench gpu` wrote: they record what a tree was once.
DOCUMENTS = [
    *ROOT.glob("*.md"),
    *(p for p in (ROOT / "docs").glob("*.md") if not p.name.startswith("gpu_result")),
]
PATH = re.compile(r"`((?:runtime|export|training|cpp_ops|benchmarks|tests|docs|examples|src)/[\w./-]*)`")
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_paths_and_links_exist(document: Path):
    text = document.read_text(encoding="utf-8")
    missing = [name for name in PATH.findall(text) if not (ROOT / name).exists() and "NAME" not in name]
    missing += [link for link in LINK.findall(text) if not (document.parent / link).exists()]
    assert not missing, f"{document.name} names what is not there"


@pytest.mark.slow
def test_site_builds_without_a_warning(package: Path, tmp_path: Path):
    result = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        env={"PATH": "", "PYTHONPATH": str(package), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert 'id="fingergen.runtime.Model.synthesize"' in (
        tmp_path / "site" / "api" / "runtime" / "index.html"
    ).read_text(encoding="utf-8")
