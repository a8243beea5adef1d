"""Starting is quick: nothing is imported that is not needed, and the first image does not wait for it."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

IMPORT = "import fingergen.runtime"
FIRST_IMAGE = "import fingergen.runtime as fgr\nwith fgr.load() as model: model.synthesize([7])"
SYNTH = "from fingergen.runtime.cli import main\nmain(['synth', '--help'], standalone_mode=False)"
WRITE = """import tempfile
from fingergen.runtime.cli import main
with tempfile.TemporaryDirectory() as out:
    main(['synth', '--seeds', '7', '--out', out], standalone_mode=False)"""
CONVERT = "from fingergen.runtime.cli import main\nmain(['convert', '--help'], standalone_mode=False)"
OTHERS = ("torch", "onnx", "scipy", "jsonschema", "importlib.metadata", "fingergen.runtime.studio")
OF_DATASETS = ("fingergen.runtime.records", "fingergen.runtime.datasets")
ROUNDS = 7


@pytest.mark.parametrize(
    ("program", "not_needed"),
    [
        (
            IMPORT,
            (
                *OTHERS,
                *OF_DATASETS,
                "onnxruntime",
                "PIL",
                "numpy.random",
                "click",
                "fingergen.runtime.minutiae.formats",
            ),
        ),
        (FIRST_IMAGE, (*OTHERS, *OF_DATASETS, "click", "fingergen.runtime.minutiae.formats")),
        (SYNTH, (*OTHERS, *OF_DATASETS, "onnxruntime", "PIL", "numpy.random")),
        (WRITE, (*OTHERS, *OF_DATASETS, "PIL", "numpy.ma", "fingergen.runtime.minutiae.formats")),
        (CONVERT, ("onnxruntime", "jsonschema", "fingergen.runtime.datasets", "fingergen.runtime.studio")),
    ],
    ids=["import", "first image", "fg-run synth --help", "fg-run synth", "fg-run convert"],
)
def test_what_is_not_needed_is_not_imported(program: str, not_needed: tuple[str, ...]):
    code = f"{program}\nimport sys; print(*sorted(set({not_needed!r}) & set(sys.modules)), file=sys.stderr)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stderr.split() == []


def test_a_program_ends_without_looking_for_garbage():
    report = "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count() > 0))"  # runs last
    code = f"{report}\nfrom fingergen.runtime.cli import main; main(['info', '--help'])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "True"


@pytest.mark.parametrize(("given", "threads"), [(None, "1"), ("4", "4")])
def test_numpy_starts_no_threads_in_a_program_unless_asked(given: str | None, threads: str):
    name = "OPENBLAS_NUM_THREADS"
    environment = {key: value for key, value in os.environ.items() if key != name}
    environment |= {name: given} if given else {}
    code = f"import fingergen.runtime.cli, os, sys; print('numpy' in sys.modules, os.environ['{name}'])"
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", threads]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "most"), [(IMPORT, 1.5), (FIRST_IMAGE, 3.5)], ids=["import", "first image"]
)
def test_start_costs_little_more_than_onnx_runtime(program: str, most: float, tmp_path: Path):
    """Least processor time of several rounds, in turn with that of importing ONNX Runtime."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(tmp_path)  # compiled once, in the first round

    def seconds(code: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    rounds = [(seconds(program), seconds("import onnxruntime")) for _ in range(ROUNDS)]
    ours, its = (min(each) for each in zip(*rounds, strict=True))
    assert ours <= most * its, rounds
