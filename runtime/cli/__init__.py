"""`fg-run`: fingerprints from a bundle, without Python."""

from __future__ import annotations

import gc
import os
from importlib import import_module

import click

from ..errors import command_line_errors

# Before NumPy is imported, whose OpenBLAS starts a thread per core then: that takes longer than threads could
# gain in the small products here.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# A start makes some 40,000 objects, nearly all of which stay; Python would look for garbage after every 700.
gc.set_threshold(50_000)

COMMANDS = ("synth", "reconstruct", "edit", "dataset", "convert", "studio", "info")
"""Each is the function of this name in the module of this name."""


class _Group(click.Group):
    """Imports a command when it is run, or shown by --help: none waits for what only another needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f".{cmd_name}", __name__), cmd_name)
        return command


@command_line_errors
@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fingergen")
def main() -> None:
    """Run a bundle: synthetic fingerprints, reconstructions and edits.

    \b
    Examples:
      fg-run synth --seeds 0-15 --grid sheet.png
      fg-run reconstruct finger.xyt --out prints
      fg-run edit --seeds 7 --index 0 --degree 5 --out edits
      fg-run dataset --fingers 1000 --impressions 4 --out set
      fg-run convert prints/*.png --to wsq --out wsq
      fg-run studio
      fg-run info
    """
