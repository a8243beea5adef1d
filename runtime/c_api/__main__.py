"""Prints what builds and programs need to find libfingergen; see the package."""

import click

from ..errors import command_line_errors
from . import FOLDER, PKG_CONFIG, onnxruntime_library


@command_line_errors
@click.command()
@click.option("--pkg-config", is_flag=True, help="Print the folder for PKG_CONFIG_PATH.")
@click.option("--onnxruntime", is_flag=True, help="Print the library for FINGERGEN_ONNXRUNTIME.")
def main(pkg_config: bool, onnxruntime: bool) -> None:
    """Print the folder for CMAKE_PREFIX_PATH, or what an option says."""
    click.echo(onnxruntime_library() if onnxruntime else PKG_CONFIG if pkg_config else FOLDER)


if __name__ == "__main__":
    main()
