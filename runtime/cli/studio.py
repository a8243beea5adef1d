"""`fg-run studio`: a page to look at what a bundle makes."""

from __future__ import annotations

import contextlib
import socket

import click

from ..errors import BadInput
from .kit import Running, running, warn


@click.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen at. The default is reached from this machine only; 0.0.0.0 from every other too.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0: any that is free."
)
@running
def studio(host: str, port: int, running: Running) -> None:
    """Serve a page to look at what a bundle makes; open the address that it prints in a browser.

    Seeds, sliders for the look, presets, reconstructions of templates that are dropped on the page, mated
    impressions beside each other with their score, downloads in every format. The page loads nothing from
    elsewhere, and reads no file but what is dropped on it. Ctrl-C ends it. Needs extra [serve].

    \b
    Examples:
      fg-run studio
      fg-run studio --bundle finger --port 8000
    """
    try:
        import uvicorn

        from ..studio.app import LOOPBACK, create_app
        from ..studio.prints import Studio
    except ModuleNotFoundError as error:
        raise BadInput(
            f"studio: needs {error.name}, which is not installed: pip install 'fingergen[serve]'"
        ) from None
    local = host in LOOPBACK
    with running.load() as model, _listen(host, port) as listening:
        if not local:
            warn(f"--host {host}: everybody who reaches this address can use the page, without a password")
        shown = f"[{host}]" if ":" in host else host
        click.echo(f"FingerGen studio: http://{shown}:{listening.getsockname()[1]}/ (Ctrl-C ends it)")
        config = uvicorn.Config(create_app(Studio(model), local), log_level="error", lifespan="off")
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise BadInput(
            f"{host} port {port}: cannot listen there ({error.strerror}): give another --host or --port"
        ) from None
