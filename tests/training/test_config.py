"""Configuration files: what they give, what the command line overrides, and their mistakes."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from fingergen.runtime.cli.kit import RenamedOption
from fingergen.runtime.errors import BadInput, BadOption, command_line_errors
from fingergen.training.cli import main as fg_train
from fingergen.training.config import ConfigurableCommand
from fingergen.training.options import config_options, setting
from fingergen.training.trainers.encoder_config import EncoderConfig
from fingergen.training.trainers.generator_config import GeneratorConfig


@dataclass(frozen=True)
class Settings:
    """A trainer's configuration in small."""

    resolution: int = setting(256, "a power of two")
    learning_rate: float = setting(0.002, "of Adam")
    depth: str = setting("deep", "of the trunk")
    w_plus: bool = setting(False, "a w for every layer")

    def __post_init__(self) -> None:
        if self.resolution & (self.resolution - 1):
            raise BadOption("resolution", self.resolution, "must be a power of two")


def run(*words: object) -> tuple[Result, dict[str, Any]]:
    """Run a command with these words; what it got."""
    got: dict[str, Any] = {}

    @click.command(cls=ConfigurableCommand)
    @click.option("--out", "folder", type=click.Path(path_type=Path), required=True, help="run folder")
    @click.option("--count", type=click.IntRange(min=1), help="how many")
    @click.option("--kind", type=click.Choice(["a", "b"]), default="a", show_default=True)
    @click.option("--size", type=(int, int), default=(3, 4))
    @click.option("--also", multiple=True, type=int)
    @click.option("--workers", type=int, default=7, show_default="CPU cores")
    @config_options(Settings)
    def command(**values: Any) -> None:
        got.update(values)
        Settings(**{name: values[name] for name in ("resolution", "learning_rate", "depth", "w_plus")})

    program = command_line_errors(command)
    return CliRunner().invoke(program, [str(word) for word in words], prog_name="fg"), got


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_file_gives_options(tmp_path):
    text = """
        out: runs/a
        count: 12
        kind: b
        size: [5, 6]
        also: [1, 2]
        learning_rate: 1e-3
        w-plus: true
    """
    result, got = run("--config", write(tmp_path / "run.yaml", text))
    assert result.exit_code == 0, result.output
    assert got == {
        "folder": Path("runs/a"),
        "count": 12,
        "kind": "b",
        "size": (5, 6),
        "also": (1, 2),
        "workers": 7,
        "resolution": 256,
        "learning_rate": 0.001,
        "depth": "deep",
        "w_plus": True,
    }


