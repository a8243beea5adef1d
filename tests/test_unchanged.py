"""What users already have stays as it is: pixels of seeds, fields of manifests, help texts.

The expected values lie in `tests/data/unchanged/` and `tests/data/help/`. To change them on purpose:

    python -m tests.test_unchanged help      # rewrites every help text
    python -m tests.test_unchanged images    # rewrites the images and the manifests

Look at what `git diff` shows and say in the commit message why users get something else.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner

import fingergen.runtime as fgr
from fingergen import cpp_ops
from fingergen.benchmarks.cli import main as fg_bench
from fingergen.export.cli import main as fg_export
from fingergen.runtime.cli import main as fg_run
from fingergen.runtime.minutiae import read_template
from fingergen.training.cli import main as fg_train
from fingergen.training.networks import Generator

from .reference.fill import fill

DATA = Path(__file__).with_name("data")
IMAGES = DATA / "unchanged" / "images.npz"
MANIFESTS = DATA / "unchanged" / "manifests.json"
HELP = DATA / "help"
PROGRAMS = {"fg-run": fg_run, "fg-train": fg_train, "fg-export": fg_export, "fg-bench": fg_bench}

SIDE = 32  # blocks a side: the images are stored as the means of SIDE x SIDE blocks
TOLERANCE = 0.5  # levels; processors of another kind round float32 sums otherwise
STANDARD = 3.0  # levels, by standard operators: they round otherwise, and a finger's pores lie elsewhere


def published_bundle(out: Path) -> Path:
    """A bundle of a checkpoint in the published format, with weights that depend on their names alone."""
    network = Generator(
        resolution=32, channels=1, style_dim=32, n_mlp=2, channel_base=256, channel_max=16
    ).state_dict()
    kernels = {key: value.numpy() for key, value in network.items() if key.endswith("kernel")}
    weights = fill({key: list(value.shape) for key, value in network.items()}, keep=kernels)
    checkpoint = out.with_suffix(".pt")
    torch.save({"g_ema": {key: torch.from_numpy(value) for key, value in weights.items()}}, checkpoint)
    result = CliRunner().invoke(fg_export, [str(checkpoint), "--out", str(out)])
    assert result.exit_code == 0, result.output
    return out


def block_means(images: np.ndarray) -> np.ndarray:
    """Images uint8 (N, S, S) → float32 (N, SIDE, SIDE)."""
    block = images.shape[1] // SIDE
    return images.reshape(-1, SIDE, block, SIDE, block).mean((2, 4), dtype=np.float32)


def images_of(name: str, model: fgr.Model) -> dict[str, Callable[[], np.ndarray]]:
    """Every image that must stay, by its name in the stored file."""
    seeds = [3, 4]
    images: dict[str, Callable[[], np.ndarray]] = {
        "synthesize": lambda: model.synthesize(seeds),
        "truncation": lambda: model.synthesize(seeds, truncation=0.5),
        "const": lambda: model.synthesize(seeds, noise="const"),
        "none": lambda: model.synthesize(seeds, noise="none"),
        "mix": lambda: model.synthesize(seeds, mix_seeds=8, mix_layers=range(4)),
        "edit": lambda: np.concatenate(
            model.edit(model.map(model.z(seeds)), index=0, degree=5.0, seeds=seeds)
        ),
    }
    if name == "demo":
        template = read_template(DATA / "minutiae" / "sample.json")
        images["reconstruct"] = lambda: model.reconstruct(template)
    return {f"{name}.{operation}": make for operation, make in images.items()}


def commands(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The command and all commands below it, each as its words."""
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in sorted(command.list_commands(context)):
            sub = command.get_command(context, name)
            if sub is not None and not sub.hidden:
                yield from commands(sub, (*path, name))


COMMANDS = [words for program, main in PROGRAMS.items() for words in commands(main, (program,))]


def help_text(words: tuple[str, ...]) -> str:
    result = CliRunner().invoke(PROGRAMS[words[0]], [*words[1:], "--help"], prog_name=words[0])
    assert result.exit_code == 0, result.output
    return result.output


def manifest_of(model: fgr.Model) -> dict[str, Any]:
    """The manifest without what depends on the machine and the day: values of provenance, tools and files."""
    content = model.bundle.manifest.to_json()
    content["parity"] = {graph: sorted(figures) for graph, figures in content["parity"].items()}
    for field in ("provenance", "tools", "files"):
        content[field] = sorted(content[field])
    return content


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, fgr.Model]]:
    published = published_bundle(tmp_path_factory.mktemp("published") / "bundle")
    with fgr.load(backend="onnxruntime") as demo, fgr.load(published, backend="onnxruntime") as other:
        yield {"demo": demo, "published": other}


@pytest.mark.parametrize("name", ["demo", "published"])
def test_images(name: str, models: dict[str, fgr.Model]):
    with np.load(IMAGES) as stored:
        expected = {key: stored[key] for key in stored.files if key.startswith(f"{name}.")}
    made = images_of(name, models[name])
    assert set(made) == set(expected)
    tolerance = TOLERANCE if cpp_ops.status("onnxruntime").path else STANDARD
    for key, make in made.items():
        difference = np.abs(block_means(make()) - expected[key]).max()
        assert difference <= tolerance, f"{key}: a block differs by {difference:.1f} levels ({__doc__})"


@pytest.mark.parametrize("name", ["demo", "published"])
def test_manifest(name: str, models: dict[str, fgr.Model]):
    assert manifest_of(models[name]) == json.loads(MANIFESTS.read_text(encoding="utf-8"))[name]


@pytest.mark.parametrize("words", COMMANDS, ids="-".join)
def test_help(words: tuple[str, ...]):
    """Words and their order; line breaks are click's affair."""
    path = HELP / f"{'-'.join(words)}.txt"
    assert path.is_file(), f"{path.name} is missing: python -m tests.test_unchanged help"
    assert help_text(words).split() == path.read_text(encoding="utf-8").split(), (
        f"`{' '.join(words)} --help` is not {path.name}. Where meant: python -m tests.test_unchanged help"
    )


def test_no_help_text_is_left_over():
    assert {path.stem for path in HELP.glob("*.txt")} == {"-".join(words) for words in COMMANDS}


def rewrite_help() -> None:
    HELP.mkdir(exist_ok=True)
    for path in HELP.glob("*.txt"):
        path.unlink()
    for words in COMMANDS:
        (HELP / f"{'-'.join(words)}.txt").write_text(help_text(words), encoding="utf-8")


def rewrite_images() -> None:
    IMAGES.parent.mkdir(exist_ok=True)
    images, manifests = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for name, path in (("demo", None), ("published", published_bundle(Path(folder) / "bundle"))):
            with fgr.load(path, backend="onnxruntime") as model:
                for key, make in images_of(name, model).items():
                    images[key] = block_means(make()).astype(np.float16)  # within 1/16 level
                manifests[name] = manifest_of(model)
    np.savez_compressed(IMAGES, **images)
    MANIFESTS.write_text(json.dumps(manifests, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    {"help": rewrite_help, "images": rewrite_images}[sys.argv[1]]()
