"""`fg-bench`: the speed of backends, the quality of fingerprints, the check of a GPU."""

from __future__ import annotations

import click

from fingergen.runtime.errors import command_line_errors

from .gpu.command import gpu
from .quality.command import quality
from .quality.minutiae_parity import minutiae
from .quality.proof import proof
from .speed.command import speed


class SpeedByDefault(click.Group):
    """Arguments that begin with no subcommand are those of `speed`, as they were before there were others."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click has it, with `speed` put before arguments that name no subcommand."""
        if not args or args[0] not in (*self.commands, *ctx.help_option_names, "--version"):
            args = ["speed", *args]
        return super().parse_args(ctx, args)


@command_line_errors
@click.group(cls=SpeedByDefault, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fingergen")
def main() -> None:
    """Measure a bundle: how fast it runs, how good its fingerprints are, what a GPU makes of it.

    \b
    Examples:
      fg-bench speed finger --batch 1,8,64
      fg-bench quality finger real-scans
      fg-bench gpu --out docs/gpu_result.md
    """


for command in (speed, quality, minutiae, proof, gpu):
    main.add_command(command)

if __name__ == "__main__":
    main()