def test_the_command_line_goes_first(tmp_path):
    file = write(tmp_path / "run.yaml", "out: a\ncount: 12\nkind: b\nw_plus: true")
    _, got = run("--count", 3, "--no-w-plus", "--config", file)
    assert (got["count"], got["kind"], got["w_plus"]) == (3, "b", False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resolutoin: 3", "run.yaml: 'resolutoin' is not an option of fg: did you mean 'resolution'?"),
        ("folder: x", "run.yaml: 'folder' is not an option of fg"),  # the parameter, not the option
        ("config: x", "run.yaml: 'config' is not an option of fg"),
        ("zzz: 3", "run.yaml: 'zzz' is not an option of fg: --write-config shows them all"),
        ("resolution: many", "run.yaml: resolution: 'many' is not a valid integer"),
        ("resolution: 8.5", "run.yaml: resolution: '8.5' is not a valid integer"),
        ("resolution: true", "run.yaml: resolution: must be a single value, not true or false"),
        ("resolution: [8]", "run.yaml: resolution: must be a single value, not a list"),
        ("resolution:", "run.yaml: resolution: has no value"),
        ("resolution: 100", "run.yaml: resolution 100: must be a power of two"),
        ("count: 0", "run.yaml: count: 0 is not in the range x>=1"),
        ("kind: c", "run.yaml: kind: 'c' is not one of 'a', 'b'"),
        ("size: 3", "run.yaml: size: must be a list, not 3"),
        ("size: [3]", "run.yaml: size: "),
        ("w_plus: 1", "run.yaml: w_plus: must be true or false, not 1"),
        ("count: 1\ncount: 2", "run.yaml: line 2: 'count' occurs twice"),
        ("w-plus: true\nw_plus: false", "run.yaml: line 2: 'w_plus' occurs twice"),
        ("? [1, 2]\n: 3", "run.yaml: line 1: a key must be a name"),
        ("count: " + "[" * 2000, "run.yaml: not YAML of options (nested too deeply)"),
        ("count: [1", "run.yaml: line 2: expected ','"),
        ("- count", "run.yaml: must contain lines of the form 'option: value'"),
        ("count: !!python/object/apply:os.getcwd []", "run.yaml: line 1: could not determine a constructor"),
        ("count: 1", "Missing option '--out'"),
    ],
)
def test_a_mistake_gets_one_line(tmp_path, text, message):
    start = "" if "--out" in message or text.startswith("-") else "out: x\n"
    # What stands before must not move the lines that messages name.
    content = f"{text}\n{start}" if "line" in message else f"{start}{text}\n"
    result, _ = run("--config", write(tmp_path / "run.yaml", content))
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_mistake_on_the_command_line_is_not_blamed_on_the_file(tmp_path):
    result, _ = run("--config", write(tmp_path / "run.yaml", "out: x\ncount: 3"), "--resolution", 100)
    assert "error: --resolution 100: must be a power of two" in result.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("# caf\u00e9\nout: x".encode("latin-1"), "run.yaml: not UTF-8 text (byte 6); save it as UTF-8"),
        ("out: x".encode("utf-16"), "run.yaml: not UTF-8 text (byte 1); save it as UTF-8"),
        (b"out: x\x00", "run.yaml: not YAML (unacceptable character"),
    ],
)
def test_a_file_that_is_no_text(tmp_path, content, message):
    (tmp_path / "run.yaml").write_bytes(content)
    result, _ = run("--config", tmp_path / "run.yaml")
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_file_that_is_not_there(tmp_path):
    result, _ = run("--config", tmp_path / "none.yaml")
    assert result.exit_code == 2
    assert "none.yaml: cannot be read (No such file or directory)" in result.stderr


def test_a_written_file_documents_every_option_and_gives_the_defaults(tmp_path):
    file = tmp_path / "run.yaml"
    result, got = run("--write-config", file)
    assert result.exit_code == 0 and got == {}
    text = file.read_text()
    for line in ("# out: PATH", "# count: INTEGER RANGE", "kind: a", "# workers: INTEGER", "w_plus: false"):
        assert line in text.splitlines()
    for words in ("run folder  [required]", "of the trunk  [default: deep]", "a power of two"):
        assert words in text
    result, from_file = run("--config", file, "--out", "x")
    assert result.exit_code == 0, result.output
    assert from_file == run("--out", "x")[1]
    result, _ = run("--write-config", file)  # not over what is there
    assert result.exit_code == 2 and "is there already" in result.stderr


@pytest.mark.parametrize("command", sorted(fg_train.commands))
def test_every_command_writes_a_file_that_it_reads(tmp_path, command):
    file = tmp_path / "run.yaml"
    assert CliRunner().invoke(fg_train, [command, "--write-config", str(file)]).exit_code == 0
    assert yaml.safe_load(file.read_text())
    result = CliRunner().invoke(fg_train, [command, "--config", str(file), "--no-such-option"])
    assert "No such option" in result.stderr  # and not a complaint about the file
    text = file.read_text().replace("\n# out: PATH", f"\nout: {tmp_path / 'out'}\nseeed: 3")
    result = CliRunner().invoke(fg_train, [command, "--config", str(write(tmp_path / "typo.yaml", text))])
    assert result.exit_code == 2
    assert "typo.yaml: 'seeed' is not an option of" in result.stderr


