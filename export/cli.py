"""`fg-export`: checkpoints to a bundle."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import click
from fingergen.runtime.errors import BadInput, command_line_errors

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"  # as the bundle's schema has it
EXAMPLES = """
\b
Examples:
  fg-export generator.pt --out finger
  fg-export generator.pt reconstruction.pt --out finger --name my-fingers
  fg-export generator.pt --out small-sensor --ppi 500
  fg-export generator.pt --out openvino --ops native
"""


@command_line_errors
@click.command(epilog=EXAMPLES)
@click.argument(
    "checkpoints",
    metavar="CHECKPOINT...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Bundle directory to write.")
@click.option("--name", help="Name of the bundle.  [default: that of the directory]")
@click.option(
    "--ppi",
    type=click.FloatRange(1, 10000),
    help="Pixels per inch of the network's images.  [default: the checkpoint's, else 250]",
)
@click.option(
    "--output-size",
    type=click.IntRange(8, 8192),
    help="Pixels a side that fg-run resizes images to.  [default: what gives 500 ppi]",
)
@click.option(
    "--output-ppi",
    type=click.FloatRange(1, 10000),
    help="Pixels per inch that fg-run resizes images to, instead of --output-size.  [default: 500]",
)
@click.option(
    "--map-size",
    type=click.IntRange(16, 8192),
    help="Pixels a side of the encoder's minutiae maps.  [default: the checkpoint's, else the images' size]",
)
@click.option(
    "--ops",
    type=click.Choice(["custom", "native"]),
    default="custom",
    show_default=True,
    help="Custom nodes with a standard form in the same file, or standard operators only (OpenVINO).",
)
@click.option("--overwrite", is_flag=True, help="Replace the bundle at --out.")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
@click.version_option(package_name="fingergen", prog_name="fg-export")
def main(
    checkpoints: tuple[Path, ...], out: Path, name: str | None, overwrite: bool, as_json: bool, **options: Any
) -> None:
    """Export a generator checkpoint, a reconstruction checkpoint or both to a bundle.

    Ours, SynFing's and rosinality's formats are read. Each ONNX graph is compared with PyTorch; nothing is
    written if one differs.
    """
    if options["output_size"] and options["output_ppi"]:
        raise click.UsageError("--output-size and --output-ppi: give one, the other follows from --ppi")
    if out.exists() and not overwrite:  # told before the work, not after
        raise BadInput(f"{out}: exists already (pass --overwrite to replace it)")
    name = name or out.resolve().name
    if not re.fullmatch(NAME, name):
        raise BadInput(f"--name {name!r}: letters, digits, dots, dashes and underscores only, at most 100")

    from .bundle import Options, export_bundle  # here: it imports PyTorch, which --help need not wait for

    manifest = export_bundle(
        checkpoints,
        out,
        Options(name, **options),
        overwrite,
        show_progress,
    )
    if as_json:
        click.echo(json.dumps(manifest.to_json(), indent=2))
        return
    for file, record in manifest.files.items():
        figures = manifest.parity.get(file.removesuffix(".onnx"), {})
        error = f"  max error {figures['max_abs_error']:.1e} of {figures['scale']:.3g}" if figures else ""
        click.echo(f"{file:15} {record.bytes / 1e6:8.1f} MB{error}")
    click.echo(f"bundle {manifest.name}: {out}")


def show_progress(step: str, done: int = 0, total: int = 0) -> None:
    """A line a step on stderr, which counts up on a terminal."""
    if total == 0 or not sys.stderr.isatty():
        if done == 0:
            click.echo(f"{step} …", err=True)
        return
    click.echo(f"\r{step}: {done} of {total}", nl=done == total, err=True)
