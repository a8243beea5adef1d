"""`fg-train`: make training data, train the generator and the encoder."""

import sys

import click

from fingergen.runtime.errors import command_line_errors, missing_package

try:
    from .commands.encoder import encoder
    from .commands.generator import generator
    from .commands.prepare import prepare
    from .commands.synthesize_data import synthesize_data
except ModuleNotFoundError as error:  # the runtime is installed alone; the program is there all the same
    if (error.name or "").startswith("fingergen"):
        raise
    sys.exit(f"fg-train: error: {missing_package('fg-train', error)}")


@command_line_errors
@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fingergen")
def main() -> None:
    """Train a generator of synthetic fingerprints."""


for command in (synthesize_data, prepare, generator, encoder):
    main.add_command(command)
