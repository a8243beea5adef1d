"""No text of a file or of its name is obeyed by the terminal: escape sequences are shown as text."""

import warnings
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from fingergen.benchmarks.cli import main as fg_bench
from fingergen.export.cli import main as fg_export
from fingergen.runtime.cli import main as fg_run
from fingergen.runtime.errors import command_line_errors
from fingergen.runtime.minutiae import Minutia, Template, write_template
from fingergen.training.cli import main as fg_train
from fingergen.training.data.pairs import fingers_of

from .tiny_bundle import write_tiny_bundle

EVIL = "\x1b[31mevil\x1b]0;title\x07\x9b\n\u202etxt"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose name and whose files' names have escape sequences."""
    folder = tmp_path_factory.mktemp("names") / EVIL
    folder.mkdir()
    write_tiny_bundle(folder / "bundle", name="tiny")
    template = Template(64, 64, 500, tuple(Minutia(8 + 9 * i, 50 - 6 * i, 40 * i) for i in range(6)))
    write_template(folder / f"{EVIL}.json", template)
    write_template(folder / "few.json", Template(64, 64, 500, template.minutiae[:2]))
    (folder / f"{EVIL}b.xyt").write_text(f"{EVIL}\n")
    (folder / "scans").mkdir()
    for number in (1, 2):
        Image.effect_noise((200, 200), 90).save(folder / "scans" / f"a_{number}.png", dpi=(500, 500))
    (folder / "scans" / f"x.{EVIL}").touch()
    (folder / "scans" / f"{EVIL}.png").touch()
    return folder


def run(program: click.Command, *words: object) -> Result:
    """As on a terminal: click takes escape sequences out where there is none."""
    result = CliRunner().invoke(program, list(map(str, words)), color=True)
    seen = result.stdout + result.stderr
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(seen.replace("\x1b[1m", "").replace("\x1b[0m", "")), (
        seen
    )
    return result


def line_of(text: str) -> None:
    """The name is shown, on one line."""
    assert any(
        r"\x1b[31mevil\x1b]0;title\x07\x9b" in line and r"\u202etxt" in line for line in text.splitlines()
    )


def test_fg_run(folder: Path, tmp_path: Path):
    bundle = ("--bundle", folder / "bundle")
    out = tmp_path / EVIL
    line_of(run(fg_run, "info", *bundle).stdout)
    synth = run(fg_run, "synth", "--seeds", "0-1", "--out", out, "--grid", out / "g.png", *bundle)
    assert len([line for line in synth.stdout.splitlines() if "title" in line]) == 2
    line_of(run(fg_run, "synth", "--seeds", "0-1", "--out", out, *bundle).stderr)
    templates = [folder / f"{EVIL}.json", folder / f"{EVIL}b.xyt", folder / "few.json"]
    made = run(fg_run, "reconstruct", *templates, "--out", out / "r", *bundle)
    assert made.exit_code == 3
    line_of(made.stdout)
    line_of(made.stderr)
    made = run(fg_run, "edit", templates[0], "--index", 0, "--out", out / "e", *bundle)
    line_of(made.stdout)
    made = run(fg_run, "convert", *templates, "--to", "xyt", "--out", out / "c")
    assert made.exit_code == 3
    line_of(made.stdout)
    line_of(made.stderr)


def test_fg_run_dataset(folder: Path, tmp_path: Path):
    out = tmp_path / EVIL
    words = ("dataset", "--fingers", 1, "--impressions", 2, "--out", out, "--grid", tmp_path / f"{EVIL}.png")
    made = run(fg_run, *words, "--bundle", folder / "bundle")
    assert len([line for line in made.stdout.splitlines() if "title" in line]) == 2
    line_of(run(fg_run, "dataset", "--verify", "--out", out).stdout)
    (out / "images" / "x").parent.mkdir(exist_ok=True)
    next(out.rglob("*.png")).write_bytes(b"")
    assert run(fg_run, "dataset", "--verify", "--out", out).exit_code == 3


def test_fg_train(folder: Path, tmp_path: Path):
    out = tmp_path / EVIL
    made = run(fg_train, "prepare", folder / "scans", "--out", out, "--size", 128, "--extractor", "none")
    line_of(made.stderr)
    made = run(fg_train, "synthesize-data", "--out", out / "s", "--fingers", 1, "--impressions", 1)
    assert made.exit_code == 0
    line_of(made.stdout)
    line_of(run(fg_train, "generator", "--data", out / "no", "--out", out / "run").stderr)
    line_of(run(fg_train, "generator", "--data", "d", "--out", out, "--write-config", out / "c.yaml").stdout)


def test_fg_export(folder: Path, tmp_path: Path):
    line_of(run(fg_export, folder / "bundle", "--triton", tmp_path / EVIL).stderr)
    line_of(run(fg_export, folder / f"{EVIL}b.xyt", "--out", tmp_path / "out").stderr)


def test_fg_bench(folder: Path):
    line_of(run(fg_bench, "quality", folder / "bundle" / "nothing").stderr)


def test_warnings_of_python_code(folder: Path):
    """Such as that names of images state no finger."""

    @command_line_errors
    @click.command()
    def program() -> None:
        fingers_of(folder, [EVIL])

    with warnings.catch_warnings():
        shown = warnings.showwarning
        try:
            result = run(program)
        finally:
            warnings.showwarning = shown
    line_of(result.stderr)
    (line,) = result.stderr.splitlines()
    assert line.startswith("warning: ") and "pairs.py" not in line
