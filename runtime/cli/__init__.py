"""`fg-run`: fingerprints from a bundle, without Python."""

from __future__ import annotations

import click

from ..errors import command_line_errors
from .convert import convert
from .dataset import dataset
from .edit import edit
from .info import info
from .reconstruct import reconstruct
from .studio import studio
from .synth import synth


@command_line_errors
@click.group(context_settings={"help_option_names": ["-h", "--help"]})
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


for command in (synth, reconstruct, edit, dataset, convert, studio, info):
    main.add_command(command)
