"""`fg-export`: checkpoints to a bundle."""

from __future__ import annotations

import json
import re
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import click

from fingergen.runtime.bundle import check_replaceable
from fingergen.runtime.bundle.bundle import DEMO
from fingergen.runtime.bundle.manifest import NoiseMode, Recommended
from fingergen.runtime.cli.kit import Number
from fingergen.runtime.cli.progress import ended_by_sigterm
from fingergen.runtime.errors import BadInput, command_line_errors, say, visible

from .report import lines
from .triton import check_repository, write_model_repository

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fingergen.runtime.backends import Precision
    from fingergen.runtime.bundle.manifest import Manifest

    from .engines import EngineOptions
    from .engines.target import EngineOps

RECOMMENDED = ("truncation", "noise", "edit_from")
CHECKPOINT_OPTIONS = ("ppi", "output_size", "output_ppi", "map_size", *RECOMMENDED)
ENGINE_OPTIONS = ("flavor", "batch", "gpu", "embed_plugins", "timing_cache")
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"  # as the bundle's schema has it
EXAMPLES = """
\b
Examples:
  fg-export generator.pt --out finger
  fg-export generator.pt reconstruction.pt --out finger --name my-fingers
  fg-export adapted/state.pt demo --out my-sensor
  fg-export generator.pt --out small-sensor --ppi 500
  fg-export generator.pt --out openvino --ops native
  fg-export generator.pt --out varied --truncation 0.7 --noise random
  fg-export generator.pt --out gpu --precision fp16
  fg-export generator.pt --out rtx --engine fp16 --batch 1,16,64 --gpu sm_89,sm_120
  fg-export gpu --out gpu --overwrite --engine fp16
  fg-export finger --triton models
  fg-export tune finger
"""
TUNE_EXAMPLES = """
\b
Examples:
  fg-export tune finger
  fg-export tune finger --batch 1,16,64 --seconds 120
"""


