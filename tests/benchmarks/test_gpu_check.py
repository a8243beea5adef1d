"""The check for machines with a GPU: its command, the processes of its sections, its page."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fingergen.benchmarks.cli import main
from fingergen.benchmarks.gpu import command
from fingergen.benchmarks.gpu.command import build_package
from fingergen.benchmarks.gpu.page import Check, Item, Page, Row, markdown
from fingergen.benchmarks.gpu.sections import SECTIONS, Section, run_section
from fingergen.benchmarks.gpu.settings import Deadline, Settings
from fingergen.runtime.errors import FingerGenError

ROOT = Path(__file__).parents[2]
WELL, BADLY = Check("a", "well", True), Check("b", "badly", False)


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that lists a GPU; no compiler."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'NVIDIA L4, 8.9, 570.86, 23034 MiB'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.delenv("CUDACXX", raising=False)
    monkeypatch.chdir(ROOT)


@pytest.fixture
def sections(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[Settings, float]]:
    """Stand-ins for the sections: what each of them was run with."""
    ran: dict[str, tuple[Settings, float]] = {}

    def run_one(section: Section, settings: Settings, seconds: float) -> Iterator[Item]:
        ran[section.name] = settings, seconds
        yield BADLY if section.name == "training" else WELL

    monkeypatch.setattr(command, "run_section", run_one)
    return ran


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["gpu", *(str(argument) for argument in arguments)], prog_name="fg-bench")


# -- the command ---------------------------------------------------------------------------------------------


def test_without_a_gpu_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    done = run()
    assert done.exit_code == 1
    assert done.stderr.strip() == (
        "fg-bench: error: this needs an NVIDIA GPU and its driver; nvidia-smi lists none here"
    )


def test_outside_of_the_source_tree(gpu: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = run()
    assert done.exit_code == 2 and "not FingerGen's source tree" in done.stderr


def test_all_sections_with_their_times(
    gpu: None, sections: dict[str, tuple[Settings, float]], tmp_path: Path
) -> None:
    page = tmp_path / "result.md"
    done = run("--installed", "--out", page, "--work", tmp_path / "work")
    assert done.exit_code == 1 and "something failed: see the table" in done.stderr
    assert page.read_text() == done.stdout
    assert {name: seconds for name, (_, seconds) in sections.items()} == {
        section.name: section.seconds for section in SECTIONS.values()
    }
    assert sum(section.seconds for section in SECTIONS.values()) <= 600  # all of it in a loan of ten minutes
    settings, _ = sections["kernels"]
    assert settings.device == "cuda" and list(settings.networks) == ["release-size", "demo-size"]
    lines = done.stdout.splitlines()
    assert "- GPU: NVIDIA L4, compute capability 8.9, 23034 MiB, driver 570.86" in lines
    assert "- no nvcc" in lines and "## training" in lines and "| b | **failed** | badly |" in lines


def test_some_sections(gpu: None, sections: dict[str, tuple[Settings, float]], tmp_path: Path) -> None:
    """Those that run networks have them exported first."""
    checkpoint = tmp_path / "mine.pt"
    checkpoint.touch()
    options = ["--seconds", 30, "--batch", "4", "--checkpoint", checkpoint, "--work", tmp_path]
    done = run("--installed", "--only", "speed,kernels", *options)
    assert done.exit_code == 0, done.stderr
    assert list(sections) == ["kernels", "models", "speed"]
    settings, seconds = sections["speed"]
    assert seconds == 30 and settings.batches == (4,) and settings.networks["mine"] == checkpoint
    done = run("--installed", "--only", "spead")
    assert done.exit_code == 2 and "'spead': choose among kernels, models," in done.stderr


def test_a_rehearsal_needs_no_gpu_and_says_what_it_is(
    sections: dict[str, tuple[Settings, float]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    done = run("--rehearse", "--only", "kernels", "--work", tmp_path)
    assert done.exit_code == 0, done.stderr
    assert sections["kernels"][0].device == "cpu" and "- rehearsal on a CPU" in done.stdout


def test_the_new_build_is_what_is_checked(gpu: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package that was built is another: its module tells where it is, and what it was told."""

    def build(source: Path, folder: Path) -> None:
        module = folder / "fingergen" / "benchmarks" / "cli.py"
        module.parent.mkdir(parents=True)
        for package in (module.parent, module.parent.parent):  # else the installed one would come first
            (package / "__init__.py").touch()
        told = tmp_path / "told.json"
        module.write_text(
            f"import json, sys\nopen({str(told)!r}, 'w').write(json.dumps(sys.argv))\nsys.exit(7)\n"
        )

    monkeypatch.setattr(command, "build_package", build)
    monkeypatch.setattr(sys, "argv", ["fg-bench", "gpu", "--batch", "4"])
    assert run("--batch", 4).exit_code == 7
    assert json.loads((tmp_path / "told.json").read_text())[1:] == ["gpu", "--batch", "4", "--installed"]


def test_a_build_that_fails(tmp_path: Path) -> None:
    with pytest.raises(
        FingerGenError, match=r"pip install failed: .*Neither 'setup.py' nor 'pyproject.toml'"
    ):
        build_package(tmp_path, tmp_path / "target")