@pytest.mark.parametrize(
    ("config", "values", "message"),
    [
        (GeneratorConfig, {"learning_rate": float("nan")}, "--learning-rate nan: must be a finite number"),
        (GeneratorConfig, {"path_weight": -1.0}, "--path-weight -1.0: must be 0 or more"),
        (GeneratorConfig, {"seed": -1}, "--seed -1: must be 0 or more, less than 2^64"),
        (GeneratorConfig, {"seed": 2**64}, "must be 0 or more, less than 2^64"),
        (GeneratorConfig, {"resolution": 2**20}, "--resolution 1048576: must be a power of two, 8 to 4096"),
        (
            GeneratorConfig,
            {"channel_base": 128},
            "--channel-base 128: must not be less than --resolution 256",
        ),
        (GeneratorConfig, {"style_dim": 10**11}, "--style-dim 100000000000: must be 1 to 4096"),
        (GeneratorConfig, {"batch": 10**24}, "--batch 1000000000000000000000000: must be 1 to 65536"),
        (GeneratorConfig, {"n_mlp": 4096}, "--n-mlp 4096: must be 1 to 64"),
        (EncoderConfig, {"batch": 10**24}, "--batch 1000000000000000000000000: must be 1 to 65536"),
        (GeneratorConfig, {"accumulate": 0}, "--accumulate 0: must be 1 or more"),
        (EncoderConfig, {"l2_weight": float("inf")}, "--l2-weight inf: must be a finite number"),
        (EncoderConfig, {"decoder_rate": -0.1}, "--decoder-rate -0.1: must be 0 or more"),
        (EncoderConfig, {"width": 10**6}, "--width 1000000: must be 1 to 1024"),
        (EncoderConfig, {"map_size": 10**9}, "--map-size 1000000000: must be 16 to 8192"),
    ],
)
def test_impossible_numbers_are_refused_before_any_work(config, values, message):
    with pytest.raises(BadInput, match=re.escape(message)):
        config(**values)


def test_numbers_that_may_be_negative_or_large():
    assert GeneratorConfig(ada_target=-0.5, seed=2**64 - 1).ada_target == -0.5


@pytest.mark.parametrize("words", [["--data", "none"], ["--fingers", "2", "--window", "100"]])
def test_no_bar_stands_beside_the_line_in_a_log(tmp_path, words):
    result = CliRunner().invoke(fg_train, ["generator", *words, "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("generator --data d --window 128", "--window 128: has no effect without --fingers"),
        ("generator --data d --masters m", "--masters m: has no effect without --fingers"),
        ("generator --fingers 2 --ppi 500", "--ppi 500: has no effect without --data"),
        ("encoder --generator g --data d --masters m", "--masters m: has no effect without --fingers"),
        ("generator --data d --window 512", "d: no such folder"),  # as a written file says
    ],
)
def test_options_without_effect_are_refused(tmp_path, words, message):
    result = CliRunner().invoke(fg_train, [*words.split(), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


def test_masters_in_the_place_of_a_file(tmp_path):
    file = write(tmp_path / "file", "")
    words = ["--fingers", "2", "--window", "256", "--masters", str(file), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(fg_train, ["generator", *words])
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].endswith(
        f"--masters {file}: cannot be made (File exists); choose another"
    )


def test_a_file_may_use_the_former_name_of_an_option(tmp_path):
    @click.command(cls=ConfigurableCommand)
    @click.option("--processes", "--workers", "processes", cls=RenamedOption, type=int, default=7)
    def command(processes: int) -> None:
        click.echo(processes)

    for words in (
        ["--config", write(tmp_path / "run.yaml", "workers: 3\n")],
        ["--workers", 3],
        ["--processes", 3],
    ):
        result = CliRunner().invoke(command, [str(word) for word in words])
        assert result.output == "3\n", result.output
    shown = CliRunner().invoke(command, ["--help"]).output
    assert "--processes" in shown and "--workers" not in shown
