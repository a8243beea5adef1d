"""The examples run as they stand and write what they say."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import fingergen.runtime as fgr
from fingergen.runtime.images import read_provenance
from fingergen.runtime.minutiae import read_template

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.py"))
TEMPLATE = ROOT / "tests" / "data" / "minutiae" / "sample.json"


def run(example: str, *arguments: object) -> str:
    """The standard output of an example."""
    command = [sys.executable, str(ROOT / "examples" / example), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_every_example_is_tested():
    assert EXAMPLES == ["mated_set.py", "reconstruct.py", "rig_loop.py", "synthesize.py"]


def test_synthesize(tmp_path: Path):
    run("synthesize.py", tmp_path, "--seeds", 5, 3)
    with fgr.load() as model:
        expected = dict(zip([5, 3], model.synthesize([5, 3]), strict=True))
    for seed, image in expected.items():
        path = tmp_path / f"{seed:08d}.png"
        assert np.array_equal(np.asarray(Image.open(path)), image)
        assert read_provenance(path)["seed"] == str(seed)


def test_reconstruct(tmp_path: Path):
    run("reconstruct.py", TEMPLATE, tmp_path)
    with fgr.load() as model:
        expected = model.reconstruct(read_template(TEMPLATE))[0]
    images = [
        np.asarray(Image.open(tmp_path / f"sample_{look}.png"))
        for look in ("less_ink", "original", "more_ink")
    ]
    assert np.array_equal(images[1], expected)
    assert images[0].std() < images[1].std() < images[2].std()


def test_mated_set(tmp_path: Path):
    run("mated_set.py", tmp_path, "--fingers", 2, "--impressions", 2)
    for finger in range(2):
        for number in range(2):
            name = f"{finger:06d}_{number:02d}"
            with Image.open(tmp_path / f"{name}.png") as image:
                template = read_template(tmp_path / f"{name}.fmr")
                assert image.size == (template.width, template.height)
            assert len(template.minutiae) > 10


def test_rig_loop():
    lines = run("rig_loop.py", "--cycles", 5, "--rate", 20).splitlines()
    assert [line.split(", mean")[0] for line in lines] == [f"cycle {i}: seed {i}" for i in range(5)]