# -- sections in processes -----------------------------------------------------------------------------------

STAND_INS = {
    "right": "yield Check('right', str(deadline.seconds), True)",
    "lacks": "import absent_package\n    yield Check('before', 'known', True)",
    "raises": "yield Check('before', 'known', True)\n    raise ValueError('broken')",
    "dies": "yield Check('before', 'known', True)\n    os.kill(os.getpid(), 9)",
    "prints": "print('to standard output')\n    yield Check('after', 'known', True)",
    "hangs": (
        "yield Check('before', 'known', True)\n"
        "    process = subprocess.Popen(['sleep', '100'])\n"
        "    (settings.work / 'pid').write_text(str(process.pid))\n"
        "    time.sleep(100)"
    ),
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Modules whose `run` stands in for that of a section: another process imports it."""
    folder = tmp_path / "stand_ins"
    folder.mkdir()
    (folder / "__init__.py").touch()
    for name, body in STAND_INS.items():
        (folder / f"{name}.py").write_text(
            "import os, subprocess, time\n"
            "from fingergen.benchmarks.gpu.page import Check\n"
            f"def run(settings, deadline):\n    {body}\n"
        )
    monkeypatch.syspath_prepend(str(tmp_path))
    return "stand_ins"


def stand_in(package: str, name: str) -> Section:
    return Section(name, 60, import_module(f"{package}.{name}").run)


def section(name: str, work: Path, package: str, seconds: float = 60) -> list[Item]:
    return list(run_section(stand_in(package, name), Settings(ROOT, work, {}), seconds, grace=0))


def test_a_section_that_ends(package: str, tmp_path: Path) -> None:
    assert section("right", tmp_path, package) == [Check("right", "60", True)]


def test_a_section_that_raises_or_dies(
    package: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = Check("before", "known", True)
    assert section("raises", tmp_path, package) == [before, Check("raises", "ValueError: broken", False)]
    assert section("dies", tmp_path, package) == [
        before,
        Check("dies", "its process ended with SIGKILL", False),
    ]
    (missing,) = section("lacks", tmp_path, package)
    assert isinstance(missing, Check) and missing.passed is False and "absent_package" in missing.result
    assert section("prints", tmp_path, package) == [Check("after", "known", True)]
    assert capfd.readouterr().out == ""  # which is the page's


def test_a_section_that_hangs_is_ended_with_all_that_it_started(package: str, tmp_path: Path) -> None:
    found = run_section(stand_in(package, "hangs"), Settings(ROOT, tmp_path, {}), 60, grace=0)
    assert next(found) == Check("before", "known", True)
    pid = tmp_path / "pid"
    wait_for(lambda: pid.exists() and pid.read_text() != "")
    assert is_running(pid.read_text())
    found.close()  # as when the time is over
    wait_for(lambda: not is_running(pid.read_text()))


def is_running(pid: str) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def wait_for(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_a_section_out_of_time(package: str, tmp_path: Path) -> None:
    (*_, last) = section("hangs", tmp_path, package, seconds=0.2)
    assert last == Check(
        "hangs: the rest", "stopped after 0 s; give --only hangs --seconds more than 0", None
    )


def test_time_that_is_left() -> None:
    assert 59 < Deadline(60).left <= 60 and Deadline(-1).left == 0


# -- the page ------------------------------------------------------------------------------------------------


def test_the_page_grows_with_every_finding(tmp_path: Path) -> None:
    out = tmp_path / "page.md"
    page = Page(out, ("first", "second"), ["a machine"])
    page.add("second", WELL)
    assert "| a | passed | well |" in out.read_text()
    page.add("second", Check("c", "no\ncompiler | here", None))
    assert "| c | not verified | no compiler \\| here |" in out.read_text()
    assert not page.failed
    page.add("first", BADLY)
    assert page.failed
    assert out.read_text() == page.text()
    titles = [line for line in page.text().splitlines() if line.startswith("#")]
    assert titles == ["# Result on a GPU", "## first", "## second"]


def test_parts_that_are_not_made_anew_stay(tmp_path: Path) -> None:
    out = tmp_path / "page.md"
    Page(out, ("first", "second"), ["an old machine"]).add("first", WELL)
    Page(out, ("first", "second"), ["an old machine"]).add("second", WELL)
    page = Page(out, ("first", "second"), ["a new machine"])
    page.add("first", BADLY)
    first, second = out.read_text().split("## ")[1:]
    assert "a new machine" in first and "| b | **failed** |" in first and "an old machine" not in first
    assert "an old machine" in second and "| a | passed |" in second
    assert not Page(out, ("first", "second"), []).failed  # by what others found


def test_tables_of_figures() -> None:
    rows = [Row("Speed", {"variant": "a", "ms": "1"}), Row("Speed", {"variant": "b", "images/s": "9"})]
    assert markdown([rows[0], WELL, rows[1]]) == [
        "| what |  | result |",
        "| --- | --- | --- |",
        "| a | passed | well |",
        "",
        "### Speed",
        "",
        "| variant | ms | images/s |",
        "| --- | --- | --- |",
        "| a | 1 |  |",
        "| b |  | 9 |",
        "",
    ]