@click.command(epilog=TUNE_EXAMPLES)
@click.argument("bundle", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--batch", default="1,2,4,8", show_default=True, help="Images per call.")
@click.option(
    "--seconds",
    type=Number(0, 1e6),
    default=30.0,
    show_default=True,
    help="Begin no further round after this long; three are made at least.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@ended_by_sigterm("the bundle is whole; run the command again")
def tune(bundle: Path, batch: str, seconds: float, as_json: bool) -> None:
    """Find what runs a bundle fastest on this machine, and write it into the bundle.

    Every backend, precision and batch size that is here is timed, all in the same rounds. What gives wrong
    images is refused. From then on `--backend auto` takes the fastest on this kind of device.
    """
    if not re.fullmatch(r"\d{1,4}(,\d{1,4}){0,15}", batch, re.ASCII) or 0 in map(int, batch.split(",")):
        raise BadInput(f"--batch {batch!r}: give batch sizes, such as 1,8,64")
    from .tune import tune as find  # here: --help need not wait for it

    trials, tuned = find(bundle, sorted(set(map(int, batch.split(",")))), seconds, Progress())
    if as_json:
        content = {"tuned": tuned._asdict(), "trials": [asdict(trial) for trial in trials]}
        click.echo(json.dumps(content, indent=2))
        return
    for trial in trials:
        what = f"{trial.backend} {trial.precision}"
        rate = f", batch {trial.batch}: {trial.images_per_second:.1f} images/s"
        say(f"{what}: {trial.refused}" if trial.refused else f"{what}{rate}")
    say(f"bundle {bundle}: {tuned.backend} {tuned.precision} in batches of {tuned.batch}, on {tuned.device}")


class _Source(click.Path):
    """A file or a folder that is there, or `demo`, the packaged bundle."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "demo" and not Path(value).exists():
            value = str(DEMO)
        return super().convert(value, param, ctx)


class _Program(click.Command):
    """With `tune` as its first word it is another command: all else are names of checkpoints or a bundle."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args[:1] == [tune.name]:
            return tune.make_context(f"{info_name} {tune.name}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)


@command_line_errors
@click.command(cls=_Program, epilog=EXAMPLES)
@click.argument(
    "checkpoints",
    metavar="CHECKPOINT... [BUNDLE] | BUNDLE",
    nargs=-1,
    required=True,
    type=_Source(exists=True, path_type=Path),
)
@click.option("--out", type=click.Path(path_type=Path), help="Bundle directory to write.")
@click.option(
    "--triton",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Write a model repository for NVIDIA Triton Inference Server too, with a copy of the bundle. With a"
    " BUNDLE, --out can be left out.",
)
@click.option("--name", help="Name of the bundle.  [default: that of the directory]")
@click.option(
    "--ppi",
    type=Number(1, 10000),
    help="Pixels per inch of the network's images.  [default: the checkpoint's, else that"
    " of images that show as much as 256 px of 250 ppi, as the published ones do]",
)
@click.option(
    "--output-size",
    type=click.IntRange(8, 8192),
    help="Side in pixels that fg-run resizes images to.  [default: what gives 500 ppi]",
)
@click.option(
    "--output-ppi",
    type=Number(1, 10000),
    help="Pixels per inch of the images that fg-run writes, instead of --output-size.  [default: 500]",
)
@click.option(
    "--map-size",
    type=click.IntRange(16, 8192),
    help="Side in pixels of the encoder's minutiae maps.  [default: the checkpoint's, else 256]",
)
@click.option(
    "--truncation",
    type=Number(-10, 10),
    help="Truncation that the bundle recommends: what fg-run uses where none is given.  [default: 1]",
)
@click.option(
    "--noise",
    type=click.Choice(get_args(NoiseMode)),
    help="Noise that the bundle recommends; random gives each seed ridges of its own where noise says where"
    " ridges run.  [default: ridges where the checkpoint was trained with them, else const]",
)
@click.option(
    "--edit-from",
    type=click.IntRange(min=0),
    metavar="LAYER",
    help="First style input that the bundle recommends to edit: one from which on edits change how a finger"
    " looks, not its pattern.  [default: 0]",
)
@click.option(
    "--ops",
    type=click.Choice(["auto", "plugin", "native"]),
    default="auto",
    show_default=True,
    help="native: standard operators only (OpenVINO). Else graphs have custom nodes, with a standard form in"
    " the same file, and engines run them as plugins or, with auto, as what is faster: measured if there is a"
    " GPU, else standard operators.",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16"]),
    default="fp32",
    show_default=True,
    help="fp16 adds float16 graphs to the float32 ones.",
)
@click.option(
    "--check-seeds",
    type=click.IntRange(1, 100000),
    help="Seeds on which float16 is compared with float32 and activations are measured.  [default: 100, fewer"
    " where that would take minutes, such as 4 for a generator of SynFing's size]",
)
@click.option(
    "--engine", type=click.Choice(["fp32", "fp16"]), help="Build TensorRT engines in this precision."
)
@click.option(
    "--flavor",
    type=click.Choice(["auto", "tensorrt", "tensorrt-rtx"]),
    help="TensorRT product that builds engines.  [default: TensorRT if it and a GPU are here, else"
    " TensorRT-RTX]",
)
@click.option(
    "--batch", metavar="MIN,BEST,MAX", help="Batch sizes that engines are built for.  [default: 1,8,64]"
)
@click.option(
    "--gpu",
    metavar="SM,...",
    help="GPU architectures that engines are for, such as sm_89,sm_120.  [default: this machine's with"
    " TensorRT, all that it builds for with TensorRT-RTX]",
)
@click.option("--embed-plugins", is_flag=True, help="Put the plugin library into engines that need it.")
@click.option(
    "--timing-cache",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The builder's cache of kernel timings.  [default: one in the user's cache; none for TensorRT-RTX,"
    " which times nothing]",
)
@click.option("--overwrite", is_flag=True, help="Replace what is at --out and --triton.")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
@click.version_option(package_name="fingergen", prog_name="fg-export")
def main(
    checkpoints: tuple[Path, ...],
    out: Path | None,
    triton: Path | None,
    name: str | None,
    overwrite: bool,
    as_json: bool,
    ops: EngineOps,
    engine: Precision | None,
    **options: Any,
) -> None:
    """Export a generator checkpoint, a reconstruction checkpoint or both to a bundle.

    Ours, SynFing's and rosinality's formats are read. Each ONNX graph is compared with PyTorch; nothing is
    written if one differs.

    A BUNDLE beside the checkpoint of a generator with ridge noise lends it the network that reads templates;
    `demo` is the packaged bundle.

    Given a BUNDLE alone, write it with TensorRT engines (--engine), such as on the machine that they are for,
    or as a model repository (--triton): no checkpoint and no PyTorch are needed.
    """
    if triton is not None:
        check_repository(triton, overwrite)
    if out is None:
        if triton is None:
            raise click.UsageError("give --out DIR, or --triton DIR with a bundle")
        if len(checkpoints) > 1 or not checkpoints[0].is_dir():
            raise click.UsageError("--out: needed with checkpoints; --triton alone takes one bundle")
        _write_repository(checkpoints[0], triton, overwrite)
        return
    given = {option: options.pop(option) for option in ENGINE_OPTIONS}
    if engine is None and (extra := _named(given)):
        raise click.UsageError(f"{extra}: of use with --engine only")
    check_replaceable(out, overwrite)  # before the work, not after
    engine_options = _engine_options(engine, ops, **given) if engine else None
    bundles = sum(path.is_dir() for path in checkpoints)
    if bundles == len(checkpoints):
        of_checkpoints = {"name": name, "precision": options["precision"] != "fp32"}
        of_checkpoints |= {key: options[key] for key in CHECKPOINT_OPTIONS}
        if extra := _named(of_checkpoints):
            raise click.UsageError(f"{extra}: not with a bundle, which keeps what it has")
        if bundles > 1 or engine_options is None:
            raise click.UsageError(
                "a directory is taken for a bundle: give it alone, and --engine, or one beside checkpoints"
            )
        manifest = _add_engines(checkpoints[0], out, engine_options, overwrite)
    else:
        if bundles and engine_options is not None:
            raise click.UsageError(
                "--engine: not where a bundle lends a network; export first, then add engines to that"
            )
        form: Literal["native", "custom"] = "native" if ops == "native" else "custom"
        recommended = {key: value for key in RECOMMENDED if (value := options.pop(key)) is not None}
        options["recommended"] = Recommended(**recommended)
        options |= {"name": name or out.resolve().name, "ops": form, "engine": engine_options}
        manifest = _export(checkpoints, out, overwrite, options)
    if as_json:
        click.echo(json.dumps(manifest.to_json(), indent=2))
    else:
        for line in lines(manifest):
            say(line)
        say(f"bundle {manifest.name}: {out}")
    if triton is not None:
        _write_repository(out, triton, overwrite)


def _export(
    checkpoints: tuple[Path, ...], out: Path, overwrite: bool, options: Mapping[str, Any]
) -> Manifest:
    if options["output_size"] and options["output_ppi"]:
        raise click.UsageError("--output-size and --output-ppi: give one, the other follows from --ppi")
    if not re.fullmatch(NAME, options["name"]):
        raise BadInput(
            f"--name {options['name']!r}: letters, digits, dots, dashes and underscores only, at most 100"
        )

    from .exporter import Options, export_bundle  # here: it imports PyTorch, which --help need not wait for

    return export_bundle(checkpoints, out, Options(**options), overwrite, Progress())


def _write_repository(bundle: Path, triton: Path, overwrite: bool) -> None:
    models = write_model_repository(bundle, triton, overwrite)
    say(f"model repository for Triton: {triton} ({', '.join(models)})", err=True)


def _add_engines(bundle: Path, out: Path, options: EngineOptions, overwrite: bool) -> Manifest:
    from .engines import add_engines

    return add_engines(bundle, out, options, overwrite, Progress())


def _named(options: Mapping[str, Any]) -> str:
    """The options that were given, as the user writes them."""
    return ", ".join(f"--{key.replace('_', '-')}" for key, value in options.items() if value)


def _engine_options(
    precision: Precision,
    ops: EngineOps,
    flavor: str | None,
    batch: str | None,
    gpu: str | None,
    embed_plugins: bool,
    timing_cache: Path | None,
) -> EngineOptions:
    from .engines import EngineOptions

    given: dict[str, Any] = {}
    if flavor:
        given["flavor"] = flavor
    if batch:
        if not re.fullmatch(r"\d{1,5},\d{1,5},\d{1,5}", batch, re.ASCII):
            raise BadInput(f"--batch {batch!r}: give the smallest, best and largest batch, such as 1,8,64")
        given["batch"] = tuple(map(int, batch.split(",")))
    if gpu:
        given["architectures"] = tuple(dict.fromkeys(gpu.split(",")))
    return EngineOptions(
        precision=precision, ops=ops, embed_plugins=embed_plugins, timing_cache=timing_cache, **given
    )


class Progress:
    """A line per step on stderr; on a terminal a bar that says how long the step will yet take."""

    WIDTH = 24

    def __init__(self) -> None:
        self._began = 0.0

    def __call__(self, step: str, done: int = 0, total: int = 0) -> None:
        if done == 0:
            self._began = time.monotonic()
        if total == 0 or not sys.stderr.isatty():
            if done == 0:
                say(f"{step} …", err=True)
            return
        elapsed = time.monotonic() - self._began
        bar = "#" * (self.WIDTH * done // total)
        left = f", {elapsed / done * (total - done):.0f} s left" if done else ""
        end = f", {elapsed:.0f} s" if done == total else left
        line = f"\r\033[K{visible(step)} [{bar:{self.WIDTH}}] {done} of {total}{end}"
        click.echo(line, nl=done == total, err=True)
